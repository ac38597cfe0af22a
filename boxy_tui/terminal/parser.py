"""Bytes to screen operations, quickly.

pyte's stream feeds a generator one character at a time.  This one splits a piece of text at its
escape sequences with a single regular expression, and remembers what each sequence means, so that
the work per sequence is a dictionary lookup and a call.  What the expression does not take (control
characters inside sequences, strings, sequences cut by the end of the data) goes a slower way with
the same meaning, that of the DEC state machine: a control character inside a sequence acts at once,
ESC starts anew, CAN and SUB abort.

C1 controls in their 8-bit form are not recognised: in UTF-8 they are bytes of characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyte

from boxy_tui.terminal.screen import Screen
from boxy_tui.terminal.sgr import parse_params

Operation = tuple[Callable[..., Any] | None, tuple[Any, ...]]

_SPLIT = re.compile("\x1b(\\[[0-?]*+[ -/]*+[@-~]|\\([0B])").split
_CSI = re.compile(r"\[([<=>?]?)([0-9:;]*)([ -/]*)([@-~])").fullmatch
_CONTROL_SPLIT = re.compile("([\x00-\x1f\x7f-\x9f])").split
_STRING = re.compile("\x1b([]PX^_k])").search
_OSC_END = re.compile("\x07|\x1b\\\\|[\x18\x1a]|\x1b(?=[^\\\\])").search
_STRING_END = re.compile("\x1b\\\\|[\x18\x1a]").search

MAX_STRING = 1 << 20
"""Characters of a string sequence that are kept; of a longer one nothing is used."""
MAX_SEQUENCE = 4096
MEMO_ROOM = 16_384


class Parser(pyte.ByteStream):
    """Feeds a `Screen`."""

    def __init__(self, screen: Screen) -> None:
        self._pending = ""
        self._string: tuple[str, list[str]] | None = None
        self._string_size = 0
        self._memo: dict[str, Operation] = {}
        super().__init__(screen, strict=False)

    def attach(self, screen: pyte.Screen) -> None:
        """Look up the screen's handlers once."""
        assert isinstance(screen, Screen)
        self.listener: Screen = screen
        self._csi_table = _csi_handlers(screen)
        self._escape_table = _escape_handlers(screen)
        self._control_table = _control_handlers(screen)

    @property
    def at_rest(self) -> bool:
        """Whether no sequence, string or character is half read."""
        return not self._pending and self._string is None and not self.utf8_decoder.getstate()[0]

    @property
    def unfinished(self) -> int | None:
        """Bytes of what is half read; None within a string, where they are not counted."""
        if self._string is not None:
            return None
        return len(self._pending.encode()) + len(self.utf8_decoder.getstate()[0])

    def feed(self, data: bytes) -> None:  # type: ignore[override]
        """Parse some bytes; what is incomplete waits for the next."""
        text = self.utf8_decoder.decode(data)
        if self._pending:
            text = self._pending + text
            self._pending = ""
        at = 0
        while at < len(text):
            if self._string is not None:
                at = self._continue_string(text, at)
                continue
            match = _STRING(text, at)
            if match is None:
                self._run(text[at:] if at else text, last=True)
                return
            if match.start() > at:
                self._run(text[at : match.start()], last=False)
            self._string = (match[1], [])
            self._string_size = 0
            at = match.end()

    # -- the fast way ------------------------------------------------------------------------------

    def _run(self, text: str, last: bool) -> None:
        """Text without string sequences. `last`: a sequence open at its end may go on later."""
        parts = _SPLIT(text)
        tail = parts.pop()
        screen = self.listener
        memo = self._memo
        put, draw = screen.put, screen.draw
        if parts:
            self._text(parts[0], last=False)
        pairs = iter(parts)
        next(pairs, None)
        parts.append("")
        for sequence, rest in zip(pairs, pairs, strict=True):
            pen = screen.pen.after.get(sequence)
            if pen is not None:
                screen.pen = pen
            else:
                handler, arguments = memo.get(sequence) or self._compile(sequence)
                if handler is not None:
                    handler(*arguments)
                else:
                    screen.learn_sgr(sequence)
            if rest:
                if not rest.isprintable():
                    self._text(rest, last=False)
                elif screen.fussy or not rest.isascii():
                    draw(rest)
                else:
                    put(rest)
        if tail:
            self._text(tail, last)

    def _compile(self, sequence: str) -> Operation:
        """The handler of a sequence and its arguments; no handler means SGR."""
        operation = self._meaning(sequence)
        if len(self._memo) > MEMO_ROOM:
            self._memo.clear()
        if len(sequence) < 256:
            self._memo[sequence] = operation
        return operation

    def _meaning(self, sequence: str) -> Operation:
        if sequence[0] == "(":
            return self.listener.define_charset, (sequence[1], "(")
        match = _CSI(sequence)
        if match is None:
            return _ignore, ()
        prefix, parameters, between, final = match.groups()
        key = prefix + between + final
        if key == "m":
            return None, ()
        handler = self._csi_table.get(key)
        if handler is None:
            return _ignore, ()
        arguments = parse_params(parameters)
        if any(isinstance(argument, tuple) for argument in arguments):
            return _ignore, ()
        return handler, arguments

    # -- text and controls -------------------------------------------------------------------------

    def _text(self, text: str, last: bool) -> None:
        """Text with control characters, and whatever sequences the split left in it."""
        if text.isprintable():
            if text:
                self.listener.draw(text)
            return
        if "\x1b" in text:
            self._escapes(text, last)
            return
        if "\n" not in text:
            self._mixed(text)
            return
        lines = text.split("\n")
        rest = lines.pop()
        screen = self.listener
        linefeed, draw, cursor = screen.linefeed, screen.draw, screen.cursor
        for line in lines:
            if line:
                returns = line[-1] == "\r"
                shown = line[:-1] if returns else line
                if not shown.isprintable():
                    self._mixed(shown)
                elif shown:
                    draw(shown)
                if returns:
                    cursor.x = 0
            linefeed()
        if rest:
            self._mixed(rest)

    def _mixed(self, text: str) -> None:
        """Text with control characters but no line feed or ESC."""
        if text.isprintable():
            self.listener.draw(text)
            return
        draw = self.listener.draw
        parts = _CONTROL_SPLIT(text)
        if parts[0]:
            draw(parts[0])
        table = self._control_table
        for i in range(1, len(parts), 2):
            handler = table.get(parts[i])
            if handler is not None:
                handler()
            piece = parts[i + 1]
            if piece:
                draw(piece)

    # -- the slow way ------------------------------------------------------------------------------

    def _escapes(self, text: str, last: bool) -> None:
        """Text with sequences that the fast way does not take."""
        head, *parts = text.split("\x1b")
        if head:
            self._text(head, False)
        for i, part in enumerate(parts):
            rest = self._escape(part, last and i == len(parts) - 1)
            if rest:
                self._text(rest, False)

    def _escape(self, part: str, last: bool) -> str:
        """One sequence after its ESC. Returns the text that follows it."""
        collected = ""
        for i, char in enumerate(part):
            if char < " " or char == "\x7f":
                if char in "\x18\x1a":
                    return part[i + 1 :]
                handler = self._control_table.get(char)
                if handler is not None:
                    handler()
                continue
            if char > "~":
                return part[i:]
            collected += char
            if self._complete(collected):
                self._finish(collected)
                return part[i + 1 :]
            if len(collected) > MAX_SEQUENCE:
                return ""
        if last:
            self._pending = "\x1b" + collected
        return ""

    @staticmethod
    def _complete(sequence: str) -> bool:
        if sequence[0] == "[":
            return len(sequence) > 1 and "@" <= sequence[-1] <= "~"
        return not " " <= sequence[-1] <= "/"

    def _finish(self, sequence: str) -> None:
        """Carry out a complete sequence (given without its ESC)."""
        first = sequence[0]
        if first == "[":
            handler, arguments = self._meaning(sequence)
            if handler is None:
                self.listener.learn_sgr(sequence)
            else:
                handler(*arguments)
        elif len(sequence) == 1:
            escape = self._escape_table.get(sequence)
            if escape is not None:
                escape()
            elif first in "]PX^_k":
                # A control character stood between the ESC and this; no program means it.
                return
        elif first in "()*+-./":
            self.listener.define_charset(sequence[1:], first)
        elif sequence == "#8":
            self.listener.alignment_display()

    # -- strings -----------------------------------------------------------------------------------

    def _continue_string(self, text: str, at: int) -> int:
        """Read on in a string sequence from `at`. Returns where the text after it begins."""
        assert self._string is not None
        kind, pieces = self._string
        match = (_OSC_END if kind == "]" else _STRING_END)(text, at)
        end = match.start() if match else len(text)
        if match is None and text[-1] == "\x1b":
            end -= 1
            self._pending = "\x1b"
        self._string_size += end - at
        if self._string_size <= MAX_STRING:
            pieces.append(text[at:end])
        else:
            pieces.clear()
        if match is None:
            return len(text)
        self._string = None
        ending = match[0]
        if ending in ("\x07", "\x1b\\") and self._string_size <= MAX_STRING:
            self._string_done(kind, "".join(pieces))
        return end if ending == "\x1b" else match.end()

    def _string_done(self, kind: str, body: str) -> None:
        if kind == "]":
            self.listener.operating_system_command(body)
        elif kind == "P":
            self.listener.device_control_string(body)


