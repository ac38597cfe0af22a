"""Requests about images that come and go, and about registries.

Constraint: one short function for each request; what it does lies in traffic.py. A name may
hold slashes, so it is all of the path between `/images/` and the last word.
"""

from __future__ import annotations

import asyncio
import io
import queue
from typing import Any, cast

from aiohttp import web

from boxy_core.errors import ImageError, InvalidRequest, Unsupported
from boxy_core.models import Model
from boxy_core.protocol import API
from boxyd.handlers_answer import HOUSE, answer, stream, told
from boxyd.handlers_query import Query, body, empty_body
from boxyd.handlers_streams import unpacked
from boxyd.traffic import Traffic, remove_file

_PIECE = 1 << 20
_HELD = 4
"""pieces of an archive that wait for a slow reader"""
TAR = "application/x-tar"


class LoginRequest(Model, frozen=True, kw_only=True):
    """The body of a login."""

    username: str
    password: str
    insecure: bool = False


def routes() -> list[web.RouteDef]:
    """The requests of this module."""
    one, registry = API + "/images/{name:.+}", API + "/registries/{host}"
    repository = registry + "/repositories/{path:.+}/tags"
    return [
        web.post(API + "/images/prune", prune),
        web.post(API + "/images/load", load),
        web.post(API + "/images/save", save),
        web.post(one + "/pull", pull),
        web.post(one + "/push", push),
        web.post(one + "/tag", tag),
        web.delete(one, remove),
        web.get(API + "/registries", logins),
        web.post(registry + "/login", log_in),
        web.delete(registry + "/login", log_out),
        web.get(registry + "/repositories", repositories),
        web.get(repository, tags),
        web.delete(repository + "/{tag}", delete_tag),
    ]


def _traffic(request: web.Request) -> Traffic:
    traffic = request.app[HOUSE].traffic
    if traffic is None:
        raise Unsupported("this daemon has no image store that could do that")
    return traffic


def _name(request: web.Request) -> str:
    return request.match_info["name"]


# ---------------------------------------------------------------------- with progress


async def pull(request: web.Request) -> web.StreamResponse:
    """Fetch an image; lines of progress, the last one is the image or the error."""
    query = Query(request, "platform", "insecure")
    await empty_body(request)
    traffic, name = _traffic(request), _name(request)
    platform, insecure = query.text("platform"), query.flag("insecure")
    if "/" not in name and name.removesuffix(":latest") in traffic.folder_names():
        return await told(request, "image", lambda tell: unpacked(request, name, tell))
    traffic.full_name(name)  # a wrong one is an ordinary error
    return await told(
        request, "image",
        lambda tell: traffic.pull(name, tell, platform=platform, insecure=insecure),
    )  # fmt: skip


async def push(request: web.Request) -> web.StreamResponse:
    """Send an image; lines of progress, the last one says where it is now."""
    query = Query(request, "to", "insecure")
    await empty_body(request)
    traffic, name = _traffic(request), _name(request)
    to, insecure = query.text("to"), query.flag("insecure")
    return await told(
        request, "pushed", lambda tell: traffic.push(name, to, tell, insecure=insecure)
    )


# ---------------------------------------------------------------------- at once


async def tag(request: web.Request) -> web.Response:
    """A further name for an image."""
    to = Query(request, "to").text("to")
    await empty_body(request)
    if not to:
        raise InvalidRequest("no name was given", hint="?to=NAME")
    return answer(await _traffic(request).tag(_name(request), to), 201)


async def remove(request: web.Request) -> web.Response:
    """Forget an image, and free what only it had."""
    force = Query(request, "force").flag("force")
    await empty_body(request)
    return answer(await _traffic(request).remove(_name(request), force=force))


async def prune(request: web.Request) -> web.Response:
    """Free what no image has."""
    everything = Query(request, "all").flag("all")
    await empty_body(request)
    return answer(await _traffic(request).prune(everything=everything))


# ---------------------------------------------------------------------- archives


async def load(request: web.Request) -> web.StreamResponse:
    """Images from an archive, which is the body of the request."""
    name = Query(request, "name").text("name")
    traffic = _traffic(request)
    path = traffic.scratch()
    try:
        await _spool(request, path)
        return answer(await traffic.load(path, name, lambda *_: None), 201)
    finally:
        await asyncio.to_thread(remove_file, path)


