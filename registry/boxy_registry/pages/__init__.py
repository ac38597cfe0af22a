"""Web pages: repositories, tags, layers, and the command that pulls each.

    html.py      elements that escape what they hold (pure)
    views.py     each page from plain values (pure)
    static/      one style sheet, one script of a few lines; no build chain

Constraint: everything shown was chosen by whoever pushed, so nothing reaches a page unescaped,
and the content security policy lets nothing run but our own file.  A page shows what its reader
may pull.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from aiohttp import web

from boxy_registry.errors import NameUnknown, RegistryError, Unauthorized
from boxy_registry.names import check_digest, check_repository, check_tag, is_digest
from boxy_registry.pages import views
from boxy_registry.parts import Access, Need, Parts

PAGE = 100
"""lines of a list"""
_STATIC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
_KINDS = {"registry.css": "text/css", "registry.js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


def extend(parts: Parts) -> None:
    """Serve the pages, if the settings want them."""
    if not parts.settings.pages:
        return
    pages = Pages(parts)
    parts.routes += [
        web.get("/", pages.guarded(pages.repositories)),
        web.get("/login", pages.guarded(pages.login)),
        web.get("/static/{name}", _static),
        web.get("/r/{repository:.+}/-/{reference}", pages.guarded(pages.image)),
        web.get("/r/{repository:.+}", pages.guarded(pages.tags)),
    ]


class Pages:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store

    def guarded(self, page: Handler) -> Handler:
        """A page whose errors are pages, and that asks a browser for a password."""

        async def handler(request: web.Request) -> web.Response:
            try:
                return await page(request)
            except Unauthorized as error:
                answer = _answer(views.problem(error.status, error.message), error.status)
                answer.headers["WWW-Authenticate"] = 'Basic realm="boxy-registry", charset="UTF-8"'
                return answer
            except RegistryError as error:
                return _answer(views.problem(error.status, error.message), error.status)

        return handler

    async def login(self, request: web.Request) -> web.Response:
        """`/login`: have the browser ask for a name and a password, for all pages."""
        await self._parts.authorizer.authorize(request, Need())
        return web.Response(status=303, headers={**_HEADERS, "Location": "/"})

    def _reader(self, access: Access) -> str | None:
        """Who reads, for the head of a page; None: there are no accounts."""
        return access.user if access.user or self._parts.settings.auth.enabled else None

    async def repositories(self, request: web.Request) -> web.Response:
        """`/`: what there is, and a search."""
        access = await self._parts.authorizer.authorize(request, Need("catalog"))
        wanted, after = request.query.get("q", "").strip().lower(), request.query.get("after", "")
        names, more = self._names(access, wanted, after)
        found = [self._store.repository(name) for name in names]
        return _answer(
            views.repositories(found, wanted, names[-1] if more else "", self._reader(access))
        )

    def _names(self, access: Access, wanted: str, after: str) -> tuple[list[str], bool]:
        """A page of the repositories that the reader may pull; whether there are more."""
        names: list[str] = []
        while len(names) <= PAGE:
            some = self._store.repositories(after, 500)
            names += [one for one in some if wanted in one and access.allows("pull", one)]
            if len(some) < 500:
                break
            after = some[-1]
        return names[:PAGE], len(names) > PAGE

    async def tags(self, request: web.Request) -> web.Response:
        """`/r/NAME`: the tags of a repository."""
        name = check_repository(request.match_info["repository"])
        access = await self._parts.authorizer.authorize(request, Need("pull", name))
        after = request.query.get("after", "")
        found = self._store.tags(name, after, PAGE + 1)
        more = found[PAGE - 1].name if len(found) > PAGE else ""
        host = request.host
        about = self._store.repository(name)
        return _answer(views.tags(host, about, found[:PAGE], more, self._reader(access)))

    async def image(self, request: web.Request) -> web.Response:
        """`/r/NAME/-/REFERENCE`: what an image is made of."""
        name = check_repository(request.match_info["repository"])
        reference = request.match_info["reference"]
        (check_digest if is_digest(reference) else check_tag)(reference)
        access = await self._parts.authorizer.authorize(request, Need("pull", name))
        manifest = self._store.manifest(name, reference)
        config = b""
        digest = views.config_digest(manifest.body)
        if digest:
            config = await self._small_blob(name, digest)
        return _answer(
            views.image(request.host, name, reference, manifest, config, self._reader(access))
        )

    async def _small_blob(self, name: str, digest: str) -> bytes:
        """A configuration; "" if it is not here (a sparse copy) or large."""
        from boxy_registry.store.threads import in_thread

        try:
            blob = self._store.blob(name, digest)
        except RegistryError:
            return b""
        if blob.size > views.MAX_CONFIG:
            return b""
        return await in_thread(_read, blob.path)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NameUnknown("it was removed a moment ago") from None


def _answer(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


async def _static(request: web.Request) -> web.StreamResponse:
    """The style sheet and the script."""
    name = request.match_info["name"]
    if name not in _KINDS:
        return _answer(views.problem(404, "there is no such file"), 404)
    headers = {**_HEADERS, "Cache-Control": "max-age=3600", "Content-Type": _KINDS[name]}
    return web.FileResponse(f"{_STATIC}/{name}", headers=headers)
