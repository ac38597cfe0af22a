"""Small reads, answered in the turn of the event loop in which they arrive.

Nearly every request to a registry asks for a manifest, a small blob, or whether one is here, and
its answer is a few reads that never wait.  aiohttp's way to an answer (two turns of the loop, a
task, a request, a response) costs several times what the answer itself does.  So a connection
that waits for a request shows it here first.

Constraint: the same answers.  Here are only successes (200, 304) of what needs no
waiting; whatever else there is to say (an error, a redirect to an upstream, a range, a use to be
noted, a limit) is left to the end points by returning None, and nothing has been done then.
Access, metrics and access log are the same objects that the long way asks and tells.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import NamedTuple

from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import MultiMapping

from boxy_registry.errors import RegistryError
from boxy_registry.http import blob, manifest, target
from boxy_registry.http.clients import address_of
from boxy_registry.http.exchange import ALWAYS, JSON, not_modified
from boxy_registry.http.target import Target
from boxy_registry.parts import Access, Parts, Served

_READING = ("GET", "HEAD")
_LONG_WAY = ("Range", "Expect", "Upgrade")
"""headers that this knows nothing of"""
_UNPLAIN = frozenset("%?#")
_FIXED = "".join(f"{name}: {value}\r\n" for name, value in ALWAYS.items())
_STATUS = {200: "HTTP/1.1 200 OK\r\n", 304: "HTTP/1.1 304 Not Modified\r\n"}


class Asked(NamedTuple):
    """A request, as far as it matters here; `clients.Caller` too."""

    method: str
    path: str
    headers: MultiMapping[str]
    remote: str | None


class Found(NamedTuple):
    """What to answer. `size`: of the body, which a HEAD does not get."""

    status: int
    headers: Mapping[str, str]
    size: int
    body: bytes


class Quick:
    """Answers over one server's parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._date = (0, "")
        self._warning = ""
        if parts.settings.warning:
            self._warning = f'Warning: 299 - "{parts.settings.warning}"\r\n'

    @property
    def wanted(self) -> bool:
        """Whether this server has anything to answer here: no upstream has to be asked first,
        and no request to be counted."""
        return not self._parts.upstreams and self._parts.rate is None

    def answer(self, message: RawRequestMessage, remote: str | None) -> bytes | None:
        """The answer to a request without a body, to be written; None: ask the end points."""
        if (
            message.method not in _READING
            or message.should_close
            or message.version != HttpVersion11
            or not message.path.startswith("/v2/")
            or not _UNPLAIN.isdisjoint(message.path)
            or any(name in message.headers for name in _LONG_WAY)
        ):
            return None
        began = time.perf_counter()
        asked = Asked(message.method, message.path, message.headers, remote)
        try:
            place = target.find(asked.method, asked.path)
            access = self._parts.authorizer.at_once(asked.headers, place.need(asked.method))
            found = self._find(asked, place) if access is not None else None
        except (RegistryError, OSError, ValueError, sqlite3.Error):
            return None
        if found is None or access is None:
            return None
        self._tell(asked, place, access, found, time.perf_counter() - began)
        return self._written(found, asked.method)

    def _find(self, asked: Asked, place: Target) -> Found | None:
        if place.endpoint == "manifest":
            return self._manifest(asked, place)
        if place.endpoint == "blob":
            return self._blob(asked, place)
        if place.endpoint == "base":
            return Found(200, {"Content-Type": JSON}, 2, b"{}")
        return None

    def _manifest(self, asked: Asked, place: Target) -> Found | None:
        store = self._parts.store
        found = store.manifest(place.repository, place.reference)
        if store.stale(found.used):
            return None
        headers = manifest.headers_of(found)
        if not_modified(asked.headers, found.digest):
            return Found(304, headers, 0, b"")
        return Found(200, headers, len(found.body), found.body)

    def _blob(self, asked: Asked, place: Target) -> Found | None:
        store = self._parts.store
        found = store.blob(place.repository, place.reference)
        if store.stale(found.used):
            return None
        headers = blob.headers_of(found.digest)
        if not_modified(asked.headers, found.digest):
            return Found(304, headers, 0, b"")
        if asked.method == "HEAD":
            here = store.blobs.exists(found.digest)
            return Found(200, headers, found.size, b"") if here else None
        if found.size > blob.SMALL:
            return None
        data = _content(found.path, found.size)
        return Found(200, headers, found.size, data) if len(data) == found.size else None

    def _tell(
        self, asked: Asked, place: Target, access: Access, found: Found, seconds: float
    ) -> None:
        observers = self._parts.observers
        if not observers:
            return
        served = Served(
            method=asked.method,
            path=asked.path,
            endpoint=place.endpoint,
            repository=place.repository,
            status=found.status,
            received=0,
            sent=len(found.body) if asked.method == "GET" else 0,
            seconds=seconds,
            at=time.time(),
            address=address_of(asked, self._parts.settings.proxies),
            user=access.user,
            agent=asked.headers.get("User-Agent", ""),
            error="",
        )
        for observer in observers:
            observer(served)

    def _written(self, found: Found, method: str) -> bytes:
        """Head and body."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in found.headers.items())
        length = "" if found.status == 304 else f"Content-Length: {found.size}\r\n"
        head = f"{_STATUS[found.status]}{lines}{_FIXED}{self._warning}{length}{self._dated()}\r\n"
        return head.encode() + (found.body if method == "GET" else b"")

    def _dated(self) -> str:
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n")
        return self._date[1]


def _content(path: str, size: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)
