"""The detach keys: seen however they come, and never in the way of a program's own ctrl-p."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_cli.detach import DEFAULT, PATIENCE, DetachKeys, describe_keys, parse_keys
from boxy_core.errors import InvalidRequest

P, Q = b"\x10", b"\x11"


def keys(text: str = DEFAULT) -> DetachKeys:
    return DetachKeys(parse_keys(text))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ctrl-p,ctrl-q", (P, Q)),
        ("ctrl-],d", (b"\x1d", b"d")),
        ("CTRL-A", (b"\x01",)),
        ("ctrl-@", (b"\x00",)),
        ("^-x", (b"\x18",)),
        ("none", ()),
        ("", ()),
    ],
)
def test_docker_s_notation_is_read(text: str, parsed: tuple[bytes, ...]) -> None:
    assert parse_keys(text) == parsed


@pytest.mark.parametrize(
    "text", ["ctrl-", "ctrl-pp", "alt-x", "ctrl-p,,ctrl-q", "ctrl-1", "pq", ","]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a key"):
        parse_keys(text)


@pytest.mark.parametrize("text", ["ctrl-p ctrl-q", "ctrl-] d", "ctrl-a"])
def test_keys_are_described_as_one_says_them(text: str) -> None:
    assert describe_keys(parse_keys(text.replace(" ", ","))) == text


@pytest.mark.parametrize(
    "parts", [[P + Q], [P, Q], [b"ls" + P, Q + b"rest"], [P, P, Q], [P + P + Q]]
)
def test_the_sequence_detaches_in_one_piece_and_in_several(parts: list[bytes]) -> None:
    machine = keys()
    passed = b"".join(machine.feed(part, 0.0) for part in parts)
    assert machine.detached
    assert passed == b"".join(parts).partition(P + Q)[0]


def test_a_single_key_is_passed_on_with_the_next_one() -> None:
    machine = keys()
    assert machine.feed(P, 1.0) == b""
    assert machine.deadline == 1.0 + PATIENCE
    assert machine.feed(b"x", 1.1) == P + b"x"
    assert machine.deadline is None


def test_a_single_key_is_passed_on_when_its_time_is_up() -> None:
    machine = keys()
    machine.feed(P, 1.0)
    assert machine.expire() == P
    assert machine.deadline is None
    assert machine.feed(Q, 3.0) == Q
    assert not machine.detached


@pytest.mark.parametrize("p", [P, b"\x1b[112;5u", b"\x1b[27;5;112~"])
@pytest.mark.parametrize("q", [Q, b"\x1b[113;5u"])
def test_the_newer_spellings_of_ctrl_keys_are_known(p: bytes, q: bytes) -> None:
    machine = keys()
    machine.feed(b"vim" + p, 0.0)
    machine.feed(q, 0.1)
    assert machine.detached


def test_without_keys_everything_passes() -> None:
    assert keys("none").feed(P + Q, 0.0) == P + Q


@given(st.lists(st.lists(st.sampled_from([P, Q, b"a", b"\x1b"]), max_size=4).map(b"".join)))
def test_nothing_is_lost_or_made_up_before_the_sequence(parts: list[bytes]) -> None:
    machine = keys()
    passed = b""
    for part in parts:
        passed += machine.feed(part, 0.0)
        if machine.detached:
            break
    typed = b"".join(parts)
    if machine.detached:
        assert passed == typed.partition(P + Q)[0]
    else:
        assert passed + machine.expire() == typed
        assert P + Q not in typed


@given(st.lists(st.sampled_from([b"a", b"b"]), max_size=12).map(b"".join))
def test_a_sequence_that_overlaps_itself_loses_nothing(typed: bytes) -> None:
    machine = keys("a,a,b")
    passed = b""
    for i in range(len(typed)):
        passed += machine.feed(typed[i : i + 1], 0.0)
        if machine.detached:
            break
    if not machine.detached:
        assert passed + machine.expire() == typed
        assert b"aab" not in typed
    else:
        assert passed == typed.partition(b"aab")[0]
