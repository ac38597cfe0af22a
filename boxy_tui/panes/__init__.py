"""What stands behind a terminal pane: its connection, its backlog, its view, the frame clock."""
