"""The shim's frames are the protocol's, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core import protocol
from boxyd.runtime import frames

TYPES = {name.upper().replace("-", "_"): number for number, name in protocol.NAMES.items()}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_each_type_has_the_protocols_number(name: str) -> None:
    assert getattr(frames, name) == TYPES[name]


def test_header_and_limits_are_the_protocols() -> None:
    assert frames.HEADER.format == protocol.HEADER.format
    assert frames.SIZE.format == protocol.SIZE.format
    assert frames.MAX_FRAME == protocol.MAX_FRAME


@given(st.sampled_from(sorted(protocol.NAMES)), st.binary(max_size=300))
def test_a_frame_is_built_like_the_protocols(kind: int, payload: bytes) -> None:
    assert frames.frame(kind, payload) == protocol.frame(kind, payload)


CLIENT_TYPES = [frames.STDIN, frames.RESIZE, frames.STDIN_EOF, frames.SIGNAL]


@given(
    st.lists(st.tuples(st.sampled_from(CLIENT_TYPES), st.binary(max_size=50)), max_size=8),
    st.integers(1, 40),
)
def test_a_stream_cut_anywhere_gives_the_same_frames(
    sent: list[tuple[int, bytes]], step: int
) -> None:
    stream = b"".join(protocol.frame(kind, payload) for kind, payload in sent)
    reader = frames.FrameReader()
    got = [f for at in range(0, len(stream), step) for f in reader.feed(stream[at : at + step])]
    assert got == sent


@pytest.mark.parametrize(
    "bad",
    [
        protocol.frame(protocol.STDOUT, b"x"),
        protocol.HEADER.pack(200, 0),
        protocol.HEADER.pack(0, frames.MAX_FRAME + 1),
        b"\0\1\0\0\0\0\0\0",
    ],
    ids=["a type that clients do not send", "an unknown type", "too long", "padding not zero"],
)
def test_what_no_client_may_send_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match="stream frame"):
        frames.FrameReader().feed(bad)
