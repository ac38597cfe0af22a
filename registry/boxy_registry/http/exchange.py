"""One request on its way through, and the answers that handlers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web

from boxy_registry.errors import PaginationInvalid
from boxy_registry.http.clients import address_of
from boxy_registry.http.target import Target
from boxy_registry.names import shown
from boxy_registry.parts import Access, Event, Parts

JSON = "application/json"
ALWAYS = {
    "Docker-Distribution-API-Version": "registry/2.0",
    "Server": "boxy-registry",
    "X-Content-Type-Options": "nosniff",
}
"""headers of every answer"""


class Exchange:
    """A request with what was found out about it. Handlers take it and return the answer."""

    __slots__ = ("access", "continued", "parts", "received", "request", "store", "target")

    def __init__(
        self, request: web.BaseRequest, target: Target, parts: Parts, access: Access
    ) -> None:
        self.request = request
        self.target = target
        self.parts = parts
        self.store = parts.store
        self.access = access
        self.received = 0
        """bytes of the body that were taken"""
        self.continued = False

    @property
    def head(self) -> bool:
        """Whether only the headers of the answer are asked for."""
        return self.request.method == "HEAD"

    async def tell(self, action: Any, kind: str, digest: str, **more: Any) -> None:
        """Tell the listeners of a change by this request."""
        if self.parts.listeners:
            address = address_of(self.request, self.parts.settings.proxies)
            await self.parts.tell(
                Event(
                    action, kind, self.target.repository, digest,
                    user=self.access.user, address=address, **more,
                )
            )  # fmt: skip

    async def ready_for_body(self) -> None:
        """Answer `Expect: 100-continue`: the request was found good, its body may come."""
        if self.continued or self.request.headers.get("Expect", "").lower() != "100-continue":
            return
        self.continued = True
        transport = self.request.transport
        if transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def page(self, largest: int) -> tuple[int, str]:
        """`n` and `last` of a list: how many at most, after which.  Raises PaginationInvalid."""
        query = self.request.query
        number, last = query.get("n"), query.get("last", "")
        if number is None or number == "":
            return largest, last
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise PaginationInvalid(
                f"n is {shown(number)}, not a number", detail={"n": shown(number)}
            )
        return min(int(number), largest), last


def answer(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status, headers=headers)


def json_answer(
    data: object, headers: Mapping[str, str] | None = None, content_type: str = JSON
) -> web.Response:
    """200 with JSON."""
    response = web.Response(body=msgspec.json.encode(data), headers=headers)
    response.headers["Content-Type"] = content_type
    return response


def next_page(path: str, number: int, last: str) -> dict[str, str]:
    """The Link header of RFC 8288 that leads to what follows `last`."""
    return {"Link": f'<{path}?n={number}&last={quote(last, safe="")}>; rel="next"'}


def not_modified(headers: Mapping[str, str], digest: str) -> bool:
    """Whether If-None-Match names this digest (RFC 9110, 13.1.2): content never changes."""
    asked = headers.get("If-None-Match")
    if asked is None:
        return False
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in asked.split(",")]
    return "*" in tags or digest in tags
