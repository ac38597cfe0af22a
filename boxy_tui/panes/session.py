"""A pane on a session of a box: it connects, follows, looks back, and tells how it ended.

Constraint: once connected it stands without the daemon.  All keys go to the program, except those
behind the prefix ctrl+] and those of the scroll mode, which are handled here as two small tables.
"""

from __future__ import annotations

import asyncio
import json
import struct
from enum import StrEnum

from textual import events
from textual.message import Message
from textual.timer import Timer

from boxy_core import protocol as wire
from boxy_core.client.aio import Client
from boxy_core.errors import BoxyError
from boxy_core.recorder import Recorder
from boxy_tui.format import plain
from boxy_tui.panes.backlog import Backlog
from boxy_tui.panes.link import Handlers, StreamLink, Target, connect, exit_words
from boxy_tui.panes.scheduler import Scheduler
from boxy_tui.panes.telling import EVERY, Teller
from boxy_tui.terminal.pane import TerminalPane
from boxy_tui.widgets.keybar import sign

PREFIX = "ctrl+right_square_bracket"
PREFIX_BYTE = b"\x1d"
EARLY = 4096
"""Bytes kept of what is typed before the connection is there."""

PREFIX_KEYS: dict[str, tuple[str, str, str]] = {
    "d": ("d", "leave", "Leave the panes; everything in them goes on"),
    "n": ("n", "next", "The next pane"),
    "p": ("p", "prev", "The pane before"),
    "c": ("c", "shell", "A new shell in this box"),
    "z": ("z", "zoom", "One pane alone, or all side by side"),
    "percent_sign": ("%", "split", 'A new shell in this box, beside the others; also "'),
    "left_square_bracket": ("[", "scroll", "Scroll and search mode"),
    "x": ("x", "close", "Close the pane; what runs in it goes on if it is the box's main one"),
    "right_square_bracket": ("]", "paste", "Paste what was copied last"),
    "y": ("y", "take", "Take what the program offers for your clipboard (OSC 52)"),
    "R": ("R", "record", "Record the pane as an asciicast file; again: end the recording"),
    "left": ("←", "beside", "The pane on that side, where all are shown; also → ↑ ↓"),
    "question_mark": ("?", "help", "All keys"),
    PREFIX: ("ctrl+]", "send", "Send ctrl+] itself to the program"),
}
"""Key after the prefix: how it is written, its word, its sentence.  Digits choose a pane."""
SIDES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Keys for the pane on a side, and the steps that they take: columns, rows."""

SCROLL_KEYS: dict[str, tuple[str, str, str]] = {
    "up": ("↑", "back", "A line back; also k"),
    "down": ("↓", "forward", "A line forward; also j"),
    "pageup": ("pgup", "page back", "A page back; also ctrl+b, half a page ctrl+u"),
    "pagedown": ("pgdn", "page forward", "A page forward; also ctrl+f, half a page ctrl+d"),
    "g": ("g", "oldest", "The oldest line"),
    "G": ("G", "newest", "The newest line"),
    "slash": ("/", "search", "Search backwards, by a regular expression or plain text"),
    "n": ("n", "older", "The match before"),
    "N": ("N", "newer", "The match after"),
    "v": ("v", "select", "A caret to select with: arrow keys move it, v marks, y copies"),
    "q": ("q", "leave", "Back to the program; also esc and enter"),
}
"""Keys of the scroll mode: how each is written, its word, its sentence."""

CARET_KEYS = {
    "up": (-1, 0), "k": (-1, 0), "down": (1, 0), "j": (1, 0), "left": (0, -1), "h": (0, -1),
    "right": (0, 1), "l": (0, 1), "home": (0, -9999), "0": (0, -9999), "end": (0, 9999),
    "dollar_sign": (0, 9999), "pageup": (0, 0), "pagedown": (0, 0),
}  # fmt: skip
"""Lines and columns that the caret moves."""


class Life(StrEnum):
    """Where a pane is."""

    NEW = "new"
    CONNECTING = "connecting"
    LIVE = "live"
    ENDED = "ended"
    BROKEN = "broken"


class Mode(StrEnum):
    """Who gets the keys."""

    PROGRAM = "program"
    PREFIX = "prefix"
    SCROLL = "scroll"
    SEARCH = "search"


class SessionPane(TerminalPane):
    """A terminal pane with a session behind it."""

    class Command(Message):
        """A prefix key that is not the pane's own affair."""

        def __init__(self, pane: SessionPane, name: str) -> None:
            super().__init__()
            self.pane = pane
            self.name = name

    def __init__(self, client: Client, target: Target, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self.target = target
        self.life = Life.NEW
        self.mode = Mode.PROGRAM
        self.words = ""
        self.needle = ""
        self.viewers = 1
        self.missed = 0
        """bytes of a flood that were not sent here, until something is typed"""
        self._client = client
        self._link: StreamLink | None = None
        self._early = bytearray()
        self._connecting: asyncio.Task[None] | None = None
        self._teller = Teller()
        self._tell_timer: Timer | None = None
        self.recorder: Recorder | None = None

    # ---------------------------------------------------------------- connection

    def resized(self, rows: int, columns: int) -> None:
        """The first size opens the connection, later ones are sent."""
        if self.life is Life.NEW:
            self.open(rows, columns)
        elif self._link is not None:
            self._link.resize(rows, columns)

    def open(self, rows: int, columns: int) -> None:
        """Connect (again)."""
        self.life, self.words, self.mode = Life.CONNECTING, "", Mode.PROGRAM
        self.replaying = self.target.kind in ("main", "session")
        self._connecting = asyncio.create_task(self._open(rows, columns))
        self.post_message(self.Changed(self))

    async def _open(self, rows: int, columns: int) -> None:
        handlers = Handlers(self._output, self._frame, self._lost)
        try:
            link = await connect(self._client, self.target, rows, columns, handlers)
        except BoxyError as error:
            self._end(Life.BROKEN, plain(error.message))
            if error.hint:
                self.words += f" · {plain(error.hint)}"
            self._inscribe(self.words)
            return
        if self.life is Life.CONNECTING:
            self.life = Life.LIVE
        self._link = link
        height, width = self.size.height, self.size.width
        if width and height and (height, width) != (rows, columns):
            link.resize(height, width)
        early, self._early = bytes(self._early), bytearray()
        if early:
            self.send(early)
        self.post_message(self.Changed(self))

    def again(self, target: Target) -> None:
        """Connect anew on a fresh screen."""
        self._drop_link()
        self.target = target
        self._early.clear()
        self._backlog = Backlog()
        self.restart(self.size.width, self.size.height)
        self.open(self.size.height or 24, self.size.width or 80)

    def shut(self) -> None:
        """Leave the session for good."""
        if self._connecting is not None:
            self._connecting.cancel()
        self._drop_link()

    def _drop_link(self) -> None:
        if self._link is not None:
            self._tell(unasked=True)
            self._link.handlers = Handlers(lambda _: None, lambda _k, _p: None, lambda _: None)
            self._link.close()
            self._link = None

    def on_unmount(self) -> None:
        """A pane that is gone has no connection, and its recording ends."""
        self.shut()
        self.end_recording()

    # ---------------------------------------------------------------- recording

    def record(self, path: str, title: str) -> None:
        """Record from here on, beginning with the screen as it is.  Raises BoxyError."""
        term = self.emulator
        self.recorder = Recorder(path, (term.columns, term.lines), title, overwrite=False)
        self.recorder.output(term.snapshot())
        self.post_message(self.Changed(self))

    def end_recording(self) -> Recorder | None:
        """End it; what was recorded."""
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            recorder.close()
            self.post_message(self.Changed(self))
        return recorder

    def resize_emulator(self, columns: int, lines: int) -> None:
        """See `TerminalPane`."""
        super().resize_emulator(columns, lines)
        if self.recorder is not None:
            self.recorder.resized(columns, lines)

    @property
    def alive(self) -> bool:
        """Whether something runs behind it."""
        return self.life in (Life.NEW, Life.CONNECTING, Life.LIVE)

    def send(self, data: bytes) -> None:
        """Bytes for the program; what is typed while it connects waits."""
        if self.missed:
            self.missed = 0
            self.post_message(self.Changed(self))
        if self._link is None or self.life is not Life.LIVE:
            if self.life in (Life.NEW, Life.CONNECTING):
                self._early += data[: EARLY - len(self._early)]
            return
        if not self.target.tty:
            self._send_plain(data)
        else:
            self._link.send(data)

    def _send_plain(self, data: bytes) -> None:
        """Without a terminal nobody echoes or makes signals of keys: the pane does."""
        assert self._link is not None
        if data == b"\x03":
            self._link.signal(2)
        elif data == b"\x04":
            self._link.end_input()
        else:
            data = data.replace(b"\r", b"\n").replace(b"\x7f", b"")
            self._link.send(data)
            self.feed(data.replace(b"\n", b"\r\n"))

    def pause(self, paused: bool) -> None:
        """Read no further until the pane has caught up."""
        if self._link is not None:
            self._link.pause(paused)

    # ---------------------------------------------------------------- what comes

    def _output(self, data: bytes) -> None:
        data = data if self.target.tty else data.replace(b"\n", b"\r\n")
        if self.recorder is not None:
            self.recorder.output(data)
        self.feed(data)

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind == wire.REPLAY_END:
            self.mark(lambda: self._replay_ended(payload))
        elif kind == wire.STATE_WANTED:
            self.mark(self._tell)
        elif kind == wire.LAGGED:
            missed = struct.unpack(">Q", payload)[0] if len(payload) == 8 else 0
            self._backlog.clear_bytes()
            self.mark(lambda: self._lagged(missed))
        elif kind == wire.VIEWERS:
            self.mark(lambda: self._viewers(payload))
        elif kind == wire.EXIT:
            _, words = exit_words(payload)
            self.mark(lambda: self._exited(words))

    def _replay_ended(self, payload: bytes) -> None:
        self.replaying = False
        if self.target.tty and self._teller.begin(payload) and self._link is not None:
            self._link.tell(b"")

    def _parse(self, data: bytes) -> None:
        super()._parse(data)
        self._teller.parsed(len(data))
        if self._tell_timer is None and self._teller.news:
            self._tell_timer = self.set_timer(EVERY, self._tell_in_time)

    def _tell_in_time(self) -> None:
        calm = self._teller.calm()
        self._tell_timer = None if calm else self.set_timer(EVERY, self._tell_in_time)
        if calm:
            self._tell(unasked=True)

    def _tell(self, *, unasked: bool = False) -> None:
        """Tell the shim what the screen shows, for those who come later."""
        if self._link is None or (unasked and not self._teller.news):
            return
        if state := self._teller.state(self.emulator):
            self._link.tell(state)

    def _lagged(self, missed: int) -> None:
        self.replaying = True
        self._teller.end()
        self.restart()
        self.missed += missed
        self.post_message(self.Changed(self))

    def _viewers(self, payload: bytes) -> None:
        try:
            data = json.loads(payload)
            self.viewers = int(data.get("count", 1))
            rows, columns = int(data.get("rows", 0)), int(data.get("cols", 0))
        except (ValueError, TypeError, AttributeError):
            return
        if rows > 0 and columns > 0 and self.target.tty:
            self.resize_emulator(columns, rows)
        self.post_message(self.Changed(self))

    def _exited(self, words: str) -> None:
        self._end(Life.ENDED, words)
        self._inscribe(words)

    def _lost(self, error: BoxyError | None) -> None:
        def lost() -> None:
            if self.life in (Life.LIVE, Life.CONNECTING):
                self._end(Life.BROKEN, plain(str(error)) if error else "the connection was closed")
                self._inscribe(self.words)

        self._link = None
        self.mark(lost)

    def _end(self, life: Life, words: str) -> None:
        self._teller.end()
        self.life, self.words = life, words
        self.replaying = False
        self.post_message(self.Changed(self))

    def _inscribe(self, words: str) -> None:
        """Write on the screen how it ended, where the program would have gone on."""
        term = self.emulator
        leave = b"\x1b[?1049l" if term.alternate else b""
        line = f"\x1b[r\x1b[m\x1b[?7h\x1b[{term.lines}H\x1b[?25l"
        gap = "\r\n" if "".join(term.display).strip() else "\x1b[H"
        term.feed(leave)
        where = f"\x1b[{term.cursor.y + 1};1H" if term.cursor.y < term.lines - 1 else line
        text = f"{where}{gap}\x1b[?25l\x1b[2m── {words} ──\x1b[m"
        term.feed(f"\x1b[r\x1b[m{text}".encode())
        self.repaint_all()

    # ---------------------------------------------------------------- keys

    async def _on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        handler = {
            Mode.PROGRAM: self._program_key,
            Mode.PREFIX: self._prefix_key,
            Mode.SCROLL: self._scroll_key,
            Mode.SEARCH: self._search_key,
        }[self.mode]
        handler(event)

    def _set_mode(self, mode: Mode) -> None:
        self.mode = mode
        self.post_message(self.Changed(self))

    def _program_key(self, event: events.Key) -> None:
        if event.key == PREFIX:
            self._set_mode(Mode.PREFIX)
        elif self.alive:
            self.type_key(event)
        elif event.key in ("enter", "r"):
            self.post_message(self.Command(self, "again"))
        elif event.key in ("x", "q", "d"):
            self.post_message(self.Command(self, "leave" if event.key == "d" else "close"))

    def _prefix_key(self, event: events.Key) -> None:
        self._set_mode(Mode.PROGRAM)
        if event.key == PREFIX:
            self.type_bytes(PREFIX_BYTE)
        elif event.key == "left_square_bracket":
            self.view.hold()
            self._set_mode(Mode.SCROLL)
            self.view_changed()
        elif event.key == "right_square_bracket":
            self.post_message(events.Paste(self.app.clipboard))
        elif event.key == "y":
            count = self.take_offer()
            said = f"{count} characters copied" if count else "The program offers nothing to copy"
            self.notify(said, timeout=2)
        elif event.key == "quotation_mark":
            self.post_message(self.Command(self, "split"))
        elif event.key in PREFIX_KEYS and event.key not in SIDES:
            self.post_message(self.Command(self, PREFIX_KEYS[event.key][1]))
        elif event.key.isdecimal() or event.key in SIDES:
            self.post_message(self.Command(self, event.key))
        elif event.key not in ("escape", "enter"):  # those are how one gives it up
            said = sign(event.character if event.is_printable and event.character else event.key)
            self.notify(f"ctrl+] {said} does nothing; ctrl+] ? lists the keys", timeout=3)

    def _scroll_key(self, event: events.Key) -> None:
        page = max(1, self.size.height - 2)
        steps = {
            "up": -1, "k": -1, "ctrl+u": -page // 2, "pageup": -page, "ctrl+b": -page,
            "down": 1, "j": 1, "ctrl+d": page // 2, "pagedown": page, "ctrl+f": page,
        }  # fmt: skip
        if event.key in ("v", "y") or (self.view.caret and event.key in CARET_KEYS):
            self._select_key(event.key, page)
        elif event.key in steps:
            self.view.hold()
            self.scroll_view(steps[event.key])
            self.view.hold()
        elif event.key in ("g", "home"):
            self.view.to_start()
        elif event.key in ("G", "end"):
            self.view.top = self.emulator.base_line
        elif event.key in ("slash", "question_mark"):
            self.needle = ""
            self._set_mode(Mode.SEARCH)
        elif event.key in ("n", "N"):
            self.view.step(-1 if event.key == "n" else 1, self.size.height)
        elif event.key in ("q", "escape", "enter", "ctrl+c"):
            self.mode = Mode.PROGRAM
            self.view.follow()
        elif event.key == PREFIX:
            self.mode = Mode.PROGRAM
            self._set_mode(Mode.PREFIX)
            return
        self.view_changed()

    def _select_key(self, key: str, page: int) -> None:
        """Selecting by the keyboard: the caret comes with v, the next v begins, y copies."""
        view, height = self.view, self.size.height
        if key == "v" and view.caret is not None:
            view.select(view.caret)
            view.extend(view.caret)
        elif key == "y":
            if text := view.selected():
                self.app.copy_to_clipboard(text)
                self.notify(f"{len(text)} characters copied", timeout=2)
        else:
            lines, columns = CARET_KEYS.get(key, (0, 0))
            pages = {"pageup": -page, "pagedown": page}
            view.move_caret(pages.get(key, lines), columns, height)

    def _search_key(self, event: events.Key) -> None:
        if event.key == "enter":
            found = self.view.search(self.needle, self.size.height)
            if not found:
                self.notify(f"Nothing found for {plain(self.needle)!r}", markup=False, timeout=3)
            self.mode = Mode.SCROLL
        elif event.key in ("escape", "ctrl+c"):
            self.mode = Mode.SCROLL
        elif event.key == "backspace":
            self.needle = self.needle[:-1]
        elif event.character and event.character.isprintable():
            self.needle += event.character
        self.view_changed()

    def turn_wheel(self, way: int, event: events.MouseEvent) -> None:
        """Looking back with the wheel is the scroll mode; back at the present, it is over."""
        super().turn_wheel(way, event)
        if not self.view.live and self.mode is Mode.PROGRAM:
            self._set_mode(Mode.SCROLL)
        elif self.view.live and self.mode is Mode.SCROLL:
            self._set_mode(Mode.PROGRAM)

    def leave_view(self) -> None:
        """Show the screen again, and give the keys back to the program."""
        if self.mode in (Mode.SCROLL, Mode.SEARCH):
            self.mode = Mode.PROGRAM
        super().leave_view()
