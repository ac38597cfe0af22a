"""Metrics in Prometheus' text format at /metrics, of all processes of the server together.

Constraint: an observer stands behind every answer, so it only adds to numbers in memory; once a
second a process that served writes them to its own small file, and whoever is asked adds the
files up.  (Prometheus, "Exposition formats", version 0.0.4.)

    ROOT/metrics/PID.json
"""

from __future__ import annotations

import contextlib
import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import msgspec
from aiohttp import web

from boxy_core import __version__
from boxy_registry.parts import Need, Parts, Served
from boxy_registry.services import repeated

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0)
_GAUGES_FOR = 10.0
"""seconds that what the store was asked for stands"""

_REQUESTS, _SECONDS, _SUM, _RECEIVED, _SENT = "requests", "bucket", "sum", "received", "sent"


def extend(parts: Parts) -> None:
    """Count, and answer at /metrics."""
    if not parts.settings.metrics:
        return
    metrics = Metrics(parts)
    parts.observers.append(metrics.observe)
    parts.routes.append(web.get(PATH, metrics.answer))
    parts.services.append(metrics.open)


class Metrics:
    """One process's numbers, and the others' from their files."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._folder = f"{parts.store.root}/metrics"
        self._numbers: Counter[str] = Counter()
        self._written = 0
        self._changes = 0
        self._gauges: tuple[float, list[str]] = (0.0, [])

    def observe(self, served: Served) -> None:
        """A request was answered."""
        endpoint = served.endpoint or "page"
        numbers = self._numbers
        numbers[f"{_REQUESTS} {endpoint} {_safe(served.method)} {served.status}"] += 1
        bucket = bisect_left(BUCKETS, served.seconds)
        numbers[f"{_SECONDS} {endpoint} {bucket}"] += 1
        numbers[f"{_SUM} {endpoint}"] += served.seconds  # type: ignore[assignment]
        numbers[_RECEIVED] += served.received
        numbers[_SENT] += served.sent
        self._changes += 1

    # ------------------------------------------------------------------ answering

    async def answer(self, request: web.Request) -> web.Response:
        """`GET /metrics`, for those who may list the repositories."""
        await self._parts.authorizer.authorize(request, Need("catalog"))
        lines = [*exposition(self._together()), *self._store_lines()]
        return web.Response(
            body=("\n".join(lines) + "\n").encode(), headers={"Content-Type": CONTENT_TYPE}
        )

    def _together(self) -> Counter[str]:
        total = Counter(self._numbers)
        for pid, path in self._files():
            if pid != os.getpid():
                with contextlib.suppress(OSError, msgspec.DecodeError), open(path, "rb") as file:
                    total.update(msgspec.json.decode(file.read(), type=dict[str, float]))
        return total

    def _store_lines(self) -> list[str]:
        """What the store holds; asked for at most every few seconds."""
        now = time.monotonic()
        if self._gauges[1] and now - self._gauges[0] < _GAUGES_FOR:
            return self._gauges[1]
        store = self._parts.store
        repositories = [store.repository(name) for name in store.repositories()]
        lines = [
            *_metric("repositories", "gauge", "Repositories that hold something."),
            f"boxy_registry_repositories {len(repositories)}",
            *_metric("tags", "gauge", "Tags of all repositories."),
            f"boxy_registry_tags {sum(one.tags for one in repositories)}",
            *_metric(
                "repository_bytes", "gauge", "Bytes of each repository, shared blobs in each."
            ),
            *(
                f'boxy_registry_repository_bytes{{repository="{one.name}"}} {one.size}'
                for one in repositories
            ),
        ]
        self._gauges = (now, lines)
        return lines

    # ------------------------------------------------------------------ files

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """A service: write our numbers down now and then; remove the files of who is gone."""
        os.makedirs(self._folder, mode=0o750, exist_ok=True)
        for pid, path in self._files():
            if pid == os.getpid() or not _lives(pid):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        try:
            async with repeated(1.0, self._write):
                yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._own)

    async def _write(self) -> None:
        if self._written == self._changes:
            return
        self._written = self._changes
        temporary = self._own + ".tmp"
        with open(temporary, "wb") as file:  # noqa: ASYNC230 - a few kilobytes, not synced
            file.write(msgspec.json.encode(self._numbers))
        os.rename(temporary, self._own)

    @property
    def _own(self) -> str:
        return f"{self._folder}/{os.getpid()}.json"

    def _files(self) -> list[tuple[int, str]]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        found = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return [(int(pid), f"{self._folder}/{pid}.json") for pid in found if pid.isdecimal()]


def exposition(numbers: Counter[str]) -> Iterable[str]:
    """The lines of the counters.  Pure."""
    by_kind: dict[str, list[tuple[list[str], float]]] = {}
    for key in sorted(numbers):
        kind, *labels = key.split(" ")
        by_kind.setdefault(kind, []).append((labels, numbers[key]))
    yield from _metric("info", "gauge", "The version that runs.")
    yield f'boxy_registry_info{{version="{__version__}"}} 1'
    yield from _metric("requests_total", "counter", "Requests answered.")
    for (endpoint, method, status), value in by_kind.get(_REQUESTS, []):
        named = f'endpoint="{endpoint}",method="{method}",status="{status}"'
        yield f"boxy_registry_requests_total{{{named}}} {value:.0f}"
    yield from _metric("request_seconds", "histogram", "Time from a request to its answer's end.")
    for endpoint in sorted({labels[0] for labels, _ in by_kind.get(_SECONDS, [])}):
        yield from _histogram(endpoint, numbers)
    for kind, what in ((_RECEIVED, "taken from clients"), (_SENT, "sent to clients")):
        yield from _metric(f"{kind}_bytes_total", "counter", f"Bytes of bodies {what}.")
        yield f"boxy_registry_{kind}_bytes_total {numbers.get(kind, 0):.0f}"


def _histogram(endpoint: str, numbers: Counter[str]) -> Iterable[str]:
    total = 0
    name = "boxy_registry_request_seconds"
    for index, limit in enumerate((*map(str, BUCKETS), "+Inf")):
        total += numbers.get(f"{_SECONDS} {endpoint} {index}", 0)
        yield f'{name}_bucket{{endpoint="{endpoint}",le="{limit}"}} {total:.0f}'
    yield f'{name}_sum{{endpoint="{endpoint}"}} {numbers.get(f"{_SUM} {endpoint}", 0):.6f}'
    yield f'{name}_count{{endpoint="{endpoint}"}} {total:.0f}'


def _metric(name: str, kind: str, help_: str) -> tuple[str, str]:
    return f"# HELP boxy_registry_{name} {help_}", f"# TYPE boxy_registry_{name} {kind}"


def _safe(method: str) -> str:
    """A client may send any word for a method."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"


def _lives(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
