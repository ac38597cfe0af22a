"""The base, the catalogue, tags, referrers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from boxy_registry.errors import ManifestUnknown, PaginationInvalid
from boxy_registry.http.exchange import Exchange, json_answer, next_page
from boxy_registry.manifests import INDEX
from boxy_registry.names import shown

LONGEST = 10_000
"""entries of a list in one answer; the rest is behind its Link"""
MOST_REFERRERS = 1000
_REFERRERS_BYTES = 2 << 20


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
    found, more = _page_of_referrers(exchange, kind)
    headers = {"OCI-Filters-Applied": "artifactType"} if kind else {}
    if more:
        headers["Link"] = more
    else:
        found += _by_fallback_tag(exchange, kind)
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": found}
    return json_answer(body, headers, INDEX)


def _page_of_referrers(exchange: Exchange, kind: str) -> tuple[list[dict[str, Any]], str]:
    """Some of them, and the Link to what follows, "" if nothing does.

    The answer is an index, of which clients read no more than of a manifest: annotations, which
    are the pushers', must not make it longer.
    """
    name, subject = exchange.target.repository, exchange.target.reference
    asked, last = exchange.page(MOST_REFERRERS)
    number = max(asked, 1)
    if not (last == "" or (last.isascii() and last.isdecimal() and len(last) < 19)):
        raise PaginationInvalid(f"last is {shown(last)}, which no Link said")
    found: list[dict[str, Any]] = []
    place, size = int(last or 0), 0
    for next_, descriptor in exchange.store.referrers(name, subject, kind, place, number + 1):
        size += len(msgspec.json.encode(descriptor))
        if found and (len(found) >= number or size > _REFERRERS_BYTES):
            query = {"n": number, "last": place, **({"artifactType": kind} if kind else {})}
            path = f"/v2/{name}/referrers/{subject}?{urlencode(query)}"
            return found, f'<{path}>; rel="next"'
        found.append(descriptor)
        place = next_
    return found, ""


def _by_fallback_tag(exchange: Exchange, kind: str) -> list[dict[str, Any]]:
    """What a client that knew no referrers listed under the tag `<algorithm>-<digest>`.

    OCI Distribution 1.1, "Referrers Tag Schema": an index, which older pushes maintained.
    """
    name, subject = exchange.target.repository, exchange.target.reference
    try:
        index = exchange.store.manifest(name, subject.replace(":", "-")[:128])
        entries = msgspec.json.decode(index.body).get("manifests", [])
    except (ManifestUnknown, msgspec.DecodeError, AttributeError):
        return []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict)
        and not exchange.store.refers(name, str(entry.get("digest")), subject)
        and (not kind or entry.get("artifactType") == kind)
    ]
