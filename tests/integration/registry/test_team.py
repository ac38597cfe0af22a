"""What makes a registry fit for a team: TLS, folders, a cache, retention, hooks."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from boxy_registry.main import main
from tests.support.free_ports import free_port
from tests.support.images import write_image
from tests.support.registry import RegistryServer, digest, layer, oci_image
from tests.support.waiting import eventually

Start = Callable[..., RegistryServer]
IMAGE = oci_image([layer({"a": b"1"}), layer({"b": b"2"})])
LIST = "/v2/{}/tags/list"


# ---------------------------------------------------------------------- TLS


def make_certificate(folder: Path, name: str) -> None:
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "2", *kind, *subject,
         "-keyout", folder / "new.key", "-out", folder / "new.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    os.rename(folder / "new.crt", folder / "tls.crt")
    os.rename(folder / "new.key", folder / "tls.key")


def served_name(port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain) as sock,
    ):
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        return "first" if b"first" in der else "second" if b"second" in der else "?"


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path, start: Start) -> None:
    make_certificate(tmp_path, "first")
    cert, key = str(tmp_path / "tls.crt"), str(tmp_path / "tls.key")
    registry = start("--tls-cert", cert, "--tls-key", key)
    assert served_name(registry.port) == "first"
    # half of a pair is never put in force
    good = Path(key).read_bytes()
    Path(key).write_text("nonsense")
    eventually(lambda: "the certificate stays as it was" in registry.log.read_text())
    assert served_name(registry.port) == "first"
    Path(key).write_bytes(good)
    make_certificate(tmp_path, "second")
    eventually(lambda: served_name(registry.port) == "second", every=0.2)
    # a large blob goes through TLS whole
    big = os.urandom(3 << 20)
    context = ssl.create_default_context(cafile=cert)
    connection = http.client.HTTPSConnection("127.0.0.1", registry.port, context=context)
    connection.request("POST", f"/v2/x/blobs/uploads/?digest={digest(big)}", big)
    assert connection.getresponse().read() == b""
    connection.request("GET", f"/v2/x/blobs/{digest(big)}")
    assert connection.getresponse().read() == big
    connection.close()


def test_a_pair_that_does_not_fit_keeps_the_server_from_starting(tmp_path: Path) -> None:
    make_certificate(tmp_path, "first")
    (tmp_path / "tls.key").write_text("nonsense")
    done = subprocess.run(
        [sys.executable, "-m", "boxy_registry", "serve", "--root", tmp_path / "r",
         "--listen", f"127.0.0.1:{free_port()}",
         "--tls-cert", tmp_path / "tls.crt", "--tls-key", tmp_path / "tls.key"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------- registry folders


def test_a_folder_is_pulled_as_an_image_and_an_edit_shows_at_the_next_pull(
    tmp_path: Path, start: Start
) -> None:
    folders = tmp_path / "folders"
    write_image(folders / "tool", cmd=["/run"], env={"A": "1"})
    (folders / "tool" / "rootfs.tar.gz").write_bytes(layer({"run": b"#!/bin/sh\n"}))
    write_image(folders / "tree", cmd="ls")
    (folders / "tree" / "rootfs").mkdir()
    (folders / "tree" / "rootfs" / "file").write_text("content")
    write_image(folders / "empty", cmd="ls")
    registry = start("--folders", str(folders))

    def pulled(name: str) -> tuple[str, dict[str, Any]]:
        status, headers, body = registry.ask("GET", f"/v2/{name}/manifests/latest")
        assert status == 200, body
        manifest = json.loads(body)
        for blob in (manifest["config"], *manifest["layers"]):
            data = registry.ask("GET", f"/v2/{name}/blobs/{blob['digest']}")[2]
            assert digest(data) == blob["digest"]
        config = registry.ask("GET", f"/v2/{name}/blobs/{manifest['config']['digest']}")[2]
        return headers["docker-content-digest"], json.loads(config)

    first, config = pulled("tool")
    assert "A=1" in config["config"]["Env"]
    assert pulled("tool")[0] == first
    write_image(folders / "tool", cmd=["/run"], env={"A": "2"})
    second, config = pulled("tool")
    assert "A=2" in config["config"]["Env"]
    assert second != first
    tree, _ = pulled("tree")
    (folders / "tree" / "rootfs").rename(folders / "tree" / "old")
    (folders / "tree" / "rootfs").mkdir()
    assert pulled("tree")[0] != tree
    status, _, body = registry.ask("GET", "/v2/empty/manifests/latest")
    assert status == 404
    assert b"no root file system yet" in body
    listed = json.loads(registry.ask("GET", "/v2/_catalog")[2])["repositories"]
    assert {"tool", "tree"} <= set(listed)


# ---------------------------------------------------------------------- a cache


def test_a_cache_fetches_once_serves_without_its_upstream_and_never_hides_what_is_ours(
    tmp_path: Path, start: Start
) -> None:
    upstream = start()
    upstream.push("team/app", "1", IMAGE)
    settings = f"""
        [[mirror]]
        upstream = "{upstream.host}"
        prefix = "up"
        fresh = "1s"
    """
    cache = start(settings=settings)
    cache.push("ours", "1", oci_image([layer({"c": b"3"})]))
    target = f"/v2/up/team/app/blobs/{digest(IMAGE.layers[0])}"
    answers: list[tuple[int, bytes]] = []

    def ask() -> None:
        status, _, body = cache.ask("GET", target)
        answers.append((status, body))

    assert cache.ask("GET", "/v2/up/team/app/manifests/1")[0] == 200
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(200, IMAGE.layers[0])] * 8

    newer = oci_image([layer({"a": b"newer"})])
    upstream.push("team/app", "1", newer)
    time.sleep(1.1)
    found = cache.ask("GET", "/v2/up/team/app/manifests/1")[1]["docker-content-digest"]
    assert found == newer.digest
    assert cache.ask("GET", "/v2/up/team/none/manifests/1")[0] == 404
    upstream.stop()  # and with that its access log is whole: it is written a moment late
    log = upstream.log.read_text()
    asked = [line for line in log.splitlines() if "GET" in line and digest(IMAGE.layers[0]) in line]
    assert len(asked) == 1, asked
    time.sleep(1.1)
    assert cache.ask("GET", "/v2/up/team/app/manifests/1")[0] == 200  # though it is stale
    assert cache.ask("GET", target)[0] == 200
    status, _, body = cache.ask("GET", "/v2/up/team/other/manifests/1")
    assert status == 503
    assert b"upstream registry cannot be asked" in body
    assert cache.ask("GET", "/v2/ours/manifests/1")[0] == 200
    upstream.start()


# ---------------------------------------------------------------------- retention


def test_retention_shows_first_and_removes_only_what_it_showed(
    tmp_path: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = start()
    for number in range(4):
        image = oci_image([layer({"a": str(number).encode()})])
        registry.push("team/app", f"v{number}", image)
    registry.push("team/app", "same", oci_image([layer({"a": b"0"})]))
    registry.push("other", "v0", IMAGE)
    rule = ["--repositories", "team/*", "--keep-last", "2", "--keep", "v1"]
    root = ["--root", str(registry.root)]
    assert main(["retention", *root, *rule]) == 0
    shown = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["team/app:v0", "team/app:v2"]
    tags = json.loads(registry.ask("GET", LIST.format("team/app"))[2])["tags"]
    assert len(tags) == 5
    assert main(["retention", *root, *rule, "--apply"]) == 0
    tags = json.loads(registry.ask("GET", LIST.format("team/app"))[2])["tags"]
    assert tags == ["same", "v1", "v3"]
    gone = oci_image([layer({"a": b"2"})])
    assert registry.ask("GET", f"/v2/team/app/manifests/{gone.digest}")[0] == 404
    kept = oci_image([layer({"a": b"0"})])  # v0 went, but `same` is the same manifest
    assert registry.ask("GET", f"/v2/team/app/manifests/{kept.digest}")[0] == 200
    assert registry.ask("GET", "/v2/other/manifests/v0")[0] == 200
    assert main(["retention", *root]) == 1  # no rule: nothing is removed


# ---------------------------------------------------------------------- hooks


class Receiver(BaseHTTPRequestHandler):
    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    failures = 2

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        cls = type(self)
        if cls.failures:
            cls.failures -= 1
            self.send_response(503)
        else:
            cls.got.append((dict(self.headers), body))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_push_is_told_signed_and_again_until_it_arrives(
    start: Start, receiver: ThreadingHTTPServer
) -> None:
    settings = f"""
        [[hook]]
        url = "http://127.0.0.1:{receiver.server_port}/"
        secret = "shared"
        repositories = "team/*"
    """
    registry = start(settings=settings)
    registry.push("other", "1", IMAGE)
    registry.push("team/app", "1", IMAGE)

    def told() -> list[dict[str, Any]]:
        return [event for _, body in Receiver.got for event in json.loads(body)["events"]]

    eventually(lambda: any(event["tags"] == ["1"] for event in told()))
    event = next(event for event in told() if event["kind"] == "manifest")
    assert (event["action"], event["repository"]) == ("push", "team/app")
    assert event["digest"] == IMAGE.digest
    assert all(event["repository"] == "team/app" for event in told())
    headers, body = Receiver.got[0]
    expected = hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert headers["X-Boxy-Signature"] == f"sha256={expected}"
    registry.ask("DELETE", "/v2/team/app/manifests/1")
    eventually(lambda: told()[-1]["action"] == "delete")
    # a receiver that is away, and a kill meanwhile
    Receiver.failures = 1_000_000
    tried = registry.log.read_text().count("again in")
    registry.push("team/app", "2", IMAGE)
    eventually(lambda: registry.log.read_text().count("again in") > tried)
    registry.stop(signal.SIGKILL)  # while it waits: what it had sent would be told twice
    Receiver.failures = 0
    assert "2" not in [tag for event in told() for tag in event["tags"]]
    registry.start()
    eventually(lambda: told()[-1]["tags"] == ["2"])
    assert len({event["id"] for event in told()}) == len(told())
    registry.stop()
    assert "lost" not in registry.log.read_text()
