"""The base, the catalogue, tags, referrers."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from boxy_registry.errors import ManifestUnknown
from boxy_registry.http.exchange import Exchange, json_answer, next_page
from boxy_registry.manifests import INDEX

LONGEST = 10_000
"""entries of a list in one answer; the rest is behind its Link"""


async def base(exchange: Exchange) -> web.StreamResponse:
    """`GET /v2/`: this is a registry, and the caller may talk to it."""
    return json_answer({})


async def catalog(exchange: Exchange) -> web.StreamResponse:
    """`GET /v2/_catalog`: the repositories that the caller may pull from."""
    number, last = exchange.page(LONGEST)
    allows = exchange.access.allows
    names: list[str] = []
    after, more = last, number > 0
    while more and len(names) <= number:
        found = exchange.store.repositories(after, number + 1)
        names += [name for name in found if allows("pull", name)]
        more = len(found) > number
        after = found[-1] if found else ""
    headers = (
        next_page("/v2/_catalog", number, names[number - 1]) if len(names) > number > 0 else {}
    )
    return json_answer({"repositories": names[:number]}, headers)


async def tags(exchange: Exchange) -> web.StreamResponse:
    """`GET /v2/<name>/tags/list`."""
    number, last = exchange.page(LONGEST)
    name = exchange.target.repository
    names = exchange.store.tag_names(name, last, number + 1)
    headers = {}
    if len(names) > number > 0:
        headers = next_page(f"/v2/{name}/tags/list", number, names[number - 1])
    return json_answer({"name": name, "tags": names[:number]}, headers)


async def referrers(exchange: Exchange) -> web.StreamResponse:
    """`GET /v2/<name>/referrers/<digest>`."""
    kind = exchange.request.query.get("artifactType", "")
    name, subject = exchange.target.repository, exchange.target.reference
    found = exchange.store.referrers(name, subject, kind)
    found += _by_fallback_tag(exchange, found)
    headers = {"OCI-Filters-Applied": "artifactType"} if kind else {}
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
    return json_answer(body, headers, INDEX)


def _by_fallback_tag(exchange: Exchange, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client that knew no referrers listed under the tag `<algorithm>-<digest>`.

    OCI Distribution 1.1, "Referrers Tag Schema": an index, which older pushes maintained.
    """
    kind = exchange.request.query.get("artifactType", "")
    name, subject = exchange.target.repository, exchange.target.reference
    try:
        index = exchange.store.manifest(name, subject.replace(":", "-")[:128])
        entries = msgspec.json.decode(index.body).get("manifests", [])
    except (ManifestUnknown, msgspec.DecodeError, AttributeError):
        return []
    seen = {entry["digest"] for entry in known}
    return [
        entry
        for entry in entries
        if isinstance(entry, dict)
        and entry.get("digest") not in seen
        and (not kind or entry.get("artifactType") == kind)
    ]
