"""Names of boxes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import InvalidRequest
from boxyd.names import ADJECTIVES, NOUNS, check_name, new_name


@pytest.mark.parametrize("name", ["a", "A1", "web.1", "a_b-c", "0", "x" * 128, "ab" * 31])
def test_good_names_pass(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "_a", "a b", "a/b", "ü", "a\n", "x" * 129, "ab" * 32, "a\0", "\x1b[2J"]
)
def test_bad_names_are_refused_in_one_printable_sentence(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(name)
    assert caught.value.message.isprintable()
    assert caught.value.hint


@given(st.text())
def test_what_passes_is_safe_on_a_terminal_and_in_a_path(name: str) -> None:
    try:
        check_name(name)
    except InvalidRequest:
        return
    assert name.isascii()
    assert name.isprintable()
    assert "/" not in name


def test_every_friendly_name_is_a_good_name() -> None:
    for word in ADJECTIVES + NOUNS:
        assert word.isascii()
        assert word.islower()
        check_name(word)


def test_friendly_names_avoid_those_that_are_taken() -> None:
    every = {f"{a}_{n}" for a in ADJECTIVES for n in NOUNS}
    name = new_name(every)
    assert name not in every
    check_name(name)
