"""Modes, the alternate screen, saving and restoring, character sets, resets."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyte import modes as mo

from boxy_tui.terminal.cells import Pen
from boxy_tui.terminal.editing import Editing
from boxy_tui.terminal.grid import Charset
from boxy_tui.terminal.rows import Row

PRIVATE = 5
"""Private modes are shifted by this in `Screen.mode`, as in `pyte.modes`."""

IRM, LNM = 4, 20
DECCKM, DECCOLM, DECSCNM, DECOM, DECAWM, BLINK, DECTCEM = 1, 3, 5, 6, 7, 12, 25
DECNKM = 66
ALTERNATE = (47, 1047, 1049)
SAVE_CURSOR = 1048
MOUSE = (9, 1000, 1002, 1003)
MOUSE_UTF8, MOUSE_SGR, MOUSE_URXVT = 1005, 1006, 1015
FOCUS, ALTERNATE_SCROLL, PASTE, SYNCHRONIZED = 1004, 1007, 2004, 2026

KEPT = frozenset(
    [DECCKM, DECSCNM, DECOM, DECAWM, BLINK, DECTCEM, DECNKM, *MOUSE, FOCUS, MOUSE_UTF8, MOUSE_SGR,
     ALTERNATE_SCROLL, MOUSE_URXVT, PASTE, SYNCHRONIZED]
)  # fmt: skip
"""Private modes with a meaning here; the others are not remembered."""

GRAPHICS_TEXT = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"
GRAPHICS: Charset = {0x60 + i: char for i, char in enumerate(GRAPHICS_TEXT)} | {0x5F: " "}
BRITISH: Charset = {0x23: "£"}
CHARSETS: dict[str, Charset] = {"0": GRAPHICS, "A": BRITISH}
SLOTS = {"(": 0, ")": 1, "*": 2, "+": 3, "-": 1, ".": 2, "/": 3}

KITTY_SUPPORTED = 0b11001
"""Disambiguate, report all keys, associated text: what can be kept without key releases."""
KITTY_DEPTH = 16


class Saved(NamedTuple):
    """What DECSC saves."""

    x: int
    y: int
    pen: Pen
    sets: tuple[Charset | None, ...]
    charset: int
    origin: bool


class Modes(Editing):
    """The state that sequences switch.

    `cursor_style` is DECSCUSR's number; `kitty` the flags of the kitty keyboard protocol in force;
    `modify_other_keys` xterm's setting of that name.
    """

    def reset(self) -> None:
        """See `Grid.reset`."""
        self._saved: dict[bool, Saved | None] = {False: None, True: None}
        self._kitty: dict[bool, list[int]] = {False: [], True: []}
        self.alternate_cursor: Saved | None = None
        self.cursor_style = 0
        self.modify_other_keys = 0
        super().reset()
        self.mode.add(ALTERNATE_SCROLL << PRIVATE)

    def soft_reset(self, *_: int) -> None:
        """DECSTR."""
        self.insert = False
        self.autowrap = True
        self._set_origin(False)
        self._region(0, self.lines - 1)
        self.pen = self.styles.plain
        self._select([None] * 4, 0)
        self.cursor.hidden = False
        self._saved[self.alternate] = None
        off = {IRM, DECCKM << PRIVATE, DECNKM << PRIVATE}
        self.mode = (self.mode - off) | {mo.DECAWM, mo.DECTCEM}

    def _held_pens(self) -> list[Pen]:
        saved = [*self._saved.values(), self.alternate_cursor]
        return [self.pen, *(s.pen for s in saved if s is not None)]

    # -- modes -------------------------------------------------------------------------------------

    def has(self, private_mode: int) -> bool:
        """Whether a private mode is set."""
        return private_mode << PRIVATE in self.mode

    def set_mode(self, *modes: int, private: bool = False, **_: Any) -> None:
        """SM, DECSET."""
        for mode in modes:
            if private:
                self._set_private(mode)
            elif mode in (IRM, LNM):
                self.mode.add(mode)
                self.insert = IRM in self.mode
                self._refuss()

    def reset_mode(self, *modes: int, private: bool = False, **_: Any) -> None:
        """RM, DECRST."""
        for mode in modes:
            if private:
                self._reset_private(mode)
            else:
                self.mode.discard(mode)
                self.insert = IRM in self.mode
                self._refuss()

    def _set_private(self, mode: int) -> None:
        if mode in ALTERNATE:
            self._enter_alternate(save=mode == 1049)
        elif mode == SAVE_CURSOR:
            self.save_cursor()
        else:
            if mode in MOUSE:  # one kind of report at a time
                self.mode -= {m << PRIVATE for m in MOUSE}
            if mode in KEPT:
                self.mode.add(mode << PRIVATE)
            self._switched(mode, True)

    def _reset_private(self, mode: int) -> None:
        if mode in ALTERNATE:
            self._leave_alternate(restore=mode == 1049)
        elif mode == SAVE_CURSOR:
            self.restore_cursor()
        else:
            self.mode.discard(mode << PRIVATE)
            self._switched(mode, False)

    def _switched(self, mode: int, on: bool) -> None:
        """What a private mode does beside being set."""
        if mode == DECOM:
            self._set_origin(on)
            self.cursor.x, self.cursor.y = 0, self.top if on else 0
        elif mode == DECAWM:
            self.autowrap = on
            self._refuss()
            if not on:
                self._unpend()
        elif mode == DECTCEM:
            self.cursor.hidden = not on
        elif mode == DECSCNM:
            self._repaint_all()
        elif mode == DECCOLM:
            # A pane cannot change its width; the rest of what DECCOLM does is kept, as in tmux.
            self.cursor.x = self.cursor.y = 0
            self._region(0, self.lines - 1)
            self._wipe(0, self.lines)

    def _repaint_all(self) -> None:
        for row in self.grid:
            row.runs = None

    # -- alternate screen --------------------------------------------------------------------------

    def _enter_alternate(self, save: bool) -> None:
        if self.alternate:
            return
        if save:
            self.save_cursor()
        self.alternate_cursor = self.state()
        self.primary_size = (self.columns, self.lines)
        self.primary = self.grid
        self.alternate = True
        self._saved[True] = None
        self._kitty[True] = []
        self.grid = [Row() for _ in range(self.lines)]

    def _leave_alternate(self, restore: bool) -> None:
        if self.alternate:
            self.alternate = False
            self.grid = self.primary
            self._fit_primary()
        if restore:
            self.restore_cursor()

    def _fit_primary(self) -> None:
        """Bring the primary screen, kept as it was, to the present size."""

    # -- saving ------------------------------------------------------------------------------------

    def state(self) -> Saved:
        """What DECSC would save now."""
        cursor = self.cursor
        sets = tuple(self.sets)
        return Saved(cursor.x, cursor.y, self.pen, sets, self.charset, self.origin)

    def saved(self, alternate: bool) -> Saved | None:
        """What DECSC holds for the primary or the alternate screen."""
        return self._saved[alternate]

    def save_cursor(self, *_: int) -> None:
        """DECSC: each screen has its own."""
        self._saved[self.alternate] = self.state()

    def restore_cursor(self, *_: int) -> None:
        """DECRC; home and plain when nothing was saved."""
        saved = self._saved[self.alternate]
        if saved is None:
            saved = Saved(0, 0, self.styles.plain, (None,) * 4, 0, False)
        self.cursor.x, self.cursor.y = min(saved.x, self.columns), min(saved.y, self.lines - 1)
        self.pen = saved.pen
        self._set_origin(saved.origin)
        self._select(list(saved.sets), saved.charset)

    # -- character sets ----------------------------------------------------------------------------

    def _select(self, sets: list[Charset | None], charset: int) -> None:
        self.sets = sets
        self._shift(charset)

    def _shift(self, charset: int) -> None:
        self.charset = charset
        self.active_set = self.sets[charset]
        self._refuss()

    def define_charset(self, code: str, mode: str) -> None:
        """SCS: ISO 2022 designation of G0 to G3."""
        known = CHARSETS.get(code) if mode in "()*+" else None
        self.sets[SLOTS[mode]] = known
        self._shift(self.charset)

    def shift_in(self) -> None:
        """SI."""
        self._shift(0)

    def shift_out(self) -> None:
        """SO."""
        self._shift(1)

    def lock_shift_2(self) -> None:
        """LS2."""
        self._shift(2)

    def lock_shift_3(self) -> None:
        """LS3."""
        self._shift(3)

    def single_shift_2(self) -> None:
        """SS2: the next character from G2."""
        self._single(2)

    def single_shift_3(self) -> None:
        """SS3: the next character from G3."""
        self._single(3)

    def _single(self, slot: int) -> None:
        self.single, self.single_pending, self.fussy = self.sets[slot], True, True

    # -- keyboard ----------------------------------------------------------------------------------

    @property
    def kitty(self) -> int:
        """The kitty keyboard flags in force on this screen."""
        stack = self._kitty[self.alternate]
        return stack[-1] if stack else 0

    def keyboard_stack(self, alternate: bool) -> list[int]:
        """The kitty flags pushed on the primary or the alternate screen."""
        return self._kitty[alternate]

    def push_keyboard(self, flags: int = 0, *_: int) -> None:
        """CSI > flags u."""
        stack = self._kitty[self.alternate]
        stack.append(flags & KITTY_SUPPORTED)
        del stack[:-KITTY_DEPTH]

    def pop_keyboard(self, count: int = 1, *_: int) -> None:
        """CSI < count u."""
        stack = self._kitty[self.alternate]
        del stack[max(0, len(stack) - (count or 1)) :]

    def set_keyboard(self, flags: int = 0, how: int = 1, *_: int) -> None:
        """CSI = flags ; how u: 1 replace, 2 add, 3 remove."""
        flags &= KITTY_SUPPORTED
        now = self.kitty
        flags = {2: now | flags, 3: now & ~flags}.get(how, flags)
        stack = self._kitty[self.alternate]
        stack[-1:] = [flags]

    def set_key_options(self, option: int = 0, value: int = 0, *_: int) -> None:
        """XTMODKEYS (CSI > 4 ; n m): modifyOtherKeys; the other options change nothing here."""
        if option == 4:
            self.modify_other_keys = min(value, 2)

    def unset_key_options(self, option: int = 4, *_: int) -> None:
        """CSI > 4 n: modifyOtherKeys off."""
        if option == 4:
            self.modify_other_keys = 0

    # -- more --------------------------------------------------------------------------------------

    def application_keypad(self) -> None:
        """DECKPAM."""
        self.mode.add(DECNKM << PRIVATE)

    def numeric_keypad(self) -> None:
        """DECKPNM."""
        self.mode.discard(DECNKM << PRIVATE)

    def set_cursor_style(self, style: int = 0, *_: int) -> None:
        """DECSCUSR: 0 default, 1-2 block, 3-4 underline, 5-6 bar; odd ones blink."""
        if style <= 6:
            self.cursor_style = style

    def protect(self, how: int = 0, *_: int) -> None:
        """DECSCA: 1 guards what is drawn next against selective erase."""
        self.pen = self.styles.pen(self.pen.style._replace(protected=how == 1))
