"""HTTP as the clients read it: cut anywhere it is the same, malformed it is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.client.http import HEAD_LIMIT, ResponseReader, quote, request_head, target
from boxy_core.errors import ProtocolError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: boxy-stream\r\n\r\n"
INFORMED = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN
BODIES = {PLAIN: b"hello", CHUNKED: b"hello world", EMPTY: b"", SWITCH: b"", INFORMED: b"hello"}


def read(*parts: bytes) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader()
    return reader, b"".join(reader.feed(part) for part in parts)


@pytest.mark.parametrize("response", BODIES, ids=["plain", "chunked", "empty", "switch", "100"])
def test_a_response_is_the_same_wherever_it_is_cut(response: bytes) -> None:
    for cut in range(len(response) + 1):
        reader, body = read(response[:cut], response[cut:] + b"REST")
        assert body == BODIES[response]
        assert reader.done
        assert reader.rest == b"REST"


@pytest.mark.parametrize("response", BODIES, ids=["plain", "chunked", "empty", "switch", "100"])
def test_a_response_is_the_same_byte_by_byte(response: bytes) -> None:
    reader, body = read(*(response[i : i + 1] for i in range(len(response))))
    assert body == BODIES[response]
    assert reader.done
    reader.eof()


@pytest.mark.parametrize("response", [PLAIN, CHUNKED, SWITCH])
def test_a_response_that_is_cut_off_is_an_error(response: bytes) -> None:
    for cut in range(len(response)):
        reader, _ = read(response[:cut])
        with pytest.raises(ProtocolError, match="in the middle"):
            reader.eof()


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\n\r\nall", b" of it")
    assert (body, reader.done) == (b"all of it", False)
    reader.eof()
    assert reader.done


def test_header_names_are_in_lower_case() -> None:
    reader, _ = read(PLAIN)
    assert reader.head is not None
    assert reader.head.headers == {"content-length": "5", "x-a": "b"}
    assert (reader.head.status, reader.head.reason) == (200, "OK")
    assert reader.head.keeps_alive()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\0\0\0\0",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 5000,
        b"HTTP/1.1 200 " + b"x" * (HEAD_LIMIT + 1),
    ],
)
def test_what_breaks_the_rules_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


LINES = [b"HTTP/1.1 200 OK\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\n",
         b"Content-Length: 3\r\n"]  # fmt: skip


@given(st.lists(st.binary(max_size=30) | st.sampled_from(LINES), max_size=10))
def test_any_bytes_are_a_response_or_a_protocol_error(parts: list[bytes]) -> None:
    reader = ResponseReader()
    try:
        for part in parts:
            reader.feed(part)
        reader.eof()
    except ProtocolError:
        return
    assert reader.done


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.lists(st.integers(0, 300)))
def test_chunks_come_back_as_the_bytes_that_they_were(chunks: list[bytes], cuts: list[int]) -> None:
    coded = b"".join(b"%X\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + coded
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    reader, body = read(*(whole[a:b] for a, b in zip(edges, edges[1:], strict=False)))  # noqa: RUF007
    assert body == b"".join(chunks)
    assert reader.done


@given(st.text(st.characters(codec="utf-8")))
def test_a_quoted_text_is_safe_in_a_request_line(text: str) -> None:
    from urllib.parse import unquote

    quoted = quote(text, keep_slash=False)
    assert unquote(quoted) == text
    assert quoted.isascii()
    assert not set(quoted) & set(" /?#&+=\r\n")


def test_a_query_leaves_out_none_and_repeats_lists() -> None:
    query = {"all": True, "since": None, "filter": ["a=b", "c d"], "n": 0, "off": False}
    assert target("/boxes", query) == "/boxes?all=1&filter=a%3Db&filter=c%20d&n=0&off=0"
    assert target("/boxes", {"since": None}) == "/boxes"


def test_a_request_says_what_it_carries_and_what_it_wants_to_become() -> None:
    head = request_head("POST", "/x", length=2, upgrade="boxy-stream").decode()
    assert head.startswith("POST /x HTTP/1.1\r\nHost: ")
    assert head.endswith("\r\n\r\n")
    for line in ("Content-Length: 2", "Upgrade: boxy-stream", "Connection: Upgrade"):
        assert f"\r\n{line}\r\n" in head
    assert "Content-" not in request_head("GET", "/x").decode()
