"""Each model round-trips, refuses what it does not know by name, and the states' table holds."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest

from boxy_core import models, models_network
from boxy_core.errors import InvalidRequest
from boxy_core.models import ALIVE, TRANSITIONS, Model, Status

MODELS = sorted(
    (
        cls
        for cls in {**vars(models), **vars(models_network)}.values()
        if isinstance(cls, type) and issubclass(cls, msgspec.Struct) and cls.__struct_fields__
    ),
    key=lambda cls: cls.__name__,
)


def sample(kind: Any, depth: int = 0) -> Any:
    """A value of a type, each field filled."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return [sample(args[0], depth + 1)]
    if origin is dict:
        return {"key": sample(args[1], depth + 1)}
    if args:  # X | None
        return sample(args[0], depth)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(
            **{name: sample(hint, depth + 1) for name, hint in hints.items() if name[0] != "_"}
        )
    plain: dict[Any, Any] = {str: "text", int: 7, float: 1.5, bool: True, Status: Status.RUNNING}
    return plain.get(kind, "anything")


def test_there_are_models_to_test() -> None:
    assert {"Box", "BoxSpec", "Event", "ExitInfo", "Image", "Network", "Stats"} <= {
        m.__name__ for m in MODELS
    }


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_a_model_round_trips_as_json_and_as_builtins(cls: type[Model]) -> None:
    value = sample(cls)
    assert models.decode(cls, models.encode(value)) == value
    assert models.convert(cls, models.to_builtins(value)) == value


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_an_unknown_field_is_refused_by_its_name(cls: type[Model]) -> None:
    data = models.to_builtins(sample(cls)) | {"surplus": 1}
    with pytest.raises(InvalidRequest, match="surplus"):
        models.decode(cls, msgspec.json.encode(data))
    with pytest.raises(InvalidRequest, match="surplus"):
        models.convert(cls, data)


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_a_wrong_type_is_refused_by_the_field_s_name(cls: type[Model]) -> None:
    data = models.to_builtins(sample(cls))
    for name in data:
        if typing.get_type_hints(cls)[name] is Any:
            continue
        with pytest.raises(InvalidRequest, match=name):
            models.convert(cls, data | {name: object})


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_a_model_cannot_be_changed(cls: type[Model]) -> None:
    value = sample(cls)
    with pytest.raises(AttributeError):
        setattr(value, cls.__struct_fields__[0], None)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"nul"])
def test_what_is_no_json_object_is_an_invalid_request(text: bytes) -> None:
    with pytest.raises(InvalidRequest):
        models.decode(models.BoxSpec, text)


def test_every_state_has_its_row_and_leads_somewhere_but_the_last() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert [state for state, targets in TRANSITIONS.items() if not targets] == [Status.REMOVING]


def test_every_state_is_reached_from_created_and_can_end_as_removing() -> None:
    for start in Status:
        reached, waiting = {start}, [start]
        while waiting:
            new = TRANSITIONS[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert Status.REMOVING in reached
        if start is Status.CREATED:
            assert reached == set(Status)


def test_a_box_with_processes_cannot_be_removed_directly() -> None:
    for state in ALIVE:
        assert Status.REMOVING not in TRANSITIONS[state]
