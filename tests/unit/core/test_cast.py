"""Recordings: what is written can be read by anyone, what others wrote can be read."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core import cast
from boxy_core.errors import InvalidRequest

HEAD = '{"version": 2, "width": 80, "height": 24}\n'


@given(st.text(max_size=60), st.lists(st.integers(0, 200), max_size=6))
def test_characters_cut_anywhere_are_whole_in_the_recording(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    writer = cast.Writer(80, 24)
    lines = [writer.header(timestamp=1)]
    at = 0
    for cut in [*sorted({min(cut, len(data)) for cut in cuts}), len(data)]:
        lines.append(writer.output(0.5, data[at:cut]))
        at = cut
    recording = cast.read([line for line in lines if line], "x")
    assert "".join(event.data for event in recording.events).encode() == data


def test_a_recording_has_what_the_format_asks_for() -> None:
    writer = cast.Writer(100, 30)
    head = json.loads(writer.header(timestamp=1700000000, title="web: sh", env={"TERM": "xterm"}))
    assert head == {
        "version": 2, "width": 100, "height": 30, "timestamp": 1700000000, "title": "web: sh",
        "env": {"TERM": "xterm"},
    }  # fmt: skip
    assert json.loads(writer.output(1.25, b"a\x1b[0m")) == [1.25, "o", "a\x1b[0m"]
    assert json.loads(writer.output(1.5, b"k", cast.INPUT)) == [1.5, "i", "k"]
    assert writer.resize(2, 100, 30) == ""
    assert json.loads(writer.resize(2, 120, 40)) == [2, "r", "120x40"]


def test_recordings_of_others_are_read() -> None:
    lines = [
        '{"version":2,"width":90,"height":25,"idle_time_limit":2,"title":"t","theme":{}}\n',
        '[0.1,"o","a"]\n',
        "\n",
        '[50,"o","b"]\n',
        '[49.0,"m","back in time"]\n',
        '[60,"r","40x10"]\n',
        '[61,"future","kind"]\n',
        '[62,"o","cut o',
    ]
    recording = cast.read(lines, "x")
    assert (recording.columns, recording.rows, recording.title) == (90, 25, "t")
    assert [(event.at, event.code) for event in recording.events] == [
        (0.1, "o"), (2.1, "o"), (2.1, "m"), (4.1, "r"),
    ]  # fmt: skip
    assert recording.events[-1].size == (40, 10)
    assert recording.length == 4.1


def test_version_3_counts_from_event_to_event() -> None:
    lines = ['{"version":3,"term":{"cols":70,"rows":20}}\n', '[1,"o","a"]\n', '[2,"o","b"]\n']
    recording = cast.read(lines, "x")
    assert (recording.columns, recording.rows) == (70, 20)
    assert [event.at for event in recording.events] == [1, 3]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "first line"),
        (["not json\n"], "first line"),
        (['{"version": 1}\n'], "first line"),
        ([HEAD, "[1]\n", '[2,"o","b"]\n'], "line 2"),
        ([HEAD, '[1,"o","a"]\n', '[-1,"o","b"]\n'], "line 3"),
        ([HEAD, '["1","o","a"]\n'], "line 2"),
        ([HEAD, '[true,"o","a"]\n'], "line 2"),
        ([HEAD, '[1,"o",5]\n'], "line 2"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(lines: list[str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as caught:
        cast.read(lines, "demo.cast")
    assert "demo.cast" in caught.value.message


@given(st.lists(st.text(max_size=30), max_size=8))
def test_no_text_breaks_the_reader(lines: list[str]) -> None:
    with contextlib.suppress(InvalidRequest):
        cast.read([HEAD, *lines], "x")


def test_absurd_sizes_are_the_usual_one() -> None:
    for size in ('"width": 0, "height": 5', '"width": 99999, "height": 5', '"width": "x"'):
        recording = cast.read([f'{{"version": 2, {size}}}\n'], "x")
        assert (recording.columns, recording.rows) == (80, 24)
