"""A terminal inside the console: a pure emulator and key tables, and the pane widget above them."""
