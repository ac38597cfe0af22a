"""Images that come and go: pulled, pushed, named, removed; registries and who we are there.

Constraint: nothing here blocks the loop. A pull is shared by all who want it, and ends with the
last of them. What is taken away is worked out against the boxes in one step of the loop, so that
no box can be made in between from what is about to go. Credentials are the asking user's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import IO, Any, NamedTuple

from boxy_core.errors import BoxyError, Conflict, InvalidRequest, NotFound
from boxy_core.image import archive
from boxy_core.image import manifest as oci
from boxy_core.image.blobs import ALL
from boxy_core.image.credentials import Credentials, Login
from boxy_core.image.pull import Puller, Tell
from boxy_core.image.push import Pusher
from boxy_core.image.reference import Reference, is_host, parse
from boxy_core.image.remote import Remote
from boxy_core.image.store import ImageStore
from boxy_core.image.trust import Trust
from boxy_core.models import Box, Image
from boxyd.events import Events
from boxyd.images import Progress

CERTS = ("/etc/boxy/certs.d", "/etc/docker/certs.d")
_DETAILED = 200
_AT_ONCE = 8

ASKER: ContextVar[int] = ContextVar("asker", default=0)
"""uid of whoever sent the request under way"""

log = logging.getLogger("boxyd.traffic")

Boxes = Callable[[], Iterable[Box]]


class Settings(NamedTuple):
    """How registries are spoken to."""

    default: str = ""
    """the registry that short names are looked for at; "": nowhere"""
    insecure: frozenset[str] = frozenset()
    """hosts with plain http or an unknown certificate"""
    certs: tuple[str, ...] = CERTS

    @classmethod
    def of(cls, default: str, insecure: str, env: Mapping[str, str]) -> Settings:
        """From what was given on the command line and in the environment (BOXY_CERTS)."""
        hosts = frozenset(host for host in insecure.split(",") if host)
        for host in (*hosts, *([default] if default else [])):
            if not is_host(host):
                raise InvalidRequest(f"{host!r} is no registry's host", hint="HOST or HOST:PORT")
        certs = tuple(folder for folder in env.get("BOXY_CERTS", "").split(":") if folder)
        return cls(default, hosts, certs or CERTS)


class Traffic:
    """What comes from registries and goes to them."""

    def __init__(
        self, store: ImageStore, credentials: Credentials, settings: Settings,
        events: Events, boxes: Boxes,
    ) -> None:  # fmt: skip
        self._store = store
        self._credentials = credentials
        self.settings = settings
        self._events = events
        self._boxes = boxes
        self._puller = Puller(store.named)
        self._pusher = Pusher(store.named)
        self._under_way: dict[tuple[str, str], _Pulling] = {}

    # ------------------------------------------------------------------ names

    def full_name(self, text: str) -> Reference:
        """The reference that a user means. Raises InvalidRequest, NotFound."""
        reference = parse(text)
        if reference.host:
            return reference
        if self.settings.default:
            return parse(f"{self.settings.default}/{text}")
        raise NotFound(
            f"no image {text!r} here, and its name does not say which registry has it",
            hint=f"name one, as in registry.example/{text}, or give boxyd a --default-registry",
        )

    # ------------------------------------------------------------------ pulling

    async def ready(self, name: str, progress: Progress | None) -> Image:
        """The image of a remote name, pulled if it is not here. Raises as `pull`."""
        try:
            reference = self.full_name(name)
        except InvalidRequest:
            raise NotFound(f"no image {name!r}", hint="boxy images lists what there is") from None
        if str(reference) != name:
            with contextlib.suppress(NotFound):
                return await asyncio.to_thread(self._store.prepare, str(reference))

        def tell(line: dict[str, Any]) -> None:
            if progress is not None:
                progress(line["step"], line["done"], line["total"])

        image = await self.pull(name, tell)
        return self._store.resolve(image.name)  # raises if it cannot run here

    async def pull(
        self, name: str, tell: Tell, *, platform: str = "", insecure: bool = False
    ) -> Image:
        """Fetch an image, or what has changed of it. Raises NotFound, Denied, ImageError."""
        reference = self.full_name(name)
        key = (str(reference), platform)
        pulling = self._under_way.get(key)
        if pulling is None:
            wanted = oci.parse_platform(platform) if platform else None
            pulling = _Pulling(lambda told: self._pull(reference, told, wanted, insecure=insecure))
            self._under_way[key] = pulling
            pulling.task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await pulling.wait(tell)

    async def _pull(
        self, reference: Reference, tell: Tell, platform: oci.Platform | None, *, insecure: bool
    ) -> Image:
        log.info("pulling %s", reference)
        async with self.remote(reference.host, insecure=insecure) as remote:
            image = await self._puller.pull(remote, reference, tell, platform)
        self._events.emit("image.pulled", name=image.name, image=image.id)
        return image

    async def push(
        self, name: str, to: str, tell: Tell, *, insecure: bool = False
    ) -> dict[str, Any]:
        """Send an image to a registry; `to` "" means its own name. Raises as `pull`."""
        target = self._target(name, to)
        if target.digest:
            raise InvalidRequest(
                f"{to or name!r} is a digest; give a tag to push to",
                hint="NAME:TAG, as in team/app:1.2",
            )
        with self._store.named.blobs.pinned([ALL]):
            manifest = await asyncio.to_thread(self._store.adopt, name)
            async with self.remote(target.host, insecure=insecure) as remote:
                digest = await self._pusher.push(remote, manifest, target, tell)
        self._events.emit("image.pushed", name=str(target), digest=digest)
        return {"reference": str(target), "digest": digest}

    def _target(self, name: str, to: str) -> Reference:
        """Where a push goes. Raises as `full_name`, InvalidRequest for a name without a host."""
        try:
            return self.full_name(to or name)
        except NotFound:
            self._store.known(name)  # raises if it is not here either
        text = to or name
        raise InvalidRequest(
            f"image {name!r} is here, but {text!r} does not say which registry it goes to",
            hint=f"boxy push {name} HOST/{text}, as in registry.example:5000/{text}",
        )

    # ------------------------------------------------------------------ names and room

    async def tag(self, name: str, new: str) -> Image:
        """Give an image a further name."""
        if "/" not in new and new.removesuffix(":latest") in self.folder_names():
            raise Conflict(f"{new!r} is the name of an image in a registry folder",
                           hint="give it another name, or a tag")  # fmt: skip
        with self._store.named.blobs.pinned([ALL]):
            image = await asyncio.to_thread(self._store.tag, name, new)
        self._events.emit("image.tagged", name=image.name, image=image.id)
        return image

    def folder_names(self) -> set[str]:
        """The images of registry folders."""
        return {image.name for image in self._store.list() if not image.digest}

    async def remove(self, name: str, *, force: bool = False) -> dict[str, Any]:
        """Forget an image, and what only it had. Raises NotFound, Conflict naming the boxes."""
        entry = self._store.named_entry(name)
        others = [] if entry is None else self._store.named.names_of(entry.manifest)
        image = self._store.known(name)
        if not force and len(others) <= 1:
            self._refuse_in_use(image)
        self._store.forget(image.name)
        freed = await self._sweep()
        self._events.emit("image.removed", name=image.name, image=image.id)
        return {"removed": [image.name], "freed": freed}

    def _refuse_in_use(self, image: Image) -> None:
        users = sorted(box.name for box in self._boxes() if _uses(box, image))
        if users:
            shown = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if users[5:] else "")
            raise Conflict(
                f"the image {image.name} is in use by {shown}",
                hint=f"remove them first (boxy rm {users[0]}), or -f takes only its name away",
                boxes=users,
            )

    async def prune(self, *, everything: bool = False) -> dict[str, Any]:
        """Remove what no image has; with `everything`, also images that no box uses."""
        removed = []
        if everything:
            boxes = list(self._boxes())
            for image in self._store.list():
                if image.ready and not any(_uses(box, image) for box in boxes):
                    with contextlib.suppress(NotFound):
                        self._store.forget(image.name)
                        removed.append(image.name)
                        self._events.emit("image.removed", name=image.name, image=image.id)
        return {"removed": removed, "freed": await self._sweep()}

    async def _sweep(self) -> int:
        """Free what nobody has. What goes loses its name here and now, before any await."""
        doomed = self._store.condemn({layer for box in self._boxes() for layer in _layers(box)})
        return await asyncio.to_thread(self._store.bury, doomed)

    # ------------------------------------------------------------------ archives

    async def load(self, path: str, name: str, progress: Progress) -> list[Image]:
        """The images of an archive."""
        images = await asyncio.to_thread(archive.load, self._store.named, path, progress, name)
        for image in images:
            self._events.emit("image.loaded", name=image.name, image=image.id)
        return images

    async def save(self, names: list[str], out: IO[bytes]) -> None:
        """Write images as one archive; `out` is written to in a thread."""
        named = self._store.named
        with named.blobs.pinned([ALL]):
            images = []
            for name in names:
                manifest = await asyncio.to_thread(self._store.adopt, name)
                entry = self._store.named_entry(name)
                images.append((entry.name if entry else str(parse(name)), manifest))
            await asyncio.to_thread(archive.save, named, images, out)

    def known(self, name: str) -> Image:
        """An image that is here, whatever its state. Raises NotFound, ImageError."""
        return self._store.known(name)

    def scratch(self) -> str:
        """A file name for what a client sends."""
        return self._store.named.blobs.scratch()

    # ------------------------------------------------------------------ registries

    @contextlib.asynccontextmanager
    async def remote(self, host: str, *, insecure: bool = False) -> AsyncIterator[Remote]:
        """A client for a registry, as the asking user."""
        login = self._credentials.get(ASKER.get(), host)
        trust = Trust(insecure or host in self.settings.insecure, self.settings.certs)
        async with Remote(host, login, trust) as remote:
            yield remote

    async def log_in(self, host: str, name: str, password: str, *, insecure: bool) -> None:
        """Try a name and a password, and keep them if the registry takes them."""
        self._check_host(host)
        login = Login(name, password)
        trust = Trust(insecure or host in self.settings.insecure, self.settings.certs)
        async with Remote(host, login, trust) as remote:
            await remote.check()
        await asyncio.to_thread(self._credentials.put, ASKER.get(), host, login)

    async def log_out(self, host: str) -> None:
        """Forget the asking user's password. Raises NotFound."""
        await asyncio.to_thread(self._credentials.drop, ASKER.get(), host)

    def logins(self) -> list[dict[str, str]]:
        """Where the asking user is logged in."""
        found = self._credentials.hosts(ASKER.get())
        return [{"host": host, "name": name} for host, name in found]

    async def repositories(self, host: str, *, insecure: bool = False) -> list[str]:
        """What a registry has."""
        self._check_host(host)
        async with self.remote(host, insecure=insecure) as remote:
            return sorted(await remote.repositories())

    async def tags(
        self, host: str, path: str, *, insecure: bool = False, details: bool = False
    ) -> list[dict[str, Any]]:
        """The tags of a repository; with `details` digest, size and platforms of each."""
        self._check_host(host)
        async with self.remote(host, insecure=insecure) as remote:
            names = sorted(await remote.tags(parse(f"{host}/{path}").path))
            if not details:
                return [{"tag": name} for name in names]
            room = asyncio.Semaphore(_AT_ONCE)

            async def one(name: str) -> dict[str, Any]:
                async with room:
                    return await _detailed(remote, parse(f"{host}/{path}:{name}"))

            shown = await asyncio.gather(*(one(name) for name in names[:_DETAILED]))
            return [*shown, *({"tag": name} for name in names[_DETAILED:])]

    async def delete(self, host: str, path: str, target: str, *, insecure: bool = False) -> None:
        """Remove a tag (or, by digest, a manifest) at a registry."""
        self._check_host(host)
        async with self.remote(host, insecure=insecure) as remote:
            await remote.delete(parse(f"{host}/{path}").path, target)

    @staticmethod
    def _check_host(host: str) -> None:
        if not is_host(host):
            raise InvalidRequest(f"{host[:80]!r} is no registry's host", hint="HOST or HOST:PORT")


