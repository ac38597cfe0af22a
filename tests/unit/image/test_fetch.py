"""Downloads, against a server on the loopback interface."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from boxy_core.errors import ImageError
from boxy_core.image.fetch import fetch

DATA = os.urandom(700_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/good.tar":
            self._answer(200, DATA, len(DATA))
        elif self.path == "/moved.tar":
            self._answer(302, b"", 0, Location="/good.tar")
        elif self.path == "/to-a-file.tar":
            self._answer(302, b"", 0, Location="file:///etc/passwd")
        elif self.path == "/circle.tar":
            self._answer(302, b"", 0, Location="/circle.tar")
        elif self.path == "/short.tar":
            self._answer(200, DATA[:1000], len(DATA))
        elif self.path == "/unsized.tar":
            self._answer(200, DATA, None)
        else:
            self._answer(404, b"no", 2)

    def _answer(self, status: int, body: bytes, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def get(url: str, target: Path, sha256: str = DIGEST) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []
    fetch(url, str(target), sha256=sha256, progress=lambda *step: steps.append(step))
    return steps


def refused(url: str, folder: Path, sha256: str = DIGEST) -> ImageError:
    with pytest.raises(ImageError) as caught:
        get(url, folder / "it.tar", sha256)
    assert os.listdir(folder) == []
    return caught.value


@pytest.mark.parametrize("name", ["good", "moved", "unsized"])
def test_a_file_arrives_whole_with_progress(server: str, tmp_path: Path, name: str) -> None:
    steps = get(f"{server}/{name}.tar", tmp_path / "it.tar")
    assert (tmp_path / "it.tar").read_bytes() == DATA
    assert steps[-1] == (len(DATA), 0 if name == "unsized" else len(DATA))
    assert os.listdir(tmp_path) == ["it.tar"]


def test_a_wrong_digest_leaves_nothing(server: str, tmp_path: Path) -> None:
    error = refused(f"{server}/good.tar", tmp_path, "0" * 64)
    assert DIGEST in error.message
    assert "do not use it" in error.hint


def test_a_short_file_leaves_nothing(server: str, tmp_path: Path) -> None:
    assert "1000 of 700000 bytes" in refused(f"{server}/short.tar", tmp_path).message


def test_the_servers_refusal_is_told(server: str, tmp_path: Path) -> None:
    assert "404" in refused(f"{server}/none.tar", tmp_path).message


def test_a_redirect_to_a_file_of_this_machine_is_not_followed(server: str, tmp_path: Path) -> None:
    assert "not allowed" in refused(f"{server}/to-a-file.tar", tmp_path).message


def test_a_redirect_in_a_circle_ends(server: str, tmp_path: Path) -> None:
    assert "302" in refused(f"{server}/circle.tar", tmp_path).message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    assert "neither https nor http" in refused(url, tmp_path, "").message


def test_a_machine_that_does_not_answer_is_told_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}/x.tar", tmp_path)
    assert "refused" in error.message
    assert str(tmp_path / "it.tar") in error.hint


def test_an_unknown_machine_is_told_as_no_network(tmp_path: Path) -> None:
    error = refused("https://nowhere.invalid/x.tar", tmp_path)
    assert "no address for nowhere.invalid" in error.message


def test_a_callback_that_raises_ends_the_download(server: str, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(f"{server}/good.tar", str(tmp_path / "it.tar"), sha256="", progress=stop)
    assert os.listdir(tmp_path) == []
