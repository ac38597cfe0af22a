"""Blobs: pull with ranges, delete."""

from __future__ import annotations

import asyncio
import logging
import os

from aiohttp import web

from boxy_registry.arriving import Reader
from boxy_registry.errors import BlobUnknown, Failed, MethodNotAllowed
from boxy_registry.http import ranges
from boxy_registry.http.exchange import Exchange, answer, not_modified
from boxy_registry.names import check_digest
from boxy_registry.store import StoredBlob
from boxy_registry.store.threads import in_thread

log = logging.getLogger("boxy_registry.http")

SMALL = 1 << 16
"""bytes up to which a blob goes from memory in one write with its headers"""
_TLS_CHUNK = 1 << 18


async def handle(exchange: Exchange) -> web.StreamResponse:
    """`/v2/<name>/blobs/<digest>` by every method."""
    digest = check_digest(exchange.target.reference)
    if exchange.request.method == "DELETE":
        return await _delete(exchange, digest)
    for upstream in exchange.parts.upstreams:
        reader = await upstream.prepare_blob(exchange.target.repository, digest)
        if reader is not None:
            try:
                return await _pass_on(exchange, reader)
            finally:
                reader.close()
    blob = await exchange.store.use_blob(exchange.target.repository, digest)
    return await _get(exchange, blob)


async def _get(exchange: Exchange, blob: StoredBlob) -> web.StreamResponse:
    headers = headers_of(blob.digest)
    if not_modified(exchange.request.headers, blob.digest):
        return answer(304, headers)
    status, first, count = 200, 0, blob.size
    try:
        part = ranges.asked(_range_of(exchange, blob.digest), blob.size)
    except ranges.NotSatisfiable:
        return answer(416, {"Content-Range": f"bytes */{blob.size}"})
    if part is not None:
        status, (first, count) = 206, part
        headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{blob.size}"
    fd = _open(exchange, blob)
    try:
        return await _send(exchange.request, status, headers, fd, first, count)
    finally:
        os.close(fd)


def headers_of(digest: str) -> dict[str, str]:
    """What tells of a blob."""
    return {
        "Docker-Content-Digest": digest,
        "Content-Type": "application/octet-stream",
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000, immutable",
    }


async def _pass_on(exchange: Exchange, reader: Reader) -> web.StreamResponse:
    """Send a blob that is on its way here.  Raises Torn."""
    headers = headers_of(reader.digest)
    status, first, count = 200, 0, reader.size
    try:
        part = count and ranges.asked(_range_of(exchange, reader.digest), count)
    except ranges.NotSatisfiable:
        return answer(416, {"Content-Range": f"bytes */{reader.size}"})
    if part:
        status, (first, count) = 206, part
        headers["Content-Range"] = f"bytes {first}-{first + count - 1}/{reader.size}"
    if count is not None:
        headers["Content-Length"] = str(count)
    if exchange.head:
        return web.Response(status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(exchange.request)
    async for piece in reader.pieces(first, count):
        await response.write(piece)
    await response.write_eof()
    return response


def _range_of(exchange: Exchange, digest: str) -> str | None:
    """The Range header, unless If-Range speaks of something else (RFC 9110, 13.1.5)."""
    headers = exchange.request.headers
    condition = headers.get("If-Range")
    if condition is not None and condition.strip() != f'"{digest}"':
        return None
    return headers.get("Range")


def _open(exchange: Exchange, blob: StoredBlob) -> int:
    try:
        fd = os.open(blob.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # deleted and collected since we looked; or lost: scrub tells
        raise BlobUnknown(
            f"{exchange.target.repository} has no blob {blob.digest}",
            detail={"digest": blob.digest},
        ) from None
    if os.fstat(fd).st_size != blob.size:
        os.close(fd)
        log.error("the file of %s is damaged: run boxy-registry scrub", blob.digest)
        raise Failed(f"the blob {blob.digest} is damaged here")
    return fd


async def _send(
    request: web.BaseRequest, status: int, headers: dict[str, str], fd: int, first: int, count: int
) -> web.StreamResponse:
    """Send this part of a file."""
    if request.method == "HEAD" or count == 0:
        return web.Response(status=status, headers={**headers, "Content-Length": str(count)})
    if count <= SMALL:
        return web.Response(status=status, headers=headers, body=os.pread(fd, count, first))
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = count
    writer = await response.prepare(request)
    transport = request.transport
    if writer is None or transport is None:
        raise ConnectionResetError("the client left")
    loop = asyncio.get_running_loop()
    if transport.get_extra_info("sslcontext") is None:
        writer.send_headers()
        with os.fdopen(os.dup(fd), "rb", buffering=0) as file:
            await loop.sendfile(transport, file, first, count)
    else:
        await _send_in_chunks(response, fd, first, count)
    await response.write_eof()
    return response


async def _send_in_chunks(response: web.StreamResponse, fd: int, first: int, count: int) -> None:
    """Read and write: TLS has to see the bytes."""
    end = first + count
    while first < end:
        data = await in_thread(os.pread, fd, min(_TLS_CHUNK, end - first), first)
        if not data:
            raise ConnectionResetError("a blob's file is shorter than it was")
        await response.write(data)
        first += len(data)


async def _delete(exchange: Exchange, digest: str) -> web.StreamResponse:
    if not exchange.parts.settings.delete:
        raise MethodNotAllowed("this registry does not delete", headers={"Allow": "GET, HEAD"})
    await exchange.store.delete_blob(exchange.target.repository, digest)
    await exchange.tell("delete", "blob", digest)
    return answer(202)
