"""A client of OCI registries: manifests and blobs over HTTP, either way, with proof of who asks.

    auth.py       what a 401 asks for, and the tokens that answer it
    transfer.py   bytes on their way between a connection and a file
    trouble.py    what went wrong, in words
    trust.py      whose certificates are believed

Constraint: runs in the daemon's event loop, which it never blocks: bytes are hashed and written
in a thread. What comes is checked by its digest before anybody sees it. Plain http is spoken
with this machine (loopback) or where the user said so, with nobody else. A download that broke
off goes on where it stopped.

(OCI distribution specification 1.1; the token exchange is Docker's, which all registries speak.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlencode, urljoin, urlsplit

import aiohttp
import msgspec

from boxy_core import __version__
from boxy_core.errors import BoxyError, Denied, ImageError, NotFound
from boxy_core.image.auth import Tokens
from boxy_core.image.credentials import Login
from boxy_core.image.manifest import ACCEPT, MAX_MANIFEST, Descriptor, digest_of
from boxy_core.image.reference import HUB, Reference, is_digest, is_loopback
from boxy_core.image.transfer import Count, Writer, at_most, batches, bounded, check_digest, pieces
from boxy_core.image.trouble import broken, lasting, said
from boxy_core.image.trust import NO_TRUST, Trust, ssl_context

HUB_API = "registry-1.docker.io"
TRIES = 5
CONNECT, SILENCE = 15.0, 60.0
_PASSING = (429, 500, 502, 503, 504)
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
_ERRORS = 1 << 16  # bytes of an error's body that are looked at
_LISTED = 8 << 20

Headers = Mapping[str, str]


class Found(NamedTuple):
    """A manifest, checked."""

    media_type: str
    digest: str
    data: bytes


class Remote:
    """One registry, for one user. An async context manager; raises BoxyError throughout."""

    def __init__(self, host: str, login: Login | None = None, trust: Trust = NO_TRUST) -> None:
        self.host = host
        self._api = HUB_API if host == HUB else host
        self._trust = trust
        self._base = ""
        self._session: aiohttp.ClientSession
        self._tokens: Tokens
        self._login = login
        self._challenge: list[str] | None = None
        """what a stranger is told at the door; None: we have not looked"""

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(ssl_context, self._api, self._trust)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit_per_host=8),
            timeout=_TIMEOUT,
            trust_env=True,
            auto_decompress=False,
            headers={"User-Agent": f"boxy/{__version__}"},
        )
        self._tokens = Tokens(self._session, self.host, self._login)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    # ------------------------------------------------------------------ asking

    async def check(self) -> None:
        """Whether the registry is there and takes our word. Raises Denied, BoxyError."""
        async with self._ask("GET", "/v2/", scope="") as answer:
            if answer.status not in (200, 404):
                raise await self._refused(answer, "the registry")
            if answer.status == 404:
                raise ImageError(
                    f"{self.host} is no registry: it does not know /v2/",
                    hint="is its name right, with the port?",
                )

    async def digest(self, reference: Reference) -> str:
        """The digest of what a reference means now; "" if the registry does not say."""
        path = f"/v2/{reference.path}/manifests/{reference.target}"
        async with self._ask("HEAD", path, scope=_pull(reference.path), headers=_ACCEPT) as answer:
            if answer.status == 404:
                raise self._no_image(reference)
            if answer.status != 200:
                raise await self._refused(answer, str(reference))
            return answer.headers.get("Docker-Content-Digest", "")

    async def manifest(self, reference: Reference) -> Found:
        """The manifest or index that a reference names. Raises NotFound, Denied, ImageError."""
        path = f"/v2/{reference.path}/manifests/{reference.target}"
        async with self._ask("GET", path, scope=_pull(reference.path), headers=_ACCEPT) as answer:
            if answer.status == 404:
                raise self._no_image(reference)
            if answer.status != 200:
                raise await self._refused(answer, str(reference))
            data = await bounded(answer, MAX_MANIFEST, f"the manifest of {reference}")
            told = answer.headers.get("Docker-Content-Digest", "")
            media_type = answer.headers.get("Content-Type", "")
        wanted = reference.digest or (told if is_digest(told) else "")
        check_digest(data, wanted, f"the manifest of {reference}")
        return Found(media_type, wanted or digest_of(data), data)

    async def small_blob(self, path: str, blob: Descriptor, limit: int) -> bytes:
        """A blob that fits into memory, checked."""
        what = f"the blob {blob.digest[:19]} of {self.host}/{path}"
        if blob.size > limit:
            raise ImageError(
                f"{what} has {blob.size} bytes, more than {limit}",
                hint="the registry's data is damaged: have the image pushed again",
            )
        target = f"/v2/{path}/blobs/{blob.digest}"
        async with self._ask("GET", target, scope=_pull(path)) as answer:
            if answer.status != 200:
                raise await self._refused(answer, what)
            data = await bounded(answer, blob.size, what)
        check_digest(data, blob.digest, what)
        return data

    async def fetch(self, path: str, blob: Descriptor, target: str, count: Count) -> None:
        """Download a blob to the file `target`, going on with what is there; checked at the end.

        Tried again when the connection breaks; the file is removed if its digest is wrong.
        """
        what = f"the layer {blob.digest[:19]} of {self.host}/{path}"
        writer = await asyncio.to_thread(Writer, target, blob)
        count(writer.size)
        try:
            for attempt in range(TRIES):
                try:
                    await self._fetch_on(path, blob, writer, count, what)
                    break
                except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                    if attempt == TRIES - 1:
                        raise broken(self.host, error, what) from error
                    await asyncio.sleep(0.2 * 2**attempt)
            if writer.digest() != blob.digest:
                os.unlink(target)
                raise ImageError(
                    f"{what} came with another digest, {writer.digest()[:26]}...",
                    hint="somebody changed it on the way or at the registry",
                )
        finally:
            await asyncio.to_thread(writer.close)

    async def _fetch_on(
        self, path: str, blob: Descriptor, writer: Writer, count: Count, what: str
    ) -> None:
        if writer.size == blob.size:
            return
        headers = {"Range": f"bytes={writer.size}-"} if writer.size else {}
        target = f"/v2/{path}/blobs/{blob.digest}"
        async with self._ask("GET", target, scope=_pull(path), headers=headers) as answer:
            if writer.size and answer.status in (200, 416):
                count(-writer.size)  # it cannot give a part: from the beginning
                await asyncio.to_thread(writer.restart)
            if answer.status == 416:
                raise ConnectionError("the registry has no such range")
            if answer.status not in (200, 206):
                raise await self._refused(answer, what)
            async for batch in batches(answer.content):
                await asyncio.to_thread(writer.write, batch)
                count(sum(map(len, batch)))
                if writer.size > blob.size:
                    raise ImageError(
                        f"{what} is longer than its {blob.size} bytes",
                        hint="the registry's data is damaged: have the image pushed again",
                    )
        if writer.size < blob.size:
            raise ConnectionError(f"it ended after {writer.size} of {blob.size} bytes")

    async def stream(
        self, path: str, digest: str, told: Callable[[int], None] = lambda size: None
    ) -> AsyncIterator[bytes]:
        """The bytes of a blob as they come, gone on with after a break; not checked.

        `told` gets its size before the first, if the registry says it.
        Raises NotFound, Denied, ImageError.
        """
        target, what, at = f"/v2/{path}/blobs/{digest}", f"the blob {digest[:19]}", 0
        for attempt in range(TRIES):
            headers = {"Range": f"bytes={at}-"} if at else {}
            try:
                async with self._ask("GET", target, scope=_pull(path), headers=headers) as answer:
                    if answer.status not in ((206,) if at else (200,)):
                        raise await self._refused(answer, what)
                    if not at and answer.content_length is not None:
                        told(answer.content_length)
                    async for piece in answer.content.iter_any():
                        yield piece
                        at += len(piece)
                    return
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                if attempt == TRIES - 1:
                    raise broken(self.host, error, what) from error
                await asyncio.sleep(0.2 * 2**attempt)

    async def tags(self, path: str) -> list[str]:
        """Every tag of a repository. Raises NotFound."""
        found: list[str] = []
        async for page in self._pages(f"/v2/{path}/tags/list", _pull(path), f"{self.host}/{path}"):
            found += page.get("tags") or []
        return found

    async def repositories(self) -> list[str]:
        """Every repository that we may see. Raises Denied if the registry does not list them."""
        found: list[str] = []
        async for page in self._pages("/v2/_catalog", "registry:catalog:*", self.host):
            found += page.get("repositories") or []
        return found

    async def _pages(self, path: str, scope: str, what: str) -> AsyncIterator[dict[str, Any]]:
        url, seen = path + "?n=500", 0
        while url:
            async with self._ask("GET", url, scope=scope) as answer:
                if answer.status == 404:
                    raise NotFound(
                        f"there is no repository {what}",
                        hint=f"boxy registry ls {self.host} lists what there is",
                    )
                if answer.status != 200:
                    raise await self._refused(answer, what)
                data = await bounded(answer, _LISTED, f"the list of {what}")
                link = answer.links["next"]["url"] if "next" in answer.links else None
            try:
                listed: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise ImageError(
                    f"{what} gave a list that cannot be read: {error}",
                    hint="the registry's data is damaged: have the image pushed again",
                ) from None
            yield listed
            seen += 1
            url = _below(str(link), self._base) if link and seen < 1000 else ""

    async def delete(self, path: str, target: str) -> None:
        """Remove a tag or a manifest. Raises NotFound, Denied, ImageError."""
        what = f"{self.host}/{path}{'@' if is_digest(target) else ':'}{target}"
        scope = f"repository:{path}:delete"
        async with self._ask("DELETE", f"/v2/{path}/manifests/{target}", scope=scope) as answer:
            if answer.status == 404:
                raise NotFound(
                    f"there is no {what}",
                    hint="is the name right? boxy registry ls HOST lists repositories",
                )
            if answer.status not in (200, 202, 204):
                raise await self._refused(answer, what)

    # ------------------------------------------------------------------ sending

    async def has_blob(self, path: str, digest: str) -> bool:
        """Whether the repository has the blob."""
        target = f"/v2/{path}/blobs/{digest}"
        async with self._ask("HEAD", target, scope=_push(path)) as answer:
            if answer.status not in (200, 404):
                raise await self._refused(answer, f"{self.host}/{path}")
            return answer.status == 200

    async def push_blob(
        self, path: str, blob: Descriptor, source: Callable[[], int], count: Count, mount: str = ""
    ) -> bool:
        """Have the blob in the repository: mounted from the repository `mount`, or sent.

        `source` gives a descriptor of its bytes, closed here. False: the registry had it.
        """
        if await self.has_blob(path, blob.digest):
            return False
        for attempt in range(TRIES):
            where = await self._begin_upload(path, blob.digest, mount)
            if not where:
                return False
            sent = 0

            def counted(n: int) -> None:
                nonlocal sent
                sent += n
                count(n)

            try:
                await self._send(where, path, blob, source, counted)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                count(-sent)
                if attempt == TRIES - 1:
                    raise broken(self.host, error, f"the layer {blob.digest[:19]}") from error
                await asyncio.sleep(0.2 * 2**attempt)
            else:
                break
        return True

    async def _begin_upload(self, path: str, digest: str, mount: str) -> str:
        """Where to send a blob to; "" if it was mounted."""
        query = f"?{urlencode({'mount': digest, 'from': mount})}" if mount else ""
        scope = _push(path) + (f" {_pull(mount)}" if mount else "")
        async with self._ask("POST", f"/v2/{path}/blobs/uploads/{query}", scope=scope) as answer:
            if answer.status == 201 and mount:
                return ""
            if answer.status != 202 or "Location" not in answer.headers:
                raise await self._refused(answer, f"{self.host}/{path}")
            return urljoin(str(answer.url), answer.headers["Location"])

    async def _send(
        self, where: str, path: str, blob: Descriptor, source: Callable[[], int], count: Count
    ) -> None:
        url = where + ("&" if urlsplit(where).query else "?") + urlencode({"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        fd = await asyncio.to_thread(source)
        try:
            async with self._ask(
                "PUT", url, scope=_push(path), headers=headers, data=lambda: pieces(fd, count)
            ) as answer:
                if answer.status in _PASSING:
                    raise ConnectionError(f"it answered {answer.status}")
                if answer.status not in (201, 204):
                    raise await self._refused(answer, f"{self.host}/{path}")
        finally:
            os.close(fd)

    async def push_manifest(self, reference: Reference, data: bytes, media_type: str) -> str:
        """Put a manifest under the reference's tag (or digest); its digest."""
        path = f"/v2/{reference.path}/manifests/{reference.target}"
        headers = {"Content-Type": media_type}
        async with self._ask(
            "PUT", path, scope=_push(reference.path), headers=headers, data=lambda: data
        ) as answer:
            if answer.status not in (200, 201, 202):
                raise await self._refused(answer, str(reference))
        return digest_of(data)

    # ------------------------------------------------------------------ one request

    @contextlib.asynccontextmanager
    async def _ask(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Headers | None = None,
        data: Callable[[], object] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request with its answer; the first 401 is answered with proof of who we are."""
        base = self._base or await self._find_base()
        if self._login is not None:
            await self._introduce(scope, base)
        target = url if "://" in url else base + url
        ours = urlsplit(target).netloc == urlsplit(base).netloc
        answer = await self._once(method, target, scope if ours else None, headers, data)
        if answer.status == 401 and ours:
            challenge = answer.headers.getall("WWW-Authenticate", [])
            answer.release()
            await self._tokens.answer(challenge, scope, base)
            answer = await self._once(method, target, scope, headers, data)
        try:
            yield answer
        finally:
            answer.release() if answer.content.at_eof() else answer.close()

    async def _introduce(self, scope: str, base: str) -> None:
        """Have proof of who we are before it is asked for.

        Else a registry that shows strangers something would show us no more than that.
        """
        if self._challenge is None:
            answer = await self._once("GET", base + "/v2/", None, None, None)
            self._challenge = answer.headers.getall("WWW-Authenticate", [])
            answer.close()
        if self._challenge and not self._tokens.header(scope):
            await self._tokens.answer(self._challenge, scope, base)

    async def _once(
        self,
        method: str,
        target: str,
        scope: str | None,
        headers: Headers | None,
        data: Callable[[], object] | None,
    ) -> aiohttp.ClientResponse:
        asked = dict(headers or {})
        if scope is not None:
            asked.update(self._tokens.header(scope))
        for attempt in range(TRIES):
            body: Any = data() if data is not None else None
            try:
                answer = await self._session.request(method, target, headers=asked, data=body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt == TRIES - 1 or data is not None or lasting(error):
                    raise broken(self.host, error, self.host) from error
            else:
                if answer.status not in _PASSING or data is not None or attempt == TRIES - 1:
                    return answer
                answer.close()
            await asyncio.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")

    async def _find_base(self) -> str:
        """https, or http where that is allowed and nothing else is spoken."""
        secure, plain = f"https://{self._api}", f"http://{self._api}"
        if not (self._trust.insecure or is_loopback(self.host)):
            self._base = secure
            return secure
        try:
            async with self._session.get(secure + "/v2/"):
                self._base = secure
        except aiohttp.ClientConnectorCertificateError as error:
            raise broken(self.host, error, self.host) from error
        except (
            aiohttp.ClientConnectorSSLError,
            aiohttp.ServerDisconnectedError,
            aiohttp.ClientOSError,
        ) as error:
            if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(
                error, aiohttp.ClientConnectorSSLError
            ):
                raise broken(self.host, error, self.host) from error
            self._base = plain
        except (aiohttp.ClientError, TimeoutError) as error:
            raise broken(self.host, error, self.host) from error
        return self._base

    # ------------------------------------------------------------------ refusals

    def _no_image(self, reference: Reference) -> NotFound:
        return NotFound(
            f"there is no image {reference}",
            hint=f"boxy registry tags {reference.repository} lists what there is",
        )

    async def _refused(self, answer: aiohttp.ClientResponse, what: str) -> BoxyError:
        """What the registry's no means, in its own words."""
        words = said(await at_most(answer, _ERRORS))
        tail = f": {words}" if words else ""
        if answer.status in (401, 403):
            who = f"as {self._login.name}" if self._login else "without a login"
            return Denied(
                f"{self.host} does not allow this {who} ({what}){tail}",
                hint=f"log in as somebody who may: boxy login {self.host}",
            )
        if answer.status == 404:
            return NotFound(
                f"{self.host} does not have {what}{tail}",
                hint="is the name right? boxy registry tags REPOSITORY lists tags",
            )
        if answer.status in (405, 415):
            return ImageError(
                f"{self.host} does not offer this ({answer.status}, {what}){tail}",
                hint="the registry may be older than OCI Distribution 1.1, or forbid it",
            )
        return ImageError(
            f"{self.host} refused {what} with {answer.status}{tail}", hint="its log may say more"
        )


_ACCEPT = {"Accept": ", ".join(ACCEPT)}


def _pull(path: str) -> str:
    return f"repository:{path}:pull"


def _push(path: str) -> str:
    return f"repository:{path}:pull,push"


def _below(link: str, base: str) -> str:
    """The next page, which must be the same registry's."""
    url = urljoin(base + "/", link)
    if urlsplit(url).netloc != urlsplit(base).netloc:
        raise ImageError(
            f"the registry's list goes on at a stranger's: {quote(url)[:200]}",
            hint="the registry is broken, or somebody stands between it and us",
        )
    return url
