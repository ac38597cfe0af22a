"""The daemon's own log."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from boxyd import journal

log = logging.getLogger("boxyd.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising


async def test_lines_bear_the_box_that_they_are_about_in_its_tasks_too(stream: io.StringIO) -> None:
    journal.set_up("text", "debug", stream)

    async def work() -> None:
        await asyncio.sleep(0)
        log.info("inner")

    with journal.about("0123456789abcdef"):
        task = asyncio.create_task(work())
    log.info("outer")
    await task
    outer, inner = stream.getvalue().splitlines()
    assert outer.endswith("INFO    outer")
    assert inner.endswith("INFO    [0123456789ab] inner")


def test_a_box_cannot_draw_on_the_operators_terminal(stream: io.StringIO) -> None:
    journal.set_up("text", "debug", stream)
    log.warning("named %s", "\x1b]0;owned\x07\nsecond 2026 ERROR")
    first, second = stream.getvalue().splitlines()
    assert "\x1b" not in first
    assert "\\x1b" in first
    assert second.startswith("    ")


def test_json_is_one_object_per_line(stream: io.StringIO) -> None:
    journal.set_up("json", "info", stream)
    log.debug("not shown")
    try:
        raise ValueError("why\nhow")
    except ValueError:
        with journal.about("f" * 64):
            log.exception("it %s", "broke")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"], line["box"]) == ("error", "it broke", "f" * 12)
    assert "ValueError: why\nhow" in line["traceback"]
    assert line["logger"] == "boxyd.test"


def test_the_level_holds(stream: io.StringIO) -> None:
    journal.set_up("text", "error", stream)
    log.warning("no")
    assert stream.getvalue() == ""
