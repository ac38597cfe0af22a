"""A store in a temporary folder, and what one pushes into it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from boxy_registry import manifests
from boxy_registry.names import digest_of
from boxy_registry.store import Store
from boxy_registry.store.database import connect, turn


@pytest.fixture(autouse=True)
def _hangup_as_before() -> Iterator[None]:
    """`boxy-registry serve` ignores SIGHUP at first, and children would inherit that."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


class World:
    """A store with short cuts for a push."""

    def __init__(self, root: Path) -> None:
        self.store = Store(str(root))

    async def blob(self, data: bytes, name: str = "a") -> str:
        digest = digest_of(data)

        async def chunks() -> AsyncIterator[bytes]:
            yield data

        await self.store.put_blob(name, digest, chunks())
        return digest

    async def image(self, *layers: bytes, name: str = "a", tag: str = "t", **more: object) -> str:
        config = b"{}"
        for data in (config, *layers):
            await self.blob(data, name)
        body = image_of(config, layers, **more)
        manifest = manifests.parse(body, manifests.IMAGE)
        put = await self.store.put_manifest(name, tag or digest_of(body), manifest)
        return put.digest

    async def index(self, *children: str, name: str = "a", tag: str = "i") -> str:
        entries = [{"mediaType": manifests.IMAGE, "digest": c, "size": 1} for c in children]
        body = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        manifest = manifests.parse(body, manifests.INDEX)
        return (await self.store.put_manifest(name, tag or digest_of(body), manifest)).digest

    def age(self, seconds: float = 7200) -> None:
        """Make everything older by that."""
        with closing(connect(self.store.database, writing=True)) as database, turn(database):
            for statement in (
                "UPDATE links SET used = used - ?",
                "UPDATE blobs SET created = created - ?",
                "UPDATE manifests SET used = used - ?",
                "UPDATE repositories SET created = created - ?",
            ):
                database.execute(statement, (seconds,))
        for path in Path(self.store.root).rglob("*"):
            if path.is_file() and "registry.db" not in path.name:
                os.utime(path, (time.time() - seconds,) * 2)

    def file(self, digest: str) -> Path:
        return Path(self.store.blobs.path(digest))


def image_of(config: bytes, layers: tuple[bytes, ...], **more: object) -> bytes:
    def descriptor(data: bytes) -> dict[str, object]:
        return {"mediaType": "application/x", "digest": digest_of(data), "size": len(data)}

    described = [descriptor(layer) for layer in layers]
    return json.dumps(
        {"schemaVersion": 2, "config": descriptor(config), "layers": described, **more}
    ).encode()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "store")
    yield made
    made.store.close()
