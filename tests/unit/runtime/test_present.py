"""What a client that comes is shown: the screen where that is known, else what can be read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxy_core.protocol import FrameReader
from boxyd.runtime import frames
from boxyd.runtime.modes import Modes
from boxyd.runtime.present import STATE_LIMIT, Present
from boxyd.runtime.ring import Ring


def opening(present: Present) -> tuple[bytes, int]:
    """The bytes a client is shown first, and the position that its stream goes on from."""
    shown, position = b"", -1
    reader = FrameReader()
    for frame in present.frames():
        for kind, payload in reader.feed(frame):
            if kind == frames.REPLAY_END:
                position = int.from_bytes(payload, "big")
            else:
                shown += payload
    return shown, position


PAD = b"." * 3000
"""Smaller pieces are merged, and fall out together."""


def exact(present: Present) -> bool:
    return present.exact


def written(present: Present, *pieces: bytes) -> None:
    for piece in pieces:
        present.ring.add(frames.frame(frames.STDOUT, piece))


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=40), st.data())
def test_what_came_since_a_position_is_exactly_that(
    pieces: list[bytes], data: st.DataObject
) -> None:
    ring = Ring(200)
    for piece in pieces:
        ring.add(frames.frame(frames.STDOUT, piece))
    every = b"".join(pieces)
    assert ring.end == len(every)
    position = data.draw(st.integers(ring.start, ring.end))
    reader = FrameReader()
    got = b"".join(p for frame in ring.since(position) for _, p in reader.feed(frame))
    assert got == every[position:]


def test_a_state_and_what_came_since_replace_the_history() -> None:
    present = Present(1000, terminal=True)
    written(present, b"x" * 3000, b"y" * 3000, b"abc")
    assert not exact(present)
    present.tell(6001, b"<state>")
    assert exact(present)
    assert opening(present) == (b"<state>bc", 6003)
    present.tell(6003, b"<newer>")
    assert opening(present) == (b"<newer>", 6003)


def test_a_state_that_the_history_has_outrun_is_forgotten() -> None:
    present = Present(1000, terminal=True)
    written(present, PAD)
    present.tell(3000, b"<state>")
    written(present, PAD, PAD)
    assert not exact(present)
    assert b"<state>" not in opening(present)[0]


def test_a_state_from_elsewhere_is_not_believed() -> None:
    present = Present(1000, terminal=True)
    written(present, PAD, PAD)
    for position in (0, 2999, 6001, 1 << 60):
        present.tell(position, b"<state>")
    present.tell(6000, b"x" * (STATE_LIMIT + 1))
    assert b"<state>" not in opening(present)[0]
    present.tell(6000, b"<new>")
    present.tell(5000, b"<old>")
    assert opening(present) == (b"<new>", 6000)


def test_a_state_of_another_size_is_not_believed_unless_it_was_asked_for_since() -> None:
    present = Present(1000, terminal=True)
    written(present, b"abc")
    present.tell(3, b"<small>")
    present.forget()
    present.tell(3, b"<small>")
    assert opening(present)[0] == b"abc"
    assert present.asked() == 3
    present.tell(3, b"<large>")
    assert opening(present)[0] == b"<large>"


def test_without_a_state_the_history_begins_where_it_can_be_read_and_in_its_modes() -> None:
    present = Present(1000, terminal=True)
    written(present, b"\x1b[?1049h" + PAD + b"\x1b[?1", b"000h\x1b[?25l" + PAD + b"\x1b[3")
    written(present, b"8;5;1mcut\x1b[31mred" + PAD)
    shown, _ = opening(present)
    assert shown == b"\x1b[?1049h\x1b[?1000h\x1b[?25l\x1b[31mred" + PAD
    assert present.alternate
    written(present, b"\x1b[?1049l")
    assert not present.alternate


def test_pipes_have_their_last_output_as_it_was() -> None:
    present = Present(1000, terminal=False)
    written(present, b"\x1b[?1049h\n" + PAD, b"b\n" + PAD)
    present.tell(6011, b"<state>")
    assert opening(present)[0] == b"b\n" + PAD
    assert not present.alternate


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_modes_are_the_same_however_the_output_is_cut(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\x00", b"\x1b[?1049h").replace(b"\x01", b"\x1b[?25;1000l")
    whole, pieces = Modes(), Modes()
    whole.feed(data)
    at = 0
    for cut in sorted({min(cut, len(data)) for cut in cuts} | {len(data)}):
        pieces.feed(data[at:cut])
        at = cut
    assert pieces.sequences() == whole.sequences()


def test_a_reset_ends_all_modes_and_the_last_switch_counts() -> None:
    modes = Modes()
    modes.feed(b"\x1b[?1049h\x1b[?2004h\x1b=")
    assert modes.sequences() == b"\x1b[?1049h\x1b[?2004h\x1b[?66h"
    modes.feed(b"\x1bc\x1b[?7l\x1b[?9999h\x1b[?1;25l")
    assert modes.sequences() == b"\x1b[?7l\x1b[?1l\x1b[?25l"
    modes.feed(b"\x1b[>1u\x1b[>4;2m\x1b[?5u")
    assert modes.sequences().endswith(b"\x1b[?25l\x1b[>1u\x1b[>4;2m")
    modes.feed(b"\x1b[<u\x1b[>4m")
    assert modes.sequences().endswith(b"\x1b[?25l\x1b[>4m")
    assert not modes.alternate
