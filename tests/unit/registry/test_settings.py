"""Settings, clients and the journal: pure parts of a server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from boxy_core.errors import InvalidRequest
from boxy_registry import config, journal
from boxy_registry.errors import TooManyRequests
from boxy_registry.http.clients import RateLimit, address_of
from boxy_registry.main import main
from boxy_registry.parts import Served


def test_flags_come_before_the_file_before_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('root = "/a"\nworkers = 3\n[limits]\nquota = "20g"\n')
    settings = config.load(str(file), {"root": "/b", "workers": None})
    assert settings.root == "/b"
    assert settings.workers == 3
    assert config.size(settings.limits.quota, "x") == 20 << 30
    assert settings.listen == (config.DEFAULT_LISTEN,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rot = 1", "rot"),
        ("workers = 0", "workers"),
        ('workers = "many"', "workers"),
        ("listen = []", "listen"),
        ('listen = ["x"]', "'x'"),
        ('listen = ["::1:5000"]', "brackets"),
        ('listen = ["a:99999"]', "99999"),
        ('[limits]\nquota = "much"', "limits.quota"),
        ('[limits]\nidle = "soon"', "limits.idle"),
        ("[limits]\nburst = 0", "burst"),
        ('[collection]\ngrace = "x"', "collection.grace"),
        ('warning = "a\\"b"', "warning"),
        ("= 1", "TOML"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        config.load(str(file), {})
    assert told in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:5000", ("127.0.0.1", 5000)), (":80", ("", 80)), ("[::1]:443", ("::1", 443))],
)
def test_an_address_is_a_host_and_a_port(address: str, expected: tuple[str, int]) -> None:
    assert config.endpoint(address) == expected


def test_a_client_may_save_up_a_burst_and_then_keeps_to_the_rate(tmp_path: Path) -> None:
    now = 100.0
    limit = RateLimit(f"{tmp_path}/rates", 2, 3, lambda: now)
    another = RateLimit(f"{tmp_path}/rates", 2, 3, lambda: now)  # as of another process
    for _ in range(3):
        limit.take("a")
    with pytest.raises(TooManyRequests) as caught:
        limit.take("a")
    assert caught.value.headers == {"Retry-After": "1"}
    limit.take("b")
    with pytest.raises(TooManyRequests):
        another.take("a")
    now += 0.5
    another.take("a")
    with pytest.raises(TooManyRequests):
        limit.take("a")
    now = 1.0  # the machine has started again
    limit.take("a")


def test_a_crowd_of_clients_takes_no_more_room(tmp_path: Path) -> None:
    now = 100.0
    limit = RateLimit(f"{tmp_path}/rates", 1, 1, lambda: now)
    size = (tmp_path / "rates").stat().st_size
    for number in range(30_000):
        now += 0.001
        limit.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert (tmp_path / "rates").stat().st_size == size
    with pytest.raises(TooManyRequests):  # who came last is remembered
        limit.take("10.0.117.47")


def _request(remote: str, *forwarded: str) -> web.Request:
    headers = [("X-Forwarded-For", value) for value in forwarded]
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (remote, 1) if "peer" in name else default
    from multidict import CIMultiDict

    return make_mocked_request("GET", "/", CIMultiDict(headers), transport=transport)


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("1.1.1.1", ["9.9.9.9"], "1.1.1.1"),
        ("10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["7.7.7.7, 9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["9.9.9.9", "10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_tells_who_the_client_is(
    remote: str, forwarded: list[str], expected: str
) -> None:
    assert address_of(_request(remote, *forwarded), ("10.0.0.1", "10.0.0.2")) == expected


SERVED = Served(
    "GET", "/v2/a/tags/list\x1b[2J", "tags", "a", 404, 0, 12, 0.0123, 0.0, "1.1.1.1", "", "x\n", "E"
)


def test_a_line_of_the_access_log_cannot_draw_on_a_terminal() -> None:
    line = journal.as_text(SERVED)
    assert line.isprintable()
    assert line.startswith("1970-01-01T00:00:00.000Z 1.1.1.1 - GET /v2/a/tags/list")
    assert json.loads(journal.as_object(SERVED))["status"] == 404


def test_a_log_that_nobody_reads_holds_nobody_up() -> None:
    reading, writing = os.pipe()
    try:
        written = journal.Journal(writing)
        for number in range(30_000):
            written.write(f"line {number}")
        assert os.read(reading, 6) == b"line 0"
    finally:
        os.close(reading)  # the thread's write ends with EPIPE
        written.close()
        os.close(writing)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nope"], 2, "no command nope"),
        (["gc", "--root", "/nonexistent/x"], 1, "no store at"),
        (["rm", "--root", "/nonexistent/x", "a"], 1, "whole repository"),
        (["ls", "--config", "/nonexistent.toml"], 1, "cannot be read"),
        (["rm", "A:b"], 1, "no repository name"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    words: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert told in capsys.readouterr().err


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "serve" in capsys.readouterr().out
