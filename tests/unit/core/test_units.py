"""Sizes, CPUs, durations, ages and times: tables, and round trips over everything."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core import units
from boxy_core.errors import InvalidRequest

MI = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", MI),
        ("512m", 512 * MI),
        ("512M", 512 * MI),
        ("512MiB", 512 * MI),
        ("512 mb", 512 * MI),
        ("1.5g", 1536 * MI),
        ("64KiB", 65536),
        ("12b", 12),
        ("0.1k", 102),
        (" 2t ", 2 << 40),
    ],
)
def test_a_size_is_read_in_steps_of_1024(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1.2.3m", "5mm", "5x", "1e3", "٣m", "nan", "9" * 30]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a size") as caught:
        units.parse_size(text)
    assert "512m" in caught.value.hint


@given(st.integers(0, (1 << 63) - 1))
def test_the_exact_form_of_a_size_reads_back(size: int) -> None:
    assert units.parse_size(units.format_size_exact(size)) == size


@given(st.integers(0, 1 << 62))
def test_the_short_form_of_a_size_is_right_to_one_percent(size: int) -> None:
    text = units.format_size(size)
    assert len(text) <= 8
    assert abs(units.parse_size(text) - size) <= max(1, size * 0.01)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1.5KiB"), (13107200, "12.5MiB")],
)
def test_sizes_are_short_for_people(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.floats(0.001, 65536, allow_nan=False))
def test_cpus_read_back(cpus: float) -> None:
    assert units.parse_cpus(units.format_cpus(cpus)) == cpus


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "1,5", "inf", "1e2", "99999"])
def test_what_is_no_number_of_cpus_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        units.parse_cpus(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10), ("10s", 10), ("1h30m", 5400), ("500ms", 0.5), ("1.5m", 90), ("2d", 172800)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "1h30", "-5s", "10 s", "h1"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a duration"):
        units.parse_duration(text)


@given(st.integers(0, 10**12))
def test_a_duration_reads_back_to_the_millisecond(milliseconds: int) -> None:
    text = units.format_duration(milliseconds / 1000)
    assert units.parse_duration(text) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3600 * 3, "3 hours"),
        (86400 * 9, "9 days"),
        (86400 * 15, "2 weeks"),
        (86400 * 70, "2 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_an_age_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert units.format_age(seconds) == text


@given(st.floats(0, 1e10))
def test_an_age_reads_back_as_no_more_than_it_was(seconds: float) -> None:
    again = units.parse_age(units.format_age(seconds) + " ago")
    assert again <= seconds
    assert seconds < 1 or seconds - again <= seconds / 2 + 1


@pytest.mark.parametrize("text", ["", "ago", "3", "3 parsecs", "three hours", "hours 3"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        units.parse_age(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 2e9),
        ("10m", 2e9 - 600),
        ("3 hours ago", 2e9 - 10800),
        ("1700000000.5", 1700000000.5),
        ("2026-11-23T18:53:00Z", 1795459980.0),
        ("2026-11-23T19:53:00.123456789+01:00", 1795459980.123456),
    ],
)
def test_a_point_in_time_is_read_in_all_its_forms(text: str, seconds: float) -> None:
    assert units.parse_time(text, now=2e9) == pytest.approx(seconds, abs=1e-6)


def test_a_date_without_an_offset_is_local() -> None:
    local = dt.datetime(2026, 11, 23, 18, 53).astimezone().timestamp()
    assert units.parse_time("2026-11-23T18:53:00") == local


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "18:53", "2026-11-23T25:00Z"])
def test_what_is_no_point_in_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a point in time"):
        units.parse_time(text)


@given(st.integers(10_000_000_000, 4_000_000_000_000))
def test_a_time_reads_back_to_the_millisecond(milliseconds: int) -> None:
    text = units.format_time(milliseconds / 1000, 3)
    assert units.parse_time(text) == pytest.approx(milliseconds / 1000, abs=1e-4)