async def _detailed(remote: Remote, reference: Reference) -> dict[str, Any]:
    """A tag with what it means; one that cannot be read carries its `problem`."""
    told: dict[str, Any] = {"tag": reference.tag}
    try:
        found = await remote.manifest(reference)
        told["digest"] = found.digest
        decoded = oci.decode(found.data, found.media_type, str(reference))
    except BoxyError as error:
        return {**told, "problem": error.message}
    if isinstance(decoded, oci.Index):
        platforms = [str(one.platform) for one in decoded.manifests if one.platform]
        return {**told, "platforms": sorted(one for one in platforms if "unknown" not in one)}
    told["size"] = sum(layer.size for layer in decoded.layers)
    with contextlib.suppress(BoxyError):  # an artifact's configuration may be anything
        platform = await _platform(remote, reference, decoded.config)
        told["platforms"] = [platform] if platform else []
    return told


async def _platform(remote: Remote, reference: Reference, config: oci.Descriptor) -> str:
    """What a single image runs on; only its configuration says so.  Raises BoxyError."""
    data = await remote.small_blob(reference.path, config, oci.MAX_CONFIG)
    found = oci.decode_config(data, str(reference))
    return str(oci.Platform(found.architecture, found.os, found.variant))


def _layers(box: Box) -> Iterable[str]:
    """The layers that a box stands on, and those of images that are mounted in it."""
    yield from box.layers
    for mount in box.spec.mounts:
        yield from mount.layers


def _uses(box: Box, image: Image) -> bool:
    if any(mount.type == "image" and mount.source == image.name for mount in box.spec.mounts):
        return True
    if image.id and box.image_id == image.id:
        return True
    return box.image == image.name and (not image.digest or not box.image_id)


class _Pulling:
    """One pull under way, and those who want to hear of it; it ends with the last of them."""

    def __init__(self, work: Callable[[Tell], Any]) -> None:
        self._listeners: list[Tell] = []
        self._last: dict[str, object] | None = None
        self.task: asyncio.Task[Image] = asyncio.create_task(work(self._tell))

    async def wait(self, tell: Tell) -> Image:
        """The pulled image."""
        self._listeners.append(tell)
        if self._last is not None:
            tell(self._last)
        try:
            return await asyncio.shield(self.task)
        finally:
            self._listeners.remove(tell)
            if not self._listeners and not self.task.done():
                self.task.cancel()

    def _tell(self, line: dict[str, object]) -> None:
        self._last = line
        for listener in list(self._listeners):
            listener(line)


def remove_file(path: str) -> None:
    """Remove a file that may be gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
