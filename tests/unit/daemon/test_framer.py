"""Where an upgrade request ends: the framer against pieces of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyd.hijack import MAX_HEAD, Framer

GET = b"GET /boxy/v1/boxes HTTP/1.1\r\nHost: b\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello"
START = b"POST /start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: boxy-stream\r\n\r\n"
EXEC = b'POST /exec HTTP/1.1\r\nUPGRADE:  Boxy-Stream \r\nContent-Length: 12\r\n\r\n{"a":"\\r\\n"}'
CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


def test_the_samples_say_their_own_length() -> None:
    assert len(EXEC.split(b"\r\n\r\n")[1]) == 12


@given(
    st.lists(st.sampled_from([GET, POST, b"\r\n" + GET])),
    st.sampled_from([START, EXEC]),
    st.binary(max_size=200),
    st.lists(st.integers(1, 40)),
)
def test_all_up_to_the_upgrades_end_is_http_and_nothing_after_it(
    before: list[bytes], upgrade: bytes, early: bytes, cuts: list[int]
) -> None:
    http = b"".join(before) + upgrade
    data = http + early
    framer, taken, at = Framer(), b"", 0
    sizes = [*cuts, len(data)]
    for size in sizes:
        piece = data[at : at + size]
        if not piece or framer.upgraded:
            break
        looked = framer.look(piece)
        used = framer.take(piece)
        assert looked == used
        taken += piece[:used]
        at += used
    assert framer.upgraded
    assert taken == http


@given(st.binary(max_size=300))
def test_looking_changes_nothing(data: bytes) -> None:
    framer = Framer()
    first = framer.look(data)
    assert framer.look(data) == first == framer.take(data)


def test_a_chunked_request_makes_the_connection_opaque() -> None:
    framer = Framer()
    assert framer.take(CHUNKED + START) == len(CHUNKED + START)
    assert framer.opaque
    assert not framer.upgraded


def test_a_head_without_end_is_passed_on_to_be_refused() -> None:
    framer = Framer()
    data = b"GET / HTTP/1.1\r\nx: " + b"y" * (MAX_HEAD + 1)
    assert framer.take(data) == len(data)
    assert framer.opaque


@pytest.mark.parametrize("other", [b"websocket", b"boxy-stream2", b"xboxy-stream"])
def test_another_protocol_is_no_upgrade_of_ours(other: bytes) -> None:
    framer = Framer()
    data = START.replace(b"boxy-stream", other) + b"rest"
    assert framer.take(data) == len(data)
    assert not framer.upgraded
