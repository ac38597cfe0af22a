"""The terminal emulator and the key tables."""
