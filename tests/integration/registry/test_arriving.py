"""A cache's blob goes to who asked for it while it comes, and never when it is wrong."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.registry_process import Registry, digest_of
from tests.support.waiting import eventually

Ask = Callable[..., http.client.HTTPResponse]
DATA = os.urandom(3 << 20)


class Upstream(BaseHTTPRequestHandler):
    """Sends half of a blob, and the rest when it may."""

    protocol_version = "HTTP/1.1"
    asked = 0
    go_on = threading.Event()
    body = DATA
    breaks = False

    def do_GET(self) -> None:
        cls = type(self)
        if "/blobs/" not in self.path:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        cls.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(cls.body)))
        self.end_headers()
        self.wfile.write(cls.body[: 2 << 20])
        cls.go_on.wait(20)
        if cls.breaks:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(cls.body[2 << 20 :])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def upstream() -> Iterator[type[Upstream]]:
    class Fresh(Upstream):
        go_on = threading.Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), Fresh) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        Fresh.port = server.server_port  # type: ignore[attr-defined]
        yield Fresh
        Fresh.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(new_registry: Callable[[], Registry], upstream: type[Upstream]) -> Registry:
    registry = new_registry()
    port = upstream.port  # type: ignore[attr-defined]
    registry.start(config=f'[[mirror]]\nupstream = "127.0.0.1:{port}"\nprefix = "up"\n')
    return registry


@pytest.fixture
def ask(cache: Registry) -> Iterator[Ask]:
    """Ask for a blob; the answer is read by the test."""
    with contextlib.ExitStack() as stack:

        def ask(digest: str, **headers: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection("127.0.0.1", cache.port, timeout=20)
            stack.callback(connection.close)
            connection.request("GET", f"/v2/up/a/blobs/{digest}", headers=headers)
            return stack.enter_context(connection.getresponse())

        yield ask


def test_all_who_wait_share_one_fetch_and_read_while_it_comes(
    cache: Registry, ask: Ask, upstream: type[Upstream]
) -> None:
    digest = digest_of(DATA)
    answers = [ask(digest) for _ in range(3)]
    part = ask(digest, Range="bytes=1000-1048575")
    assert [answer.length for answer in answers] == [len(DATA)] * 3
    begun = [answer.read(1 << 20) for answer in answers]
    assert begun == [DATA[: 1 << 20]] * 3
    assert part.status == 206
    assert part.read() == DATA[1000 : 1 << 20]
    assert cache.ask("HEAD", f"/v2/up/a/blobs/{digest}").headers["content-length"] == str(len(DATA))
    assert not upstream.go_on.is_set()  # all that while the upstream had sent a part
    upstream.go_on.set()
    assert [answer.read() for answer in answers] == [DATA[1 << 20 :]] * 3
    assert upstream.asked == 1
    assert cache.ask("GET", f"/v2/up/a/blobs/{digest}").body == DATA
    assert cache.command("scrub").returncode == 0


@pytest.mark.parametrize("how", ["breaks", "lies"])
def test_a_broken_upstream_tears_the_answer_and_leaves_nothing(
    cache: Registry, ask: Ask, upstream: type[Upstream], how: str
) -> None:
    digest = digest_of(DATA)
    if how == "breaks":
        upstream.breaks = True
    else:
        upstream.body = DATA[:-1] + bytes([DATA[-1] ^ 1])
    answers = [ask(digest) for _ in range(2)]
    assert answers[0].read(1000) == DATA[:1000]
    upstream.go_on.set()
    for answer in answers:
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    uploads = Path(cache.root) / "uploads"
    eventually(lambda: not list(uploads.iterdir()))
    assert not [path for path in (cache.root / "blobs").rglob("*") if path.is_file()]
    upstream.breaks, upstream.body = False, DATA
    assert ask(digest).read() == DATA  # the next who asks begins anew
    assert cache.command("scrub").returncode == 0
