"""Clients that push, pull, mount and delete without mercy, and remember what they were promised.

Constraint: a server is killed under them all the time, so a request that got no answer may have
been carried out or not.  What counts is what was acknowledged: a manifest that was answered with
201 is there, with every blob, until its delete is asked for; what is read is what was written.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from tests.support.registry_process import IMAGE, Registry, Reply, digest_of, image_of

SHARED = [bytes([number]) * 40_000 for number in range(4)]
"""layers that all images of all repositories choose from"""


@dataclass
class Ledger:
    """What one client was promised: tag -> the layers of its image, and how many of what it did."""

    repository: str
    images: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Works on a repository of its own until `ending`."""

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        ending: threading.Event,
        *,
        grace: float,
        keep: int,
    ) -> None:
        super().__init__(name=f"client of {ledger.repository}")
        self.ledger = ledger
        self._registry = registry
        self._ending = ending
        self._patience = grace * 0.7
        self._keep = keep
        self._random = random.Random(ledger.repository)
        self._connection: HTTPConnection | None = None

    def run(self) -> None:
        """Rounds until the end; one that a kill cuts off is counted, and is no failure."""
        while not self._ending.is_set():
            try:
                self._round()
            except (OSError, HTTPException):
                self.ledger.done["cut off"] += 1
                self._hang_up()
                self._ending.wait(0.05)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        if self._connection is None:
            self._connection = self._registry.connection()
        reply = self._registry.ask(method, path, body, self._connection, **headers)
        if reply.status >= 500 and reply.status != 503:
            self._wrong(f"{method} {path}: {reply.status} {reply.body[:200]!r}")
        return reply

    def _wrong(self, what: str) -> None:
        self.ledger.failures.append(f"{self.ledger.repository}: {what}")

    def _round(self) -> None:
        self.ledger.done["rounds"] += 1
        tag = f"t{self.ledger.done['rounds']}"  # never one that was there before
        unique = os.urandom(self._random.choice((200, 5_000, 70_000, 300_000)))
        self._push(tag, (self._random.choice(SHARED), unique))
        if self.ledger.images:
            self._read(self._random.choice(list(self.ledger.images)))
        while len(self.ledger.images) > self._keep:
            self._remove(self._random.choice(list(self.ledger.images)))
        self._leave_an_upload()

    # ------------------------------------------------------------------ what clients do

    def _push(self, tag: str, layers: tuple[bytes, ...]) -> None:
        began, name = time.monotonic(), self.ledger.repository
        for data in (b"{}", *layers):
            if self._ask("HEAD", f"/v2/{name}/blobs/{digest_of(data)}").status != 200:
                self._push_blob(data)
        body = image_of(*layers)
        reply = self._ask("PUT", f"/v2/{name}/manifests/{tag}", body, Content_Type=IMAGE)
        if reply.status == 201:
            self.ledger.images[tag] = layers
            self.ledger.done["pushed"] += 1
        elif time.monotonic() - began < self._patience:
            self._wrong(f"the push of {tag}: {reply.status} {reply.body[:200]!r}")
        else:
            self.ledger.done["too slow"] += 1  # longer than content waits for its manifest

    def _push_blob(self, data: bytes) -> None:
        name, digest = self.ledger.repository, digest_of(data)
        way = self._random.choice(("mount", "one", "put", "chunks"))
        start = f"/v2/{name}/blobs/uploads/"
        if way == "mount":
            reply = self._ask("POST", f"{start}?mount={digest}", b"")
            if reply.status == 201:
                self.ledger.done["mounted"] += 1
                return
        elif way == "one":
            reply = self._ask("POST", f"{start}?digest={digest}", data)
            self._expect(reply, 201, way)
            return
        else:
            reply = self._ask("POST", start, b"")
        self._expect(reply, 202, way)
        place, rest = reply.headers["location"], data
        if way == "chunks":
            half = len(data) // 2
            reply = self._ask("PATCH", place, data[:half], Content_Range=f"0-{max(half - 1, 0)}")
            self._expect(reply, 202, way)
            rest = data[half:]
        self._expect(self._ask("PUT", f"{place}?digest={digest}", rest), 201, way)

    def _expect(self, reply: Reply, status: int, what: str) -> None:
        if reply.status != status:
            raise HTTPException(f"{what}: {reply.status} {reply.body[:200]!r}")

    def _read(self, tag: str) -> None:
        for problem in problems_of(self._ask, self.ledger.repository, tag, self.ledger.images[tag]):
            self._wrong(problem)
        self.ledger.done["read"] += 1

    def _remove(self, tag: str) -> None:
        layers = self.ledger.images.pop(tag)  # from now on nothing is promised
        digest = digest_of(image_of(*layers))
        target = self._random.choice((tag, digest))
        reply = self._ask("DELETE", f"/v2/{self.ledger.repository}/manifests/{target}")
        if reply.status not in (202, 404):
            self._wrong(f"the delete of {tag}: {reply.status}")
        self.ledger.done["deleted"] += 1

    def _leave_an_upload(self) -> None:
        if self._random.random() < 0.1:
            reply = self._ask("POST", f"/v2/{self.ledger.repository}/blobs/uploads/", b"")
            if reply.status == 202:
                self._ask("PATCH", reply.headers["location"], b"left alone")
                self.ledger.done["left alone"] += 1


def problems_of(
    ask: Callable[[str, str], Reply], repository: str, tag: str, layers: tuple[bytes, ...]
) -> list[str]:
    """What of a promise does not hold; `ask` is a client's."""
    found = []
    manifest = ask("GET", f"/v2/{repository}/manifests/{tag}")
    if manifest.status != 200 or manifest.body != image_of(*layers):
        found.append(f"{tag} is {manifest.status} {manifest.body[:100]!r}")
    for data in (b"{}", *layers):
        blob = ask("GET", f"/v2/{repository}/blobs/{digest_of(data)}")
        if blob.body != data:
            found.append(f"a blob of {tag} is {blob.status}, {len(blob.body)} of {len(data)} bytes")
    return found


def broken_promises(registry: Registry, ledgers: list[Ledger]) -> list[str]:
    """Everything that was acknowledged and is not there as it was."""
    connection = registry.connection()

    def ask(method: str, path: str) -> Reply:
        return registry.ask(method, path, None, connection)

    try:
        return [
            f"{ledger.repository}: {problem}"
            for ledger in ledgers
            for tag, layers in ledger.images.items()
            for problem in problems_of(ask, ledger.repository, tag, layers)
        ]
    finally:
        connection.close()
