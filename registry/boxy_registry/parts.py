"""`Parts`: what a server is put together from, and the places where it can be extended.

The package's docstring says how to write an extension.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from aiohttp import web
from multidict import MultiMapping

from boxy_registry.arriving import Reader
from boxy_registry.config import Settings
from boxy_registry.http.clients import RateLimit
from boxy_registry.store import Store

Action = Literal["pull", "push", "delete"]

EXTENSIONS: dict[str, Callable[[Settings], object]] = {
    "boxy_registry.upkeep": lambda settings: True,
    "boxy_registry.tls": lambda settings: settings.tls.cert or settings.tls.key,
    "boxy_registry.access": lambda settings: settings.auth.enabled,
    "boxy_registry.folders": lambda settings: settings.folders,
    "boxy_registry.mirror": lambda settings: settings.mirror,
    "boxy_registry.retention": lambda settings: settings.retention,
    "boxy_registry.hooks": lambda settings: settings.hook,
    "boxy_registry.metrics": lambda settings: settings.metrics,
    "boxy_registry.pages": lambda settings: settings.pages,
}
"""modules with `extend(parts)`, in this order, each with when it is loaded at all: what nobody
asked for costs no memory"""


class Need(NamedTuple):
    """What a request asks for. `action` "" and `repository` "": to talk with the registry at all
    (`GET /v2/`), which is where a client finds out how to sign in; `catalog`: the list of all.
    """

    action: Action | Literal["", "catalog"] = ""
    repository: str = ""


class Access(Protocol):
    """What the caller of one request may do; `user` is "" for an anonymous one."""

    @property
    def user(self) -> str:
        """The name for the access log and for events."""

    def allows(self, action: Action, repository: str) -> bool:
        """Whether the caller may do this, too (mounts, lists of repositories)."""


class Authorizer(Protocol):
    """Decides about requests.  It must answer quickly: it stands before every one."""

    def at_once(self, headers: MultiMapping[str], need: Need) -> Access | None:
        """What the caller may do, if `need` is in it and nothing has to be waited for."""

    async def authorize(self, request: web.BaseRequest, need: Need) -> Access:
        """What the caller may do.  Raises Unauthorized or Denied if `need` is not in it."""


class Upstream(Protocol):
    """Where content comes from that may not be in the store yet: a cache, registry folders."""

    async def prepare_manifest(self, repository: str, reference: str) -> None:
        """Put the manifest into the store, or bring it up to date, if it is this one's."""

    async def prepare_blob(self, repository: str, digest: str) -> Reader | None:
        """Put the blob into the store, if it is this one's and is not there; or begin to, and
        give what can be read of it while it comes (to be closed)."""


class Event(NamedTuple):
    """A change that is durable.  `kind` "manifest", "blob", "tag" or "repository"."""

    action: Literal["push", "delete", "mount"]
    kind: str
    repository: str
    digest: str
    tags: tuple[str, ...] = ()
    media_type: str = ""
    size: int = 0
    user: str = ""
    address: str = ""


class Served(NamedTuple):
    """A request that was answered, as access log and metrics see it.

    `endpoint` is the kind of end point (`blob`, `manifest`, `upload`, `tags` ...), `received`
    and `sent` are bytes of bodies, `at` seconds since the epoch.
    """

    method: str
    path: str
    endpoint: str
    repository: str
    status: int
    received: int
    sent: int
    seconds: float
    at: float
    address: str
    user: str
    agent: str
    error: str


class Everyone:
    """May do everything: a registry without accounts."""

    user = ""

    def allows(self, action: Action, repository: str) -> bool:
        """Yes."""
        return True


class Open:
    """Lets everyone in."""

    def at_once(self, headers: MultiMapping[str], need: Need) -> Access | None:
        """Yes."""
        return EVERYONE

    async def authorize(self, request: web.BaseRequest, need: Need) -> Access:
        """Yes."""
        return EVERYONE


EVERYONE = Everyone()
Listener = Callable[[Event], Awaitable[None]]
Observer = Callable[[Served], None]
Service = Callable[[], AbstractAsyncContextManager[None]]


@dataclass
class Parts:
    """One serving process's parts; extensions change it before it serves."""

    settings: Settings
    store: Store
    authorizer: Authorizer = field(default_factory=Open)
    upstreams: list[Upstream] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    routes: list[web.RouteDef] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    reloaders: list[Callable[[], None]] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    rate: RateLimit | None = None

    async def tell(self, event: Event) -> None:
        """Tell all listeners; the client's answer waits for that."""
        for listener in self.listeners:
            await listener(event)


def assemble(settings: Settings, store: Store) -> Parts:
    """The parts with what the settings ask for."""
    parts = Parts(settings, store)
    for name, asked_for in EXTENSIONS.items():
        if asked_for(settings):
            importlib.import_module(name).extend(parts)
    return parts
