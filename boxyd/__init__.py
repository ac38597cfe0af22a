"""The daemon: decides what becomes of boxes; small shims do it and outlive the daemon."""
