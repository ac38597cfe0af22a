"""A real `boxy-registry` for a test, and small images to put into one.

`oci_image` makes the blobs of an image in memory; `push` sends it by plain HTTP requests, so that
a test of a client does not stand on that client.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from boxy_core.image.manifest import CONFIG, LAYER, MANIFEST
from tests.support.free_ports import free_port
from tests.support.images import REPOSITORY

READY_WITHIN = 60.0


class RegistryServer:
    """One registry process that can be stopped, killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.root = folder
        self.port = free_port()
        self.options = list(options)
        self.log = folder.parent / f"{folder.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """HOST:PORT, as in a reference."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id; it must run."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start it and wait until it listens."""
        command = [sys.executable, "-P", "-m", "boxy_registry", "serve", "--root", str(self.root)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--listen", self.host, *self.options],
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return self
        raise AssertionError(f"the registry did not start:\n{self.log.read_text()}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, by a signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read()
        finally:
            connection.close()

    def push(self, name: str, tag: str, image: OciImage, headers: Mapping[str, str] = {}) -> str:
        """Put an image into the repository `name`; its digest."""
        for blob in (*image.layers, image.config):
            target = f"/v2/{name}/blobs/uploads/?digest={digest(blob)}"
            status, _, answer = self.ask("POST", target, blob, headers)
            assert status == 201, answer
        told = {**headers, "Content-Type": MANIFEST}
        status, _, answer = self.ask("PUT", f"/v2/{name}/manifests/{tag}", image.manifest, told)
        assert status == 201, answer
        return image.digest


# ---------------------------------------------------------------------- images in memory


def digest(data: bytes) -> str:
    """sha256:..."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class OciImage:
    """The blobs of an image."""

    config: bytes
    layers: Sequence[bytes]
    manifest: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """The manifest's."""
        return digest(self.manifest)

    @property
    def blobs(self) -> dict[str, bytes]:
        """All of them, by digest."""
        return {digest(one): one for one in (*self.layers, self.config, self.manifest)}


def oci_image(
    layers: Sequence[bytes], settings: Mapping[str, Any] | None = None, architecture: str = "amd64"
) -> OciImage:
    """An image of these raw tars, or tars in gzip, lowest first."""
    raw = [gzip.decompress(one) if one.startswith(b"\x1f\x8b") else one for one in layers]
    config = json.dumps({
        "architecture": architecture, "os": "linux", "config": dict(settings or {}),
        "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in raw]},
    }).encode()  # fmt: skip
    told = [
        {
            "mediaType": LAYER + ("+gzip" if one.startswith(b"\x1f\x8b") else ""),
            "digest": digest(one),
            "size": len(one),
        }
        for one in layers
    ]
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": told,
        "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
    }).encode()  # fmt: skip
    return OciImage(config, layers, manifest)


def layer(files: Mapping[str, bytes], *, packed: bool = True) -> bytes:
    """A layer with these files; `a/.wh.b` takes `a/b` of the layers below away."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0) if packed else out.getvalue()
