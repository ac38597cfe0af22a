"""Stream frames: what goes in comes out, however it is cut; what is wrong is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core import protocol
from boxy_core.errors import ProtocolError
from boxy_core.protocol import FrameReader, frame

frames = st.lists(st.tuples(st.sampled_from(sorted(protocol.NAMES)), st.binary(max_size=40)))


@given(frames, st.lists(st.integers(0, 400)))
def test_frames_come_back_however_they_are_cut(
    sent: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in sent)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    reader = FrameReader()
    got = []
    for start, end in pairwise(edges):
        got += reader.feed(stream[start:end])
    assert got == sent
    assert reader.pending == 0


@pytest.mark.parametrize(
    "data", [b"\x63\0\0\0\0\0\0\0", b"\x01\0\x01\0\0\0\0\0", b"\x01\0\0\0\0\x10\0\x01"]
)
def test_an_unknown_type_padding_and_an_oversized_payload_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        FrameReader().feed(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_protocol_error(data: bytes) -> None:
    reader = FrameReader()
    try:
        reader.feed(data)
    except ProtocolError:
        return
    assert reader.pending <= len(data)


def test_every_type_has_a_name_of_its_own() -> None:
    assert len(set(protocol.NAMES.values())) == len(protocol.NAMES)


@pytest.mark.parametrize(("rows", "cols"), [(0, 0), (24, 80), (99999, 70000)])
def test_sizes_are_clamped_to_what_a_terminal_can_have(rows: int, cols: int) -> None:
    ((kind, payload),) = FrameReader().feed(protocol.resize(rows, cols))
    got = protocol.SIZE.unpack(payload)
    assert kind == protocol.RESIZE
    assert got == (min(max(rows, 1), 65535), min(max(cols, 1), 65535))
