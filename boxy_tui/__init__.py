"""The console of Boxy: a Textual application over the daemon's API, with live terminal panes."""
