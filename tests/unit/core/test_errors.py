"""Each error maps, and comes back from the wire as what it was."""

from __future__ import annotations

import json

import pytest

from boxy_core import errors
from boxy_core.errors import BoxyError

CLASSES = sorted(errors.BY_CODE.values(), key=lambda cls: cls.code)


def every_class() -> set[type[BoxyError]]:
    found = set()
    waiting = [BoxyError]
    while waiting:
        cls = waiting.pop()
        found.add(cls)
        waiting += cls.__subclasses__()
    return {cls for cls in found if cls.__module__ == errors.__name__}


def test_no_class_is_missing_from_the_table_of_codes() -> None:
    assert set(CLASSES) == every_class()


def test_the_drawing_of_the_tree_names_every_class() -> None:
    assert errors.__doc__ is not None
    for cls in CLASSES:
        assert cls.__name__ in errors.__doc__


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_an_error_round_trips_over_the_wire(cls: type[BoxyError]) -> None:
    error = cls("box web is odd", hint="look at it", box="web", number=3)
    again = errors.from_wire(json.loads(json.dumps(error.to_wire())))
    assert type(again) is cls
    assert again.to_wire() == error.to_wire()
    assert (again.message, again.hint, str(again)) == (
        "box web is odd",
        "look at it",
        error.message,
    )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.code)
def test_an_error_has_an_http_status_and_an_exit_status(cls: type[BoxyError]) -> None:
    assert 400 <= cls.http_status <= 599
    assert cls.exit_status in (125, 126, 127)


def test_a_failed_start_keeps_its_step_and_errno() -> None:
    wire = errors.CommandNotFound("no such command", step="exec", errno=2).to_wire()
    again = errors.from_wire(wire)
    assert isinstance(again, errors.StartFailed)
    assert (again.step, again.errno, again.exit_status) == ("exec", 2, 127)


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"code": "from-the-future", "message": "x"},
        {"code": None, "message": None, "hint": None, "details": None},
        {"code": "start-failed", "message": "x", "details": {"errno": "two", "step": 3}},
        {"code": "not-found", "message": "x", "details": {"message": "y", "hint": "z"}},
        {"code": "start-failed", "message": "x", "details": {"hint": "z", "self": "y"}},
    ],
)
def test_an_odd_wire_form_still_gives_an_error(wire: dict[str, object]) -> None:
    again = errors.from_wire(wire)
    assert isinstance(again, BoxyError)
    assert again.message
