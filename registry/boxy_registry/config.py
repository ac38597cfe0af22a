"""`Settings`: what a registry is told, from flags over a TOML file over defaults.

Constraint: strictly decoded.  An unknown name or a wrong type is refused with its place, so
that a misspelt limit cannot be silently none.  A part of the registry with settings of its own
brings a Struct in its module and one field here.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from boxy_core.errors import InvalidRequest
from boxy_core.units import parse_duration, parse_size
from boxy_registry.sections import Auth, Hook, Mirror, Retention, Tls

DEFAULT_ROOT = "/var/lib/boxy-registry"
DEFAULT_LISTEN = "127.0.0.1:5000"
ENVIRONMENT = "BOXY_REGISTRY_CONFIG"

T = TypeVar("T")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all groups of settings."""


class Limits(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one client or one thing may take. 0: without bound."""

    manifest: str = "8m"
    """bytes of a manifest; the specification asks for at least 4 MiB"""
    blob: str = "0"
    """bytes of a blob"""
    quota: str = "0"
    """bytes of a repository that has no quota of its own"""
    requests: float = 0
    """requests a second of one client's address, in all processes together"""
    burst: int = 100
    """requests that a client may have saved up"""
    connections: int = 0
    """connections at a time in each process"""
    idle: str = "75s"
    """how long a connection may say nothing"""
    shutdown: str = "30s"
    """how long requests under way get when the server ends"""


class Collection(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Garbage collection while the registry serves."""

    every: str = "1h"
    """0: only by `boxy-registry gc`"""
    grace: str = "1h"
    """how long content that nothing refers to is kept since a client last asked for it"""
    uploads: str = "24h"
    """how long an upload may rest before it is thrown away"""
    untagged: bool = False
    """whether manifests that no tag leads to go as well"""


class Settings(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    root: str = DEFAULT_ROOT
    """the folder of the store"""
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    """addresses; ":5000" is every one of the machine"""
    workers: int = 1
    """processes that serve"""
    read_only: bool = False
    """take no changes"""
    sparse: Literal["indexes", "all", "none"] = "indexes"
    """what a manifest may name without it being here: an index's manifests, everything, nothing"""
    delete: bool = True
    """whether clients may delete"""
    warning: str = ""
    """sentence that every answer carries as a Warning header; clients print it"""
    proxies: tuple[str, ...] = ()
    """addresses of reverse proxies, whose X-Forwarded-For tells the client"""
    access_log: Literal["text", "json", "off"] = "text"
    """a line for each request, on stderr"""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """how much is told on stderr"""
    limits: Limits = msgspec.field(default_factory=Limits)
    collection: Collection = msgspec.field(default_factory=Collection)
    tls: Tls = msgspec.field(default_factory=Tls)
    auth: Auth = msgspec.field(default_factory=Auth)
    folders: tuple[str, ...] = ()
    """registry folders: each NAME/image.json in them can be pulled"""
    mirror: tuple[Mirror, ...] = ()
    retention: tuple[Retention, ...] = ()
    retention_every: str = "0"
    """how often the rules of retention are carried out; 0: only by `boxy-registry retention`"""
    hook: tuple[Hook, ...] = ()
    pages: bool = True
    """web pages at /"""
    metrics: bool = True
    """Prometheus metrics at /metrics"""


def load(path: str, flags: Mapping[str, Any]) -> Settings:
    """The settings of a TOML file ("" for none) with those flags that were given (not None).

    Raises InvalidRequest naming the file and the setting.
    """
    data = _read(path) if path else {}
    for name, value in flags.items():
        if isinstance(value, dict):
            data[name] = {**data.get(name, {}), **value}
        elif value is not None:
            data[name] = value
    try:
        settings = msgspec.convert(data, Settings)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"{path or 'the options'}: {error}",
            hint="docs/reference/registry.md lists the settings",
        ) from None
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raises InvalidRequest for values that the types alone do not exclude."""
    limits, collection = settings.limits, settings.collection
    for name, text in (
        ("manifest", limits.manifest),
        ("blob", limits.blob),
        ("quota", limits.quota),
    ):
        size(text, f"limits.{name}")
    span(limits.idle, "limits.idle")
    span(limits.shutdown, "limits.shutdown")
    if limits.requests < 0 or limits.burst < 1 or limits.connections < 0:
        raise InvalidRequest(
            "limits: requests and connections are not negative, burst is at least 1",
            hint="mend the [limits] of the settings file",
        )
    for name, text in (
        ("every", collection.every), ("grace", collection.grace), ("uploads", collection.uploads)
    ):  # fmt: skip
        span(text, f"collection.{name}")
    if not 1 <= settings.workers <= 64:
        raise InvalidRequest(
            "workers is a number from 1 to 64",
            hint="mend it in the settings file, or give --workers",
        )
    if not settings.listen:
        raise InvalidRequest("listen names no address", hint=f'say: listen = ["{DEFAULT_LISTEN}"]')
    for address in settings.listen:
        endpoint(address)
    if any(ord(c) < 32 or ord(c) > 126 or c in '"\\' for c in settings.warning):
        raise InvalidRequest(
            "warning is one line of plain ASCII without quotes", hint="mend it in the settings file"
        )


def size(text: str, name: str) -> int:
    """Bytes of `512m`, `10g`; 0 for "0".  Raises InvalidRequest naming the setting."""
    return _named(parse_size, text, name)


def span(text: str, name: str) -> float:
    """Seconds of `30s`, `5m`, `1h`, `7d`; 0 for "0".  Raises InvalidRequest naming the setting."""
    return 0 if text == "0" else _named(parse_duration, text, name)


def _named(parse: Callable[[str], T], text: str, name: str) -> T:
    try:
        return parse(text)
    except InvalidRequest as error:
        raise InvalidRequest(f"{name}: {error}", hint=error.hint) from None


def endpoint(address: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:5000`, `:5000` (all), `[::1]:5000`.  Raises InvalidRequest."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InvalidRequest(
            f"{address!r} is no address to listen on", hint="write it as 127.0.0.1:5000"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidRequest(
            f"{address!r}: put an IPv6 address in brackets, as in [::1]:5000",
            hint="then the port is told from the address",
        )
    return host, int(port)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise InvalidRequest(
            f"the settings file {path} cannot be read: {error.strerror}",
            hint="does it exist, and may the registry's user read it?",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"{path} is no TOML: {error}", hint="mend the line that is named"
        ) from None


def path_of(option: str | None) -> str:
    """The settings file by option, else by BOXY_REGISTRY_CONFIG, else none."""
    return option if option is not None else os.environ.get(ENVIRONMENT, "")