async def _spool(request: web.Request, path: str) -> None:
    """Write the body to a file. Raises ImageError if the disk refuses."""
    with await asyncio.to_thread(open, path, "xb") as file:
        try:
            async for piece in request.content.iter_chunked(_PIECE):
                await asyncio.to_thread(file.write, piece)
        except OSError as error:
            raise ImageError(f"the archive could not be kept: {error.strerror or error}",
                             hint="see that the disk has room (df -h)") from error  # fmt: skip


async def save(request: web.Request) -> web.StreamResponse:
    """Images as one archive, which is the body of the answer."""
    names = Query(request, "name").texts("name")
    await empty_body(request)
    traffic = _traffic(request)
    if not names:
        raise InvalidRequest("no image was named", hint="?name=IMAGE, once for each")
    for name in names:
        traffic.known(name)  # an unknown one is an ordinary error
    pipe = _Pipe()
    async with stream(request, TAR) as out:
        writing = asyncio.create_task(_write_archive(traffic, names, pipe))
        try:
            while piece := await asyncio.to_thread(pipe.get):
                await out.write(piece)
            await writing  # an error breaks the answer off, which a client notices
        finally:
            pipe.close()
            writing.cancel()
            await asyncio.wait([writing])
    return out


async def _write_archive(traffic: Traffic, names: list[str], pipe: _Pipe) -> None:
    try:
        await traffic.save(names, cast(Any, pipe))
    finally:
        await asyncio.to_thread(pipe.finish)


class _Pipe(io.RawIOBase):
    """A file for a thread to write to; what is written is taken out, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: queue.Queue[bytes] = queue.Queue(_HELD)
        self._given_up = False

    def writable(self) -> bool:
        """It is there to be written to."""
        return True

    def write(self, data: Any) -> int:
        """Wait for room, then hand over a copy. Raises BrokenPipeError when nobody reads."""
        piece = bytes(data)
        while piece:
            if self._given_up:
                raise BrokenPipeError
            try:
                self._pieces.put(piece, timeout=0.2)
                break
            except queue.Full:
                continue
        return len(data)

    def finish(self) -> None:
        """Nothing more will be written."""
        while not self._given_up:
            try:
                self._pieces.put(b"", timeout=0.2)
                break
            except queue.Full:
                continue

    def get(self) -> bytes:
        """The next piece; b"" at the end, or when closed."""
        while not self._given_up:
            try:
                return self._pieces.get(timeout=0.2)
            except queue.Empty:
                continue
        return b""

    def close(self) -> None:
        """Nobody reads any more."""
        self._given_up = True


# ---------------------------------------------------------------------- registries


async def logins(request: web.Request) -> web.Response:
    """Where the asking user is logged in, and where short names are looked for."""
    Query(request)
    traffic = _traffic(request)
    return answer({"default": traffic.settings.default, "logins": traffic.logins()})


async def log_in(request: web.Request) -> web.Response:
    """Try and keep a name and a password."""
    Query(request)
    wanted = await body(request, LoginRequest)
    host = request.match_info["host"]
    await _traffic(request).log_in(host, wanted.username, wanted.password, insecure=wanted.insecure)
    return answer({"host": host, "name": wanted.username})


async def log_out(request: web.Request) -> web.Response:
    """Forget the password."""
    Query(request)
    await empty_body(request)
    await _traffic(request).log_out(request.match_info["host"])
    return answer({})


async def repositories(request: web.Request) -> web.Response:
    """What a registry has."""
    insecure = Query(request, "insecure").flag("insecure")
    host = request.match_info["host"]
    return answer({"repositories": await _traffic(request).repositories(host, insecure=insecure)})


async def tags(request: web.Request) -> web.Response:
    """The tags of a repository."""
    query = Query(request, "insecure", "details")
    host, path = request.match_info["host"], request.match_info["path"]
    found = await _traffic(request).tags(
        host, path, insecure=query.flag("insecure"), details=query.flag("details")
    )
    return answer({"tags": found})


async def delete_tag(request: web.Request) -> web.Response:
    """Remove a tag at a registry."""
    insecure = Query(request, "insecure").flag("insecure")
    await empty_body(request)
    match = request.match_info
    await _traffic(request).delete(match["host"], match["path"], match["tag"], insecure=insecure)
    return answer({})
