"""Uploads: start, chunks, status, finish, cancel; and the mount of what is here already."""

from __future__ import annotations

import asyncio

from aiohttp import web

from boxy_registry.config import size
from boxy_registry.errors import RangeInvalid, SizeInvalid
from boxy_registry.http import ranges
from boxy_registry.http.exchange import Exchange, answer
from boxy_registry.names import check_algorithm, check_digest
from boxy_registry.store import Upload
from boxy_registry.store.threads import begin, wait_finished

_BATCH = 1 << 18
"""bytes that are gathered before a thread hashes and writes them"""


async def start(exchange: Exchange) -> web.StreamResponse:
    """`POST /v2/<name>/blobs/uploads/`: mount, or begin an upload, or all of it at once."""
    query, name = exchange.request.query, exchange.target.repository
    if "mount" in query and await _mount(exchange, query["mount"], query.get("from", "")):
        return _created(exchange, query["mount"])
    digest = check_digest(query["digest"]) if "digest" in query else ""
    algorithm = query.get("digest-algorithm") or digest.partition(":")[0] or "sha256"
    with exchange.store.uploads.begin(name, check_algorithm(algorithm)) as upload:
        if not digest:
            return answer(202, _whereabouts(upload))
        try:
            await _receive(exchange, upload)
        except BaseException:
            upload.discard()
            raise
        return await _finish(exchange, upload, digest)


async def handle(exchange: Exchange) -> web.StreamResponse:
    """`/v2/<name>/blobs/uploads/<id>` by every method."""
    target, method = exchange.target, exchange.request.method
    with exchange.store.uploads.open(target.repository, target.reference) as upload:
        if method == "DELETE":
            upload.discard()
            return answer(204)
        if method in ("GET", "HEAD"):
            return answer(204, _whereabouts(upload))
        _check_range(exchange, upload)
        digest = check_digest(exchange.request.query.get("digest", "")) if method == "PUT" else ""
        await _receive(exchange, upload)
        if method == "PATCH":
            return answer(202, _whereabouts(upload))
        return await _finish(exchange, upload, digest)


async def _mount(exchange: Exchange, digest: str, source: str) -> bool:
    """Link the blob if it is in a repository that the caller may read; False: upload it."""
    access = exchange.access

    def may_read(repository: str) -> bool:
        return (not source or repository == source) and access.allows("pull", repository)

    if not await exchange.store.mount(exchange.target.repository, digest, may_read):
        return False
    await exchange.tell("mount", "blob", digest)
    return True


def _check_range(exchange: Exchange, upload: Upload) -> None:
    """A chunk must begin where the upload ends, and be as long as it says.

    Raises RangeInvalid, which tells where to go on.
    """
    header = exchange.request.headers.get("Content-Range")
    if header is None:
        return
    found, length = ranges.chunk(header), exchange.request.content_length
    if found is None or found[0] != upload.offset or length not in (None, found[1]):
        raise RangeInvalid(
            f"the chunk {header[:60]!r} does not follow the {upload.offset} bytes that are here",
            detail={"offset": upload.offset},
            headers=_whereabouts(upload),
        )


async def _receive(exchange: Exchange, upload: Upload) -> None:
    """Append the body: one batch is hashed and written by a thread while the next arrives.

    What arrived stays if the client vanishes: it may resume.  Raises SizeInvalid.
    """
    request = exchange.request
    limit = size(exchange.parts.settings.limits.blob, "limits.blob")
    _check_size(upload.offset + (request.content_length or 0), limit)
    await exchange.ready_for_body()
    batch: list[bytes] = []
    size_of_batch = 0
    pending: asyncio.Future[None] | None = None
    try:
        async for data in request.content.iter_any():
            batch.append(data)
            size_of_batch += len(data)
            if size_of_batch >= _BATCH:
                if pending is not None:
                    await wait_finished(pending)
                _check_size(upload.offset + size_of_batch, limit)
                exchange.received += size_of_batch
                pending, batch, size_of_batch = begin(upload.append, batch), [], 0
    finally:
        if pending is not None:
            await wait_finished(pending)
        if batch:
            await exchange.store.append(upload, batch)
            exchange.received += size_of_batch
    _check_size(upload.offset, limit)


def _check_size(found: int, limit: int) -> None:
    if limit and found > limit:
        raise SizeInvalid(f"a blob may have {limit} bytes", detail={"limit": limit})


async def _finish(exchange: Exchange, upload: Upload, digest: str) -> web.StreamResponse:
    await exchange.store.finish(upload, digest)
    await exchange.tell("push", "blob", digest, size=upload.offset)
    return _created(exchange, digest)


def _created(exchange: Exchange, digest: str) -> web.Response:
    location = f"/v2/{exchange.target.repository}/blobs/{digest}"
    return answer(201, {"Location": location, "Docker-Content-Digest": digest})


def _whereabouts(upload: Upload) -> dict[str, str]:
    """Where the upload goes on.  Of none the field says `0-0`: a range cannot be empty."""
    return {
        "Location": f"/v2/{upload.repository}/blobs/uploads/{upload.id}",
        "Range": f"0-{max(upload.offset - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }
