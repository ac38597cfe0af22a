"""The console: a Textual application on the daemon's socket.

Textual reads its settings from the environment when it is imported, so they are made here,
before any module of the console imports it.  What the user has set stays.
"""

import os

os.environ.setdefault("TEXTUAL_FPS", "120")
# An echo in a pane waits for the next frame: at 60 frames it missed 50 ms under a flood.
os.environ.setdefault("ESCDELAY", "20")
# Milliseconds after ESC in which a further byte belongs to it (tmux has 10, Textual 100: in that
# time a vim user has typed Escape and the colon, which is another key).
