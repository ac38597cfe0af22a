"""The console's widgets: attributes down, messages up; none knows its parent."""
