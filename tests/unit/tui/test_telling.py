"""When a pane tells what its screen shows."""

from __future__ import annotations

from boxy_tui.panes.telling import OUTRUN, POSITION, Teller
from boxy_tui.terminal.emulator import Emulator


def teller(position: int = 0) -> Teller:
    made = Teller()
    assert made.begin(POSITION.pack(position))
    return made


def test_a_replay_however_long_is_no_flood() -> None:
    assert teller(position=10 * OUTRUN).calm()


def test_a_state_that_the_next_output_would_outrun_waits_for_the_floods_end() -> None:
    telling = teller()
    telling.parsed(OUTRUN)
    assert not telling.calm()
    telling.parsed(OUTRUN - 1)
    assert telling.calm()
    assert telling.news


def test_what_was_told_has_its_position_and_is_no_news() -> None:
    telling = teller(position=7)
    telling.parsed(3)
    assert telling.state(Emulator(10, 3)).startswith(POSITION.pack(10))
    assert not telling.news
