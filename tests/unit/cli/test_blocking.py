"""The blocking client against a scripted daemon, which also says what no daemon should."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from boxy_core import errors
from boxy_core.client import blocking
from boxy_core.client.blocking import Client, box_path
from boxy_core.errors import DaemonUnreachable, NotFound, ProtocolError, Timeout
from boxy_core.paths import default_paths, start_hint
from boxy_core.protocol import EXIT, STDOUT, frame
from tests.support.fake_daemon import FakeDaemon, Request, answer, error, switching

MakeDaemon = Callable[..., FakeDaemon]


def test_a_request_is_answered_and_the_connection_used_again(daemon: MakeDaemon) -> None:
    fake = daemon({"GET /version": {"version": "1"}, "POST /boxes": answer({"id": "x"}, 201)})
    with Client(fake.paths) as client:
        assert client.request("GET", "/version") == {"version": "1"}
        assert client.request("POST", "/boxes", body={"image": "é"}) == {"id": "x"}
        assert client.request("GET", "/version", query={"a": [1, 2]}) == {"version": "1"}
    assert fake.connections == 1
    assert fake.requests[1].json == {"image": "é"}
    assert fake.requests[2].query == "a=1&a=2"


def test_a_connection_that_the_daemon_closed_is_not_used_again(daemon: MakeDaemon) -> None:
    fake = daemon({"POST /boxes": {"id": "x"}})
    fake.close_after_answer = True
    with Client(fake.paths) as client:
        for _ in range(3):
            client.request("POST", "/boxes", body={})
            assert client._idle is not None
            select.select([client._idle], [], [])  # for the end of file to arrive
    assert len(fake.requests) == 3


def test_an_answer_that_closes_is_not_kept(daemon: MakeDaemon) -> None:
    body = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    fake = daemon({"GET /info": body})
    with Client(fake.paths) as client:
        assert client.request("GET", "/info") == {}
        assert client.request("GET", "/info") == {}
    assert fake.connections == 2


@pytest.mark.parametrize("cls", [errors.BY_CODE[code] for code in sorted(errors.BY_CODE)])
def test_the_daemon_s_error_is_raised_as_what_it_was(
    daemon: MakeDaemon, cls: type[errors.BoxyError]
) -> None:
    fake = daemon({"GET /x": error(cls.code, "box web is odd", cls.http_status, "look")})
    with Client(fake.paths) as client:
        with pytest.raises(cls, match="box web is odd") as caught:
            client.request("GET", "/x")
        assert (type(caught.value), caught.value.hint) == (cls, "look")
        with pytest.raises(NotFound):
            client.request("GET", "/other")


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 500 Oops\r\nContent-Length: 11\r\n\r\n{"error":1}',
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/9 200 OK\r\n\r\n",
    ],
)
def test_somebody_else_on_the_socket_is_told_apart(daemon: MakeDaemon, reply: bytes) -> None:
    fake = daemon({"GET /x": reply})
    with Client(fake.paths) as client, pytest.raises(DaemonUnreachable) as caught:
        client.request("GET", "/x")
    assert caught.value.details == {"reason": "not-ours"}
    assert str(fake.path) in caught.value.message


@pytest.mark.parametrize("reply", [b"", b"HTT"])
def test_a_daemon_that_goes_away_is_unreachable(daemon: MakeDaemon, reply: bytes) -> None:
    fake = daemon({"GET /x": reply})
    fake.close_after_answer = True
    with Client(fake.paths) as client, pytest.raises(DaemonUnreachable):
        client.request("GET", "/x")


def test_an_answer_that_is_cut_off_is_a_protocol_error(daemon: MakeDaemon) -> None:
    fake = daemon({"GET /x": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"})
    fake.close_after_answer = True
    with Client(fake.paths) as client, pytest.raises(ProtocolError, match="in the middle"):
        client.request("GET", "/x")


def test_silence_is_given_up_after_the_timeout(daemon: MakeDaemon) -> None:
    release = threading.Event()

    def wait(_request: Request) -> Any:
        release.wait(30)
        return {}

    fake = daemon({"GET /x": wait})
    with Client(fake.paths, timeout=0.05) as client:
        with pytest.raises(Timeout, match=r"0\.05 seconds"):
            client.request("GET", "/x")
        release.set()
        assert client.request("GET", "/x", timeout=None) == {}


# ------------------------------------------------------------------ nobody there


def reason(path: str) -> tuple[str, str]:
    with pytest.raises(DaemonUnreachable) as caught:
        Client(default_paths(socket=path, env={})).request("GET", "/version")
    assert path in caught.value.message
    return str(caught.value.details.get("reason")), caught.value.hint


def test_no_socket_says_how_to_start_the_daemon(tmp_path: Path) -> None:
    assert reason(str(tmp_path / "none.sock")) == ("no-socket", start_hint())
    assert reason(str(tmp_path / "none" / "none.sock"))[0] == "no-socket"


def test_how_to_start_a_daemon_repeats_the_variables_that_sudo_drops(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/boxy"])
    there = {"BOXY_ROOT": "/r", "BOXY_RUN": "/my boxes", "BOXY_SOCKET": ""}
    assert start_hint(there).startswith("start it with: boxyd &"), "root needs no sudo"
    monkeypatch.setattr("boxy_core.paths.geteuid", lambda: 1000)
    assert "sudo boxyd &" in start_hint({})
    assert "sudo env BOXY_ROOT=/r BOXY_RUN='/my boxes' boxyd &" in start_hint(there)
    (tmp_path / "boxyd").touch()
    monkeypatch.setattr("sys.argv", [str(tmp_path / "boxy")])
    assert f"sudo {tmp_path}/boxyd &" in start_hint({}), "sudo has a PATH of its own"


def test_a_dead_daemon_s_socket_says_that_nobody_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    assert reason(path) == ("nobody-listens", start_hint())


def test_a_file_that_is_no_socket_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    kind, hint = reason(str(path))
    assert kind == "not-ours"
    assert "BOXY_SOCKET" in hint


def test_a_missing_permission_names_the_way_in(tmp_path: Path, monkeypatch: Any) -> None:
    path = str(tmp_path / "closed.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.chmod(path, 0o600)
        if os.geteuid() == 0:  # root may everything: have the kernel's answer said
            refusal = PermissionError(13, "Permission denied")

            class Refused(socket.socket):
                def connect(self, _address: Any) -> None:
                    raise refusal

            monkeypatch.setattr(blocking, "Socket", Refused)
        kind, hint = reason(path)
    assert kind == "permission"
    assert "sudo" in hint


def test_a_path_that_no_socket_can_have_is_told() -> None:
    with pytest.raises(DaemonUnreachable, match="cannot reach"):
        Client(default_paths(socket="/tmp/" + "x" * 200, env={})).request("GET", "/version")


# ------------------------------------------------------------------ streams


def chunks(*parts: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def test_lines_come_as_they_are_complete(daemon: MakeDaemon) -> None:
    fake = daemon({"GET /watch": chunks(b'{"a":1}\n{"b"', b":2}\n\n", b'{"c":3}')})
    with Client(fake.paths) as client:
        assert list(client.stream("GET", "/watch")) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_an_error_among_the_lines_is_raised(daemon: MakeDaemon) -> None:
    line = b'{"error":{"code":"image-error","message":"bad archive"}}\n'
    fake = daemon({"POST /p": chunks(b'{"step":"unpack"}\n', line)})
    with Client(fake.paths) as client:
        lines = client.stream("POST", "/p")
        assert next(lines) == {"step": "unpack"}
        with pytest.raises(errors.ImageError, match="bad archive"):
            next(lines)


def test_a_stream_that_is_refused_raises_before_the_first_line(daemon: MakeDaemon) -> None:
    fake = daemon()
    with Client(fake.paths) as client:
        with pytest.raises(NotFound):
            client.stream("GET", "/none")
        with pytest.raises(NotFound):
            client.frames("GET", "/none")
        with pytest.raises(NotFound):
            client.upgrade("/none")


@pytest.mark.parametrize("body", [b"not json\n", b'{"a":\n'])
def test_a_line_that_is_no_json_is_a_protocol_error(daemon: MakeDaemon, body: bytes) -> None:
    fake = daemon({"GET /watch": chunks(body)})
    with Client(fake.paths) as client, pytest.raises(ProtocolError):
        list(client.stream("GET", "/watch"))


def test_leaving_a_stream_ends_it_and_the_client_goes_on(daemon: MakeDaemon) -> None:
    fake = daemon({"GET /watch": chunks(b'{"a":1}\n', b'{"b":2}\n'), "GET /version": {}})
    with Client(fake.paths) as client:
        for line in client.stream("GET", "/watch"):
            assert line == {"a": 1}
            break
        assert client.request("GET", "/version") == {}


def test_log_frames_may_be_cut_by_chunks(daemon: MakeDaemon) -> None:
    whole = frame(1, b"out") + frame(2, b"err")
    fake = daemon({"GET /logs": chunks(*(whole[i : i + 1] for i in range(len(whole))))})
    cut = daemon({"GET /logs": chunks(whole[:-1])})
    with Client(fake.paths) as client:
        assert list(client.frames("GET", "/logs")) == [(1, b"out"), (2, b"err")]
    with Client(cut.paths) as client, pytest.raises(ProtocolError, match="in the middle"):
        list(client.frames("GET", "/logs"))


def test_an_upgraded_connection_carries_frames_from_the_first_byte(daemon: MakeDaemon) -> None:
    sent = frame(STDOUT, b"hello") + frame(EXIT, b'{"status":0}')
    fake = daemon({"POST /boxes": {"id": "x"}, "POST /boxes/x/start": switching(sent)})
    done: list[str] = []
    with Client(fake.paths) as client:
        client.request("POST", "/boxes", body={}, meanwhile=lambda: done.append("boxes"))
        upgraded = client.upgrade(
            "/boxes/x/start", query={"stdin": 1}, body={}, meanwhile=lambda: done.append("start")
        )
    with closing(upgraded.socket):
        assert list(upgraded.frames()) == [(STDOUT, b"hello"), (EXIT, b'{"status":0}')]
    assert upgraded.headers["boxy-session"] == "e1"
    assert fake.requests[1].headers["upgrade"] == "boxy-stream"
    assert fake.connections == 1
    assert done == ["boxes", "start"]


def test_an_answer_without_the_switch_is_a_protocol_error(daemon: MakeDaemon) -> None:
    fake = daemon({"POST /x": {"session": "e1"}})
    with Client(fake.paths) as client, pytest.raises(ProtocolError, match="did not open a stream"):
        client.upgrade("/x")


@pytest.mark.parametrize(
    ("ref", "path"), [("web", "/boxes/web"), ("a/../b?x", "/boxes/a%2F..%2Fb%3Fx")]
)
def test_a_box_s_name_cannot_leave_its_place_in_the_path(ref: str, path: str) -> None:
    assert box_path(ref) == path
    assert box_path(ref, "start") == path + "/start"
