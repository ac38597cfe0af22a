"""The console and files: walking in a box, reading, copying out, what changed, volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from boxy_core.files import write
from boxy_tui.screens.files import copied_out, file_lines
from tests.tui.conftest import Console
from tests.tui.fake_daemon import FakeDaemon


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def entry(name: bytes, data: bytes) -> bytes:
    head = write.header(name, write.FILE, write.Told(0o644, size=len(data)))
    return head + data + write.padding(len(data))


async def test_what_is_copied_out_lies_below_the_folder_that_was_named(tmp_path: Path) -> None:
    data = entry(b"top/file", b"content") + write.END
    assert await copied_out(pieces(data[:700], data[700:]), str(tmp_path)) == 7
    assert (tmp_path / "top" / "file").read_text() == "content"


def test_text_is_shown_as_text_without_its_control_sequences() -> None:
    lines = [line.plain for line in file_lines(b"one\r\ntwo\x1b[2J\x1b]0;x")]
    assert lines[0] == "one"
    assert "\x1b" not in lines[1]


def test_bytes_are_shown_as_bytes() -> None:
    [first, second] = [line.plain for line in file_lines(bytes(range(20)))]
    assert first.startswith("00000000  00 01 02")
    assert second.startswith("00000010  10 11 12 13 ")


async def test_a_box_is_walked_in_read_and_compared_by_keys(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.select("batch")  # it does not run, which is no matter
    await ui.press("f")
    await ui.shows("files", "etc", "bin", "evil")
    assert "\x1b" not in ui.text()
    await ui.press("enter")
    await ui.shows("motd")
    await ui.press("enter")
    await ui.shows("to the box")
    await ui.press("escape", "backspace")
    await ui.shows("bin")
    await ui.press("d")
    await ui.shows("A  /new", "C  /etc", "D  /etc/gone")
    await ui.press("escape", "escape", "c")
    await ui.shows("D  /etc/gone")


async def test_volumes_are_shown_with_who_has_them_and_removed_after_a_question(
    ui: Console, daemon: FakeDaemon
) -> None:
    await ui.press("v")
    await ui.shows("data", "web, db", "nobody has it")
    await ui.press("down", "d")
    await ui.shows("Remove the volume")
    await ui.press("y")
    await ui.until(lambda: ("DELETE", f"/volumes/{'f' * 64}") in daemon.requests)
