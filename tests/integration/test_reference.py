"""The reference tells the truth: its examples are sent, its tables compared with the code."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from boxy_core import errors, protocol
from boxy_core.models import TRANSITIONS
from boxyd import main
from boxyd.handlers import routes
from tests.integration.conftest import Served, closed
from tests.support.images import REPOSITORY

REFERENCE = REPOSITORY / "docs" / "reference"
API = "/boxy/v1"


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a line that begins with `heading`."""
    lines = text[text.index("\n" + heading) :].splitlines()[2:]
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip("|").split("|")])
        elif table:
            break
    return table[2:]


def examples(text: str) -> list[tuple[str, str, str]]:
    """(method, target, body) of each curl command, in order."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[0] == "curl", line
            url = next(word for word in words if word.startswith("http://boxy/"))
            body = words[words.index("-d") + 1] if "-d" in words else ""
            method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
            parts = urlsplit(url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            found.append((method, target, body))
    return found


async def test_every_example_of_the_wire_protocol_is_answered_as_it_says(served: Served) -> None:
    for method, target, body in examples(page("wire-protocol.md")):
        data = body.replace('"alpine"', '"tiny"').encode()
        path = target.replace("/alpine", "/tiny")
        reader, writer = await served.connect()
        head = f"{method} {path} HTTP/1.1\r\nHost: boxy\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        assert answer.split()[1] in (b"200", b"201"), (method, path, answer)
        await closed(writer)
    assert len(served.house.shelf) == 0


def test_every_request_has_an_example() -> None:
    text = page("wire-protocol.md")
    shown = [(method, urlsplit(target).path) for method, target, _ in examples(text)]
    for route in routes():
        pattern = re.compile(re.sub(r"\{\w+(:[^}]*)?\}", "[^/]+", route.path))
        found = any(m == route.method and pattern.fullmatch(path) for m, path in shown)
        streamed = f"`{route.method} ...{route.path.rpartition('}')[2]}`" in text
        in_words = re.sub(r"\{(\w+)(:[^}]*)?\}", lambda m: m[1].upper(), route.path)
        tabled = f"`{route.method} {in_words.removeprefix(API)}`" in text
        assert found or streamed or tabled, (route.method, route.path)


def test_the_table_of_errors_is_the_error_tree() -> None:
    documented = {
        row[0].strip("`"): int(row[1]) for row in rows(page("wire-protocol.md"), "## Err")
    }
    for code, status in documented.items():
        assert errors.BY_CODE[code].http_status == status
    ours = {c for c, cls in errors.BY_CODE.items() if cls.__module__ == errors.__name__}
    assert ours - documented.keys() <= {"error", "protocol-error"}


def test_the_table_of_frames_is_the_protocol() -> None:
    documented = {int(row[0]): row[1] for row in rows(page("wire-protocol.md"), "On the stream")}
    assert documented == protocol.NAMES


def test_the_table_of_states_is_the_one_that_is_enforced() -> None:
    documented = {
        row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1]))
        for row in rows(page("events.md"), "## The states")
    }
    assert documented == {str(a): {str(b) for b in moves} for a, moves in TRANSITIONS.items()}


def test_every_event_that_is_told_is_in_the_table_and_no_other() -> None:
    documented = {row[0].strip("`") for row in rows(page("events.md"), "## The order")}
    told: set[str] = set()
    for path in sorted(Path(REPOSITORY, "boxyd").rglob("*.py")):
        told |= set(re.findall(r'"((?:box|image|volume|daemon|network)\.\w+)"', path.read_text()))
    assert documented == told - {"box.json", "image.json", "volume.json"}


def test_every_option_and_variable_is_in_the_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main.parse(["--help"], {})
    options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    text = page("configuration.md")
    assert set(re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE)) == options
    source = Path(main.__file__).read_text()
    for variable in set(re.findall(r"BOXY_[A-Z_]+[A-Z]", source)):
        assert variable in text
