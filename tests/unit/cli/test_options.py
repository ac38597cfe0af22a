"""Flags are read as Docker's users write them, and mistakes are answered with what was meant."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxy_cli import table
from boxy_core.errors import InvalidRequest
from boxy_core.flags import options
from boxy_core.flags.options import Argument, Command, HelpAsked, Option
from boxy_core.flags.suggest import distance, nearest

EVERY = sorted(command.name for command in table.every())


def parse(name: str, *words: str) -> options.Args:
    return options.parse(table.load(name), words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-it", "alpine"], {"interactive": True, "tty": True, "detach": False}),
        (["-dit", "alpine"], {"interactive": True, "tty": True, "detach": True}),
        (["-m512m", "alpine"], {"memory": 512 << 20}),
        (["-m=512m", "alpine"], {"memory": 512 << 20}),
        (["-itm", "1g", "alpine"], {"memory": 1 << 30, "tty": True}),
        (["--memory=1.5g", "alpine"], {"memory": 1536 << 20}),
        (["--memory", "1g", "alpine"], {"memory": 1 << 30}),
        (["-e", "A=1", "--env", "B=2", "alpine"], {"env": ["A=1", "B=2"]}),
        (["--rm=false", "alpine"], {"rm": False}),
        (["--rm=true", "-t=false", "alpine"], {"rm": True, "tty": False}),
        (["--net", "host", "alpine"], {"network": "host"}),
        (["-c", "512", "alpine"], {"cpu_shares": 512}),
        (["-h", "web", "alpine"], {"hostname": "web"}),
        (["--pids-limit", "-1", "alpine"], {"pids_limit": -1}),
        (["--", "alpine", "ls"], {"image": "alpine", "command": ["ls"]}),
        (["--stop-timeout", "0", "alpine"], {"stop_timeout": 0.0}),
    ],
)
def test_run_reads_its_flags(words: list[str], expected: dict[str, Any]) -> None:
    args = parse("run", *words)
    assert {key: args[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["alpine", "ls", "-la", "--color"], ["ls", "-la", "--color"]),
        (["alpine", "--", "ls", "-l"], ["ls", "-l"]),
        (["alpine", "sh", "-c", "echo -- $@", "--", "x"], ["sh", "-c", "echo -- $@", "--", "x"]),
        (["--rm", "alpine", "--rm"], ["--rm"]),
        (["alpine", "--help"], ["--help"]),
        (["alpine"], []),
    ],
)
def test_what_follows_the_image_belongs_to_the_box(words: list[str], command: list[str]) -> None:
    assert parse("run", *words)["command"] == command


def test_flags_may_follow_arguments_where_nothing_is_passed_through() -> None:
    args = parse("stop", "web", "-t", "5", "db")
    assert (args["box"], args["time"]) == (["web", "db"], 5.0)


@pytest.mark.parametrize(
    ("name", "words", "says", "hint"),
    [
        ("run", [], "needs an IMAGE", "usage: boxy run"),
        ("run", ["--memroy", "1g", "alpine"], "no flag --memroy", "did you mean --memory?"),
        ("run", ["-itx", "alpine"], "no flag -x in -itx", ""),
        ("run", ["--memory"], "--memory needs a value", "boxy help run"),
        ("run", ["-m", "lots", "alpine"], "-m: 'lots' is not a size", "512m"),
        ("run", ["--cpus=0", "alpine"], "--cpus: '0' is not a number of CPUs", "0.5"),
        ("run", ["--userns", "hots", "alpine"], "'hots' is not one of", "did you mean host?"),
        ("network create", ["--mtu", "x", "n"], "not a number of bytes", ""),
        ("run", ["--rm=maybe", "alpine"], "--rm is on or off", "--rm=false"),
        ("run", ["--pids-limit", "0", "alpine"], "'0' is not a number of processes", "-1"),
        ("rename", ["web"], "needs a NAME", "boxy rename"),
        ("rename", ["web", "a", "b"], "does not take 'b'", "usage"),
        ("stop", [], "needs a BOX", "BOX..."),
        ("ps", ["-f", "running"], "is not a filter", "status=exited"),
        ("logs", ["--tail", "-3", "web"], "is not a number of lines", "all"),
        ("logs", ["--since", "soon", "web"], "is not a point in time", "3 hours ago"),
        ("completion", ["tcsh"], "is not one of bash", ""),
    ],
)
def test_a_mistake_is_named_with_what_to_do(
    name: str, words: list[str], says: str, hint: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(name, *words)
    assert says in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", EVERY)
def test_every_command_explains_itself(name: str) -> None:
    command = table.load(name)
    assert command.name == name
    assert command.description.endswith(".")
    with pytest.raises(HelpAsked):
        options.parse(command, ["--help"])


@pytest.mark.parametrize("name", EVERY)
def test_no_flag_is_spelled_twice_and_every_one_is_explained(name: str) -> None:
    command = table.load(name)
    spelled = [f for o in command.options for f in (*o.flags, *o.aliases)]
    assert len(spelled) == len(set(spelled))
    keys = [o.key for o in command.options] + [a.key for a in command.arguments]
    assert len(keys) == len(set(keys))
    assert all(option.help and not option.help.endswith(".") for option in command.options)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)  # one reader for all sixty commands: 1,500 lines in all
@given(words=st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["--", "-", "-it", "--env"]))))
def test_any_words_are_read_or_refused_as_a_mistake(name: str, words: list[str]) -> None:
    command = table.load(name)
    with suppress(HelpAsked, InvalidRequest):
        assert isinstance(options.parse(command, words), options.Args)


def test_an_argument_that_may_be_missing_is_none_then() -> None:
    command = Command(
        "x", lambda _context, _args: 0, description=".", arguments=(Argument("T", "t", count="?"),)
    )
    assert options.parse(command, [])["t"] is None
    assert options.parse(command, ["a"])["t"] == "a"


def test_a_lone_dash_is_an_argument() -> None:
    assert parse("rm", "-")["box"] == ["-"]


def test_an_option_is_called_by_its_last_flag() -> None:
    assert Option("-c", "--cpu-shares", help="x").key == "cpu_shares"


@pytest.mark.parametrize(
    ("word", "meant"),
    [("pss", "ps"), ("strat", "start"), ("exce", "exec"), ("imgaes", "images"), ("lgos", "logs"),
     ("inspcet", "inspect"), ("stat", "stats"), ("compl", "completion"), ("xyzzy", "")],
)  # fmt: skip
def test_a_mistyped_command_is_recognised(word: str, meant: str) -> None:
    assert nearest(word, table.modules()) == meant


@given(st.text(max_size=8), st.text(max_size=8))
def test_the_distance_of_words_is_symmetric_and_zero_only_for_the_same(a: str, b: str) -> None:
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
