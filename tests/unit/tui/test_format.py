"""Cells, columns, figures and curves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from boxy_core.models import Event, Image, Limits, Status
from boxy_tui import format as show
from boxy_tui.palette import style
from boxy_tui.state import IDLE
from boxy_tui.widgets.lines import pad, to_strip
from tests.tui.fake_daemon import NOW, make_box


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (-5, "0"), (512, "512B"), (1536, "1.5K"), (23 << 20, "23M"), (1 << 40, "1.0T")],
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert show.size(count) == text


@given(st.integers(0, 1 << 60))
def test_no_size_is_wider_than_its_column(count: int) -> None:
    assert len(show.size(count)) <= 5


@given(st.floats(0, 1e9))
def test_no_duration_is_wider_than_seven(seconds: float) -> None:
    assert len(show.span(seconds)) <= 6


def test_durations_name_the_largest_unit() -> None:
    assert [show.span(s) for s in (-1, 8, 150, 7200, 900_000)] == ["0s", "8s", "2m", "2h", "10d"]


def test_every_status_has_a_sign_of_its_own_and_a_known_colour() -> None:
    assert set(show.GLYPHS) == set(Status)
    assert len({sign for sign, _ in show.GLYPHS.values()}) == len(Status)
    for _, colour in show.GLYPHS.values():
        style(colour)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_gives_a_row_as_wide_as_its_columns(status: Status) -> None:
    row = show.box_row(make_box("web", status), IDLE, [], NOW)
    assert len(row) == len(show.BOX_COLUMNS)
    for _, colour in row:
        style(colour)


def test_an_exited_box_says_how_and_when() -> None:
    assert show.status_text(make_box("b", Status.EXITED, code=137), NOW) == (
        "exited 137 10m",
        "bad",
    )


def test_a_name_with_escape_sequences_is_shown_not_obeyed() -> None:
    box = replace(make_box("web"), name="\x1b[2Jevil\x07", args=["sh", "\x1b]0;x\x07"])
    row = show.box_row(box, IDLE, [], NOW)
    lines = show.detail_lines(replace(box, error="\x1b[H"), NOW)
    for text, _ in [*row, *(cell for line in lines for cell in line)]:
        assert text.isprintable()


def test_what_weakens_a_box_is_said_before_anything_else() -> None:
    box = replace(make_box("web"), weakened=["privileged: everything\x1b[2J", "pid host"])
    lines = ["".join(text for text, _ in line) for line in show.detail_lines(box, NOW, 3 << 20)]
    assert lines[1].startswith("weak")
    assert "privileged" in lines[1]
    assert "pid host" in lines[1]
    assert "3.0M of its own on disk" in lines[-1]
    assert not [line for line in show.detail_lines(make_box("x"), NOW) if "weak" in line[0][0]]


def test_every_limit_shows() -> None:
    limits = Limits(memory=1 << 30, memory_reservation=1 << 20, cpus=0.5, cpu_shares=2, cpuset="0",
                    pids=5, io_weight=10, io_read_bps={"/dev/a": 1}, disk=1 << 30)  # fmt: skip
    box = make_box("web")
    text = show.bounds(replace(box, spec=replace(box.spec, limits=limits)))
    assert text == (
        "memory 1.0G, reserved 1.0M, cpus 0.5, weight 2, cpuset 0, pids 5, disk weight 10, "
        "disk rates, layer 1.0G"
    )


def test_a_broken_image_says_why() -> None:
    row = show.image_row(Image(name="odd", id="", source="/r/odd", problem="no archive"))
    assert ("no archive", "bad") in row
    assert len(row) == len(show.IMAGE_COLUMNS)


@given(st.integers(20, 300))
def test_columns_fit_and_the_important_ones_never_go(width: int) -> None:
    fitted = show.fit(show.BOX_COLUMNS, width)
    shown = {show.BOX_COLUMNS[i].title for i, _ in fitted}
    assert {"NAME", "STATUS"} <= shown
    if width >= 40:
        assert sum(w for _, w in fitted) + 2 * (len(fitted) - 1) <= width


@given(st.lists(st.floats(0, 1e6), max_size=400), st.integers(1, 60), st.integers(1, 12))
def test_a_curve_has_exactly_its_cells(values: list[float], width: int, height: int) -> None:
    rows = show.braille(values, width, height, 1000.0)
    assert [len(row) for row in rows] == [width] * height


def test_a_curve_shows_little_as_a_dot_and_nothing_as_nothing() -> None:
    assert show.braille([0.0, 0.0], 1, 1, 100.0) == [" "]
    assert show.braille([0.001, 0.0], 1, 1, 100.0) == ["\u2840"]
    assert show.braille([100.0, 100.0], 1, 2, 100.0) == ["\u28ff", "\u28ff"]


@given(st.lists(st.floats(0, 1e12), max_size=20))
def test_the_ceiling_is_never_below_a_value(values: list[float]) -> None:
    assert show.ceiling(values, 10.0) >= max([10.0, *values])


@given(st.text(max_size=40), st.integers(1, 30))
def test_padding_gives_exactly_the_width(text: str, width: int) -> None:
    from rich.cells import cell_len

    assert cell_len(pad(show.plain(text), width)) == width


def test_a_line_is_cut_at_its_width() -> None:
    strip = to_strip([("abc", ""), ("defgh", "dim")], 5)
    assert strip.text == "abcd…"
    assert strip.cell_length == 5


def test_an_image_that_has_only_not_been_made_is_not_broken() -> None:
    image = Image(name="debian", id="", source="/r", problem="no root yet", remedy="make it")
    row = show.image_row(image)
    assert (row[3], row[5]) == (("not made", "warn"), ("make it", "warn"))
    text = "\n".join("".join(cell for cell, _ in line) for line in show.image_lines(image))
    assert "no root yet" in text
    assert "make it" in text


def test_a_paused_box_tells_since_when_it_is_paused() -> None:
    box = replace(make_box("web"), status=Status.PAUSED, started=100.0, paused=900.0)
    assert show.status_text(box, 960.0)[0] == "paused 60s"


def test_a_name_has_the_room_that_images_leave() -> None:
    def width(title: str, images: list[str]) -> int:
        columns = show.snug(show.BOX_COLUMNS, images)
        widths = dict(show.fit(columns, 75))
        return widths[[column.title for column in columns].index(title)]

    assert width("NAME", ["host"]) >= width("NAME", ["registry.example/app"]) + 4
    assert width("IMAGE", ["host"]) == len("IMAGE")
    assert width("IMAGE", []) == len("IMAGE")
    assert width("IMAGE", ["registry.example/app"]) >= 9


def test_an_event_of_the_daemons_says_that_it_is_the_daemons() -> None:
    event = Event(cursor=1, time=0.0, type="daemon.started")
    words = "".join(text for text, _ in show.event_line(event, "10:00:00"))
    assert words.split() == ["10:00:00", "started", "daemon"]
