"""Manifests: pull, push, delete."""

from __future__ import annotations

import hashlib

from aiohttp import web

from boxy_registry import manifests
from boxy_registry.config import size
from boxy_registry.errors import DigestInvalid, MethodNotAllowed, SizeInvalid
from boxy_registry.http.exchange import Exchange, answer, not_modified
from boxy_registry.names import check_digest, check_tag, is_digest
from boxy_registry.store import StoredManifest


async def handle(exchange: Exchange) -> web.StreamResponse:
    """`/v2/<name>/manifests/<reference>` by every method."""
    reference, method = exchange.target.reference, exchange.request.method
    if is_digest(reference):
        check_digest(reference)
    elif method == "PUT":
        check_tag(reference)
    if method == "PUT":
        return await _put(exchange)
    if method == "DELETE":
        return await _delete(exchange)
    return await _get(exchange)


async def _get(exchange: Exchange) -> web.StreamResponse:
    name, reference = exchange.target.repository, exchange.target.reference
    for upstream in exchange.parts.upstreams:
        await upstream.prepare_manifest(name, reference)
    found = await exchange.store.use_manifest(name, reference)
    headers = headers_of(found)
    if not_modified(exchange.request.headers, found.digest):
        return answer(304, headers)
    return web.Response(body=found.body, headers=headers)


def headers_of(manifest: StoredManifest) -> dict[str, str]:
    """What tells of a manifest."""
    return {
        "Docker-Content-Digest": manifest.digest,
        "Content-Type": manifest.media_type,
        "ETag": f'"{manifest.digest}"',
    }


async def _put(exchange: Exchange) -> web.StreamResponse:
    name, reference = exchange.target.repository, exchange.target.reference
    settings, request = exchange.parts.settings, exchange.request
    tags = [check_tag(tag) for tag in request.query.getall("tag", [])]
    body = await _read(exchange, size(settings.limits.manifest, "limits.manifest"))
    if is_digest(reference):
        _verify(body, reference)
    manifest = manifests.parse(body, request.headers.get("Content-Type", ""))
    put = await exchange.store.put_manifest(
        name,
        reference,
        manifest,
        tags,
        blobs_needed=settings.sparse != "all",
        children_needed=settings.sparse == "none",
    )
    await exchange.tell(
        "push", "manifest", put.digest,
        tags=put.tags, media_type=manifest.media_type, size=len(body),
    )  # fmt: skip
    headers = {
        "Location": f"/v2/{name}/manifests/{put.digest}",
        "Docker-Content-Digest": put.digest,
    }
    if put.subject:
        headers["OCI-Subject"] = put.subject
    if tags:
        headers["OCI-Tag"] = ", ".join(put.tags)
    return answer(201, headers)


async def _delete(exchange: Exchange) -> web.StreamResponse:
    name, reference = exchange.target.repository, exchange.target.reference
    if not exchange.parts.settings.delete:
        raise MethodNotAllowed("this registry does not delete", headers={"Allow": "GET, HEAD, PUT"})
    if is_digest(reference):
        tags = await exchange.store.delete_manifest(name, reference)
        await exchange.tell("delete", "manifest", reference, tags=tags)
    else:
        digest = await exchange.store.delete_tag(name, reference)
        await exchange.tell("delete", "tag", digest, tags=(reference,))
    return answer(202)


async def _read(exchange: Exchange, limit: int) -> bytes:
    """The whole body.  Raises SizeInvalid past the limit."""
    request = exchange.request
    if limit and (request.content_length or 0) > limit:
        raise SizeInvalid(f"a manifest may have {limit} bytes", detail={"limit": limit})
    await exchange.ready_for_body()
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        exchange.received += len(chunk)
        if limit and len(body) > limit:
            raise SizeInvalid(f"a manifest may have {limit} bytes", detail={"limit": limit})
    return bytes(body)


def _verify(body: bytes, digest: str) -> None:
    algorithm, _, digits = digest.partition(":")
    found = hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
    if found != digits:
        raise DigestInvalid(
            f"the manifest's digest is {algorithm}:{found}, not {digest}",
            detail={"digest": f"{algorithm}:{found}"},
        )
