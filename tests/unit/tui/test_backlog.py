"""What waits to be parsed: bytes and marks in their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxy_tui.panes.backlog import HIGH, LOW, Backlog


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(1, 64))
def test_bytes_come_out_as_they_went_in(parts: list[bytes], limit: int) -> None:
    backlog = Backlog()
    for part in parts:
        backlog.add(part)
    out = bytearray()
    while (item := backlog.take(limit)) is not None:
        assert isinstance(item, bytes)
        assert 0 < len(item) <= limit
        out += item
    assert bytes(out) == b"".join(parts)
    assert backlog.size == 0


def test_a_mark_waits_for_the_bytes_before_it() -> None:
    backlog = Backlog()
    backlog.add(b"before")
    backlog.mark(lambda: None)
    backlog.add(b"after")
    first, second, third = backlog.take(), backlog.take(), backlog.take()
    assert first == b"before"
    assert callable(second)
    assert third == b"after"


def test_it_says_once_when_it_is_full_and_once_when_it_has_drained() -> None:
    backlog = Backlog()
    assert not backlog.add(b"x" * HIGH)
    assert backlog.add(b"x")
    assert not backlog.add(b"x")
    while backlog.size >= LOW:
        assert not backlog.drained()
        backlog.take()
    assert backlog.drained()
    assert not backlog.drained()


def test_dropping_the_bytes_keeps_the_marks() -> None:
    backlog = Backlog()
    done: list[str] = []
    backlog.add(b"stale")
    backlog.mark(lambda: done.append("mark"))
    backlog.clear_bytes()
    mark = backlog.take()
    assert callable(mark)
    mark()
    assert done == ["mark"]
    assert not backlog
