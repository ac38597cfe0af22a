"""A registry server as a process of its own, on a free port of the loopback."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.free_ports import free_port

IMAGE = "application/vnd.oci.image.manifest.v1+json"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Reply(NamedTuple):
    """An answer; header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["errors"][0]["code"])


class Registry:
    """A server on a store; `ask` speaks HTTP to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root.parent / f"{root.name}.log"

    def start(self, *options: str, config: str = "") -> None:
        file = self.root.parent / f"{self.root.name}.toml"
        file.write_text(config)
        command = [
            sys.executable, "-m", "boxy_registry", "serve", "--root", str(self.root),
            "--listen", f"127.0.0.1:{self.port}", "--config", str(file), *options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                assert self.ask("GET", "/readyz").status == 200
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def arrived(self, place: str) -> int:
        """Bytes on the disk of the upload at this place."""
        folder = self.root / "uploads"
        name = place.partition("?")[0].rpartition("/")[2]
        parts = [path for path in folder.rglob("*") if name in str(path) and path.is_file()]
        return sum(path.stat().st_size for path in parts)

    def refuses(self) -> bool:
        """Whether nobody listens there any more."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 20).close()
        except ConnectionRefusedError:
            return True
        return False

    def workers(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(word) for word in words]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        connection: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> Reply:
        used = connection or self.connection()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            used.request(method, path, body, named)
            answer = used.getresponse()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, fields, answer.read())
        finally:
            if connection is None:
                used.close()

    def begin(self, name: str = "a") -> str:
        return self.ask("POST", f"/v2/{name}/blobs/uploads/", b"").headers["location"]

    def push_blob(self, data: bytes, name: str = "a") -> str:
        digest = digest_of(data)
        reply = self.ask("PUT", f"{self.begin(name)}?digest={digest}", data)
        assert reply.status == 201, reply
        return digest

    def push(self, *layers: bytes, name: str = "a", tag: str = "t", **more: object) -> str:
        for data in (b"{}", *layers):
            self.push_blob(data, name)
        body = image_of(*layers, **more)
        reply = self.ask("PUT", f"/v2/{name}/manifests/{tag}", body, Content_Type=IMAGE)
        assert reply.status == 201, reply
        return reply.headers["docker-content-digest"]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "boxy_registry", words[0], "--root", str(self.root), *words[1:]],
            capture_output=True,
            text=True,
            check=False,
        )


def image_of(*layers: bytes, **more: object) -> bytes:
    def described(data: bytes) -> dict[str, object]:
        return {"mediaType": "application/x", "digest": digest_of(data), "size": len(data)}

    layer_list = [described(layer) for layer in layers]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": IMAGE, "config": described(b"{}"), "layers": layer_list}
        | more
    ).encode()
