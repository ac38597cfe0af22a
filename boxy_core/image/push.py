"""Sending an image: layers side by side, then the configuration, the manifest last.

Constraint: the manifest is what makes an image, so it goes when everything it names is there.
Layers that the registry has are not sent; those of a neighbour repository there are mounted.
"""

from __future__ import annotations

import asyncio

from boxy_core.errors import ImageError
from boxy_core.image import manifest as oci
from boxy_core.image.named import Content, Named
from boxy_core.image.pull import AT_ONCE, Board, Tell, together
from boxy_core.image.reference import Reference, parse
from boxy_core.image.remote import Remote


class Pusher:
    """Pushes from one store."""

    def __init__(self, named: Named) -> None:
        self._named = named

    async def push(self, remote: Remote, manifest: str, to: Reference, tell: Tell) -> str:
        """Send the image with this manifest to a reference; the digest that it has there.

        Raises:
            Denied, ImageError: the registry's answer, or a layer is not kept here.
        """
        board = Board(tell, "pushing")
        content = await asyncio.to_thread(self._named.content, manifest, str(to))
        with self._named.blobs.pinned(content.blobs):
            room = asyncio.Semaphore(AT_ONCE)
            layers = {layer.digest: layer for layer in content.manifest.layers}.values()
            for layer in layers:
                board.layer(layer.digest, "waiting", layer.size)

            async def one(layer: oci.Descriptor) -> None:
                async with room:
                    await self._send(remote, layer, to, board)

            await together([one(layer) for layer in layers])
            board.flush()
            await self._send(remote, content.manifest.config, to, None)
            data = await asyncio.to_thread(self._named.blobs.read, manifest)
            return await remote.push_manifest(to, data, _media_type(data))

    async def _send(
        self, remote: Remote, blob: oci.Descriptor, to: Reference, board: Board | None
    ) -> None:
        def count(n: int) -> None:
            if board is not None:
                board.count(blob.digest, n)

        def source() -> int:
            return self._named.blobs.opened(blob.digest, str(to))

        if board is not None:
            board.layer(blob.digest, "pushing")
        neighbour = await asyncio.to_thread(self._neighbour, blob.digest, to)
        sent = await remote.push_blob(to.path, blob, source, count, neighbour)
        if board is not None:
            board.layer(blob.digest, "done" if sent else "exists")

    def _neighbour(self, digest: str, to: Reference) -> str:
        """Another repository of the same registry that has the blob, as far as we know."""
        for entry in self._named.entries():
            name = parse(entry.name)
            if name.host == to.host and name.path != to.path:
                content = self._content(entry.manifest)
                if content is not None and digest in content.blobs:
                    return name.path
        return ""

    def _content(self, manifest: str) -> Content | None:
        try:
            return self._named.content(manifest, manifest)
        except ImageError:
            return None


def _media_type(data: bytes) -> str:
    """What a manifest says of itself; Docker's have to."""
    import msgspec

    head = msgspec.json.decode(data, type=dict[str, object])
    return str(head.get("mediaType") or oci.MANIFEST)
