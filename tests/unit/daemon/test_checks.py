"""What a request for a box must not say."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.models import BoxSpec, ExecSpec, Image, Mount
from boxyd.boxes_check import check_exec, check_spec, command_line, signal_number

IMAGE = Image(name="i", id="", source="", cmd=["sh", "-l"], entrypoint=[])


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": ""},
        {"name": "a b"},
        {"userns": "bridge"},
        {"seccomp": "off"},
        {"userns": "x"},
        {"hostname": "-a"},
        {"hostname": "a b"},
        {"hostname": "x" * 65},
        {"labels": {"": "x"}},
        {"labels": {"a b": "x"}},
        {"command": ["a\0"]},
        {"command": ["\ud800"]},
        {"command": ["x" * 200_000]},
        {"env": {"": "x"}},
        {"env": {"A=B": "x"}},
        {"env": {"A": "\0"}},
        {"workdir": "relative"},
        {"user": "a b"},
        {"user": "1:2:3"},
        {"rows": 0},
        {"cols": 70_000},
        {"stop_signal": "SIGNONE"},
        {"stop_timeout": -2.0},
        {"stop_timeout": float("nan")},
        {"mounts": [Mount(source="rel", target="/a")]},
        {"mounts": [Mount(source="/a", target="/../b")]},
        {"mounts": [Mount(source="/a", target="/")]},
        {"mounts": [Mount(source="/a", target="/b"), Mount(source="/c", target="/b/")]},
    ],
)
def test_a_wrong_field_is_refused_with_what_would_be_right(wrong: dict[str, object]) -> None:
    spec = BoxSpec(**{"image": "i", **wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest) as caught:
        check_spec(spec)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    assert caught.value.hint


def test_an_ordinary_spec_passes() -> None:
    check_spec(
        BoxSpec(
            image="i",
            name="web",
            hostname="web.local",
            labels={"a.b/c": "x y"},
            user="www-data:33",
            env={"A": "b=c\n"},
            workdir="/",
            stop_signal="INT",
            stop_timeout=-1,
            mounts=[Mount(source="/a", target="/b")],
        )
    )


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (BoxSpec(image="i"), ["sh", "-l"]),
        (BoxSpec(image="i", command=["ls"]), ["ls"]),
        (BoxSpec(image="i", entrypoint=["env"]), ["env"]),
        (BoxSpec(image="i", entrypoint=["env"], command=["a"]), ["env", "a"]),
        (BoxSpec(image="i", entrypoint=[""], command=["a"]), ["a"]),
    ],
)
def test_entrypoint_and_command_resolve_as_in_docker(spec: BoxSpec, line: list[str]) -> None:
    assert command_line(spec, IMAGE) == line


def test_the_images_entrypoint_stands_before_the_command() -> None:
    image = Image(name="i", id="", source="", cmd=["a"], entrypoint=["e"])
    assert command_line(BoxSpec(image="i"), image) == ["e", "a"]
    assert command_line(BoxSpec(image="i", command=["b"]), image) == ["e", "b"]


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no command"):
        command_line(BoxSpec(image="i", entrypoint=[]), IMAGE)
    with pytest.raises(InvalidRequest, match="empty word"):
        command_line(BoxSpec(image="i", command=[""]), IMAGE)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigkill", 9),
        ("9", 9),
        (" 2 ", 2),
        ("RTMIN", 34),
        ("RTMIN+3", 37),
        ("SIGRTMAX-1", 63),
        ("64", 64),
    ],
)
def test_signals_go_by_name_and_number(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-9", "SIG", "NONE", "TERM+1", "RTMIN+99", "RTMIN+x", "²", "SIG_DFL"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        signal_number(text)


@given(st.text(max_size=30))
def test_any_text_is_a_signal_or_an_error(text: str) -> None:
    try:
        number = signal_number(text)
    except BoxyError:
        return
    assert 1 <= number <= signal.SIGRTMAX


@pytest.mark.parametrize("command", [[], [""], ["a\0b"]])
def test_an_exec_needs_a_command(command: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        check_exec(ExecSpec(command=command))
