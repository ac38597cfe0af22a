"""The history of a session: bounded, whole, ready to be sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxy_core.protocol import FrameReader
from boxyd.runtime import frames
from boxyd.runtime.ring import Ring

chunks = st.lists(
    st.tuples(st.sampled_from([frames.STDOUT, frames.STDERR]), st.binary(min_size=1, max_size=80)),
    max_size=60,
)


def payload(ring: Ring) -> bytes:
    reader = FrameReader()
    return b"".join(p for f in ring.frames() for _, p in reader.feed(f))


@given(chunks, st.integers(1, 500))
def test_it_holds_the_end_of_what_was_written(written: list[tuple[int, bytes]], size: int) -> None:
    ring = Ring(size)
    for kind, data in written:
        ring.add(frames.frame(kind, data))
    every = b"".join(data for _, data in written)
    held = payload(ring)
    assert every.endswith(held)
    assert len(held) == len(ring)
    assert len(held) >= min(size, len(every))


@given(chunks)
def test_streams_are_never_mixed(written: list[tuple[int, bytes]]) -> None:
    ring = Ring(1 << 20)
    for kind, data in written:
        ring.add(frames.frame(kind, data))
    reader = FrameReader()
    for stream in (frames.STDOUT, frames.STDERR):
        reader = FrameReader()
        got = b"".join(p for f in ring.frames() for k, p in reader.feed(f) if k == stream)
        assert got == b"".join(data for kind, data in written if kind == stream)


def test_single_bytes_are_merged_into_few_frames() -> None:
    ring = Ring(1 << 18)
    for _ in range(100_000):
        ring.add(frames.frame(frames.STDOUT, b"x"))
    assert len(ring) == 100_000
    assert len(ring.frames()) < 100


def test_what_is_held_stays_bounded() -> None:
    ring = Ring(1000)
    for _ in range(1000):
        ring.add(frames.frame(frames.STDOUT, b"y" * 5000))
    assert len(ring) == 5000


def test_frames_given_out_do_not_change_later() -> None:
    ring = Ring(1000)
    ring.add(frames.frame(frames.STDOUT, b"a"))
    before = ring.frames()
    ring.add(frames.frame(frames.STDOUT, b"b"))
    assert before == [frames.frame(frames.STDOUT, b"a")]
