"""What is told of execs comes in order, however short their commands are."""

from __future__ import annotations

from contextlib import suppress

from boxyd.boxes_shelf import Execs


def test_an_end_that_comes_before_the_answer_is_told_after_the_start() -> None:
    told: list[str] = []
    execs = Execs()
    with execs.starting():
        execs.ended(lambda: told.append("ended"))
        told.append("started")
    assert told == ["started", "ended"]


def test_with_two_starts_under_way_no_end_overtakes_a_start() -> None:
    told: list[str] = []
    execs = Execs()
    with execs.starting():
        with execs.starting():
            execs.ended(lambda: told.append("first ended"))
            told.append("second started")
        told.append("first started")
    assert told == ["second started", "first started", "first ended"]


def test_a_start_that_fails_holds_nothing_back() -> None:
    told: list[str] = []
    execs = Execs()
    with suppress(ValueError), execs.starting():
        execs.ended(lambda: told.append("another's end"))
        raise ValueError
    execs.ended(lambda: told.append("a later end"))
    assert told == ["another's end", "a later end"]
