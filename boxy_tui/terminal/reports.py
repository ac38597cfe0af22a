"""What the terminal answers, and the strings programs send it: titles, links, clipboard, colours.

Answers go out through `Screen.write`.  They are those of an xterm-256color that claims no more than
it does: a VT220 with colour (DA1), and version 10 of "xterm" (DA2) so that no program expects
newer reports.  Nothing that a program sent is ever echoed back as input, except the numbers of
modes that it asks about: a title report, for one, is an old way to inject keystrokes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from boxy_tui.terminal import modes as m
from boxy_tui.terminal.modes import PRIVATE, Modes
from boxy_tui.terminal.sgr import Param, apply_sgr, parse_params, sgr_of

MAX_TITLE = 256
MAX_LINK = 2048
MAX_CLIPBOARD = 1 << 20

ColorTriple = tuple[int, int, int]


class Reports(Modes):
    """Answers and string sequences.

    `on_clipboard(selection, text)` is asked when a program wants to set the clipboard (text) or to
    read it (None); nothing happens by itself.  `colors` holds the default foreground and background
    that OSC 10 and 11 tell; `on_bell` is called for each BEL.
    """

    def __init__(self, columns: int, lines: int, history: int) -> None:
        self.on_clipboard: Callable[[str, str | None], None] | None = None
        self.on_bell: Callable[[], None] | None = None
        self.colors: tuple[ColorTriple, ColorTriple] = ((229, 229, 229), (0, 0, 0))
        super().__init__(columns, lines, history)

    def reset(self) -> None:
        """See `Grid.reset`."""
        super().reset()
        self.title = self.icon_name = ""

    def bell(self, *_: Any) -> None:
        """BEL."""
        if self.on_bell is not None:
            self.on_bell()

    def write_process_input(self, data: str) -> None:
        """Send an answer to the program."""
        self.write(data)

    # -- SGR ---------------------------------------------------------------------------------------

    def select_graphic_rendition(self, *attrs: Param) -> None:
        """SGR; a tuple is a parameter with colon-separated parts, which pyte does not know."""
        self.pen = self.styles.pen(apply_sgr(self.pen.style, attrs))

    def learn_sgr(self, sequence: str) -> None:
        """SGR by its text ("[1;31m"), remembered in the pen."""
        style = apply_sgr(self.pen.style, parse_params(sequence[1:-1]))
        self.pen = self.styles.learn(self.pen, sequence, style)

    # -- reports -----------------------------------------------------------------------------------

    def report_device_attributes(self, mode: int = 0, *_: int, **__: bool) -> None:
        """DA1."""
        if mode == 0:
            self.write("\x1b[?62;22c")

    def report_secondary_attributes(self, mode: int = 0, *_: int) -> None:
        """DA2."""
        if mode == 0:
            self.write("\x1b[>1;10;0c")

    def report_version(self, mode: int = 0, *_: int) -> None:
        """XTVERSION."""
        if mode == 0:
            self.write("\x1bP>|boxy\x1b\\")

    def report_device_status(self, mode: int = 0, *_: int, private: bool = False) -> None:
        """DSR: 5 health, 6 cursor position."""
        if mode == 5 and not private:
            self.write("\x1b[0n")
        elif mode == 6:
            y = self.cursor.y + 1 - (self.top if self.origin else 0)
            x = min(self.cursor.x, self.columns - 1) + 1
            self.write(f"\x1b[{'?' if private else ''}{y};{x}R")

    def report_private_mode(self, mode: int = 0, *_: int) -> None:
        """DECRQM for a private mode: 1 set, 2 reset, 0 not known."""
        state = 0
        if mode in m.ALTERNATE:
            state = 1 if self.alternate else 2
        elif mode in m.KEPT:
            state = 1 if mode << PRIVATE in self.mode else 2
        self.write(f"\x1b[?{mode};{state}$y")

    def report_ansi_mode(self, mode: int = 0, *_: int) -> None:
        """DECRQM for an ANSI mode."""
        state = (1 if mode in self.mode else 2) if mode in (m.IRM, m.LNM) else 0
        self.write(f"\x1b[{mode};{state}$y")

    def report_keyboard(self, *_: int) -> None:
        """CSI ? u: the kitty keyboard flags."""
        self.write(f"\x1b[?{self.kitty}u")

    def window_operation(self, operation: int = 0, *_: int) -> None:
        """XTWINOPS: only the size is told."""
        if operation == 18:
            self.write(f"\x1b[8;{self.lines};{self.columns}t")

    # -- strings -----------------------------------------------------------------------------------

    def set_title(self, param: str) -> None:
        """OSC 0, 2: what can be printed of it."""
        self.title = "".join([c for c in param[:MAX_TITLE] if c.isprintable()])

    def operating_system_command(self, body: str) -> None:
        """OSC: `body` is what stands between the introducer and the end."""
        code, _, argument = body.partition(";")
        if code in ("0", "2"):
            self.set_title(argument)
        elif code == "1":
            self.icon_name = "".join([c for c in argument[:MAX_TITLE] if c.isprintable()])
        elif code == "8":
            self._link(argument)
        elif code == "52":
            self._clipboard(argument)
        elif code in ("10", "11") and argument == "?":
            color = self.colors[int(code) - 10]
            spec = "/".join(f"{part:02x}{part:02x}" for part in color)
            self.write(f"\x1b]{code};rgb:{spec}\x1b\\")

    def _link(self, argument: str) -> None:
        uri = argument.partition(";")[2]
        usable = uri if 0 < len(uri) <= MAX_LINK and uri.isprintable() else None
        self.pen = self.styles.pen(self.pen.style._replace(link=usable))

    def _clipboard(self, argument: str) -> None:
        selection, _, data = argument.partition(";")
        if self.on_clipboard is None or len(data) > MAX_CLIPBOARD:
            return
        if data == "?":
            self.on_clipboard(selection[:8], None)
            return
        try:
            text = base64.b64decode(data.encode("ascii", "replace"), validate=True)
        except binascii.Error:
            return
        self.on_clipboard(selection[:8], text.decode("utf-8", "replace"))

    def device_control_string(self, body: str) -> None:
        """DCS: DECRQSS for what has a value here; XTGETTCAP is answered "unknown"."""
        if body.startswith("$q"):
            self._report_setting(body[2:])
        elif body.startswith("+q"):
            self.write("\x1bP0+r\x1b\\")

    def _report_setting(self, setting: str) -> None:
        known = {
            "m": lambda: sgr_of(self.pen.style)[2:],
            "r": lambda: f"{self.top + 1};{self.bottom + 1}r",
            " q": lambda: f"{self.cursor_style} q",
        }
        value = known.get(setting)
        self.write(f"\x1bP1$r{value()}\x1b\\" if value else "\x1bP0$r\x1b\\")