def _ignore(*_: Any) -> None:
    """A sequence that means nothing here."""


def _csi_handlers(s: Screen) -> dict[str, Callable[..., Any]]:
    """Handlers by prefix, intermediate characters and final character."""

    def private(handler: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: handler(*args, private=True)

    return {
        "@": s.insert_characters, "A": s.cursor_up, "B": s.cursor_down, "C": s.cursor_forward,
        "D": s.cursor_back, "E": s.cursor_down1, "F": s.cursor_up1, "G": s.cursor_to_column,
        "H": s.cursor_position, "I": s.cursor_tab, "J": s.erase_in_display,
        "K": s.erase_in_line, "L": s.insert_lines, "M": s.delete_lines,
        "P": s.delete_characters, "S": s.scroll_up, "T": s.scroll_down,
        "X": s.erase_characters, "Z": s.cursor_back_tab, "`": s.cursor_to_column,
        "a": s.cursor_forward, "b": s.repeat, "d": s.cursor_to_line, "e": s.cursor_down,
        "f": s.cursor_position, "g": s.clear_tab_stop, "r": s.set_margins,
        "s": s.save_cursor, "u": s.restore_cursor, " q": s.set_cursor_style,
        "!p": s.soft_reset, '"q': s.protect,
        "h": s.set_mode, "l": s.reset_mode, "?h": private(s.set_mode), "?l": private(s.reset_mode),
        "?J": private(s.erase_in_display), "?K": private(s.erase_in_line),
        "c": s.report_device_attributes, ">c": s.report_secondary_attributes,
        "n": s.report_device_status, "?n": private(s.report_device_status),
        "$p": s.report_ansi_mode, "?$p": s.report_private_mode, ">q": s.report_version,
        "t": s.window_operation, "?u": s.report_keyboard, ">u": s.push_keyboard,
        "<u": s.pop_keyboard, "=u": s.set_keyboard, ">m": s.set_key_options,
        ">n": s.unset_key_options,
    }  # fmt: skip


def _escape_handlers(s: Screen) -> dict[str, Callable[[], Any]]:
    return {
        "7": s.save_cursor, "8": s.restore_cursor, "D": s.index, "E": s.next_line,
        "H": s.set_tab_stop, "M": s.reverse_index, "c": s.full_reset,
        "Z": s.report_device_attributes, "N": s.single_shift_2, "O": s.single_shift_3,
        "n": s.lock_shift_2, "o": s.lock_shift_3, "=": s.application_keypad,
        ">": s.numeric_keypad,
    }  # fmt: skip


def _control_handlers(s: Screen) -> dict[str, Callable[[], Any]]:
    return {
        "\n": s.linefeed, "\x0b": s.linefeed, "\x0c": s.linefeed, "\r": s.carriage_return,
        "\b": s.backspace, "\t": s.tab, "\x07": s.bell, "\x0e": s.shift_out, "\x0f": s.shift_in,
    }  # fmt: skip
