"""Image references: `HOST[:PORT]/PATH[:TAG][@DIGEST]`, and local names, which lack the host. Pure.

The grammar is that of the OCI distribution specification ("Pulling manifests") and of the
clients before us: the first part is a host if, and only if, it holds a dot or a colon or is
`localhost`. A name without a host is never guessed to be somewhere on the internet. The registry
checks what clients name by the same grammar, and counts on it: a name is safe in a path.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from boxy_core.errors import InvalidRequest

MAX_PATH = 255
"""characters of a repository's name: what clients and file systems agree on"""
HUB = "docker.io"
"""a host whose API is elsewhere, and whose short paths mean `library/...`"""
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
    r"(?::[0-9]{1,5})?"
)  # fmt: skip
_FORM = (
    "it is written HOST[:PORT]/PATH[:TAG][@sha256:...], as in registry.example:5000/team/app:1.2"
)


class Reference(NamedTuple):
    """A parsed reference; `host` is "" for a local name, `tag` "" if only a digest was given."""

    host: str
    path: str
    tag: str = "latest"
    digest: str = ""

    @property
    def repository(self) -> str:
        """Host and path, without tag or digest."""
        return f"{self.host}/{self.path}" if self.host else self.path

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}{'@' + self.digest if self.digest else ''}"


def parse(text: str) -> Reference:
    """The reference that `text` is; a missing tag is `latest` unless there is a digest.

    Raises:
        InvalidRequest: naming the part that is wrong.
    """
    if "://" in text:
        raise _wrong(text, "it is an address", f"leave out {text.partition('://')[0][:20]}://")
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _wrong(text, f"{digest[:80]!r} is no digest", "a digest is sha256: and 64 digits")
    host, rest = split_host(rest)
    path, _, tag = rest.partition(":")
    if ":" in rest and not is_tag(tag):
        raise _wrong(text, f"{tag[:80]!r} is no tag", "a tag is letters, digits, `.`, `_`, `-`")
    if host and not _HOST.fullmatch(host):
        raise _wrong(text, f"{host[:80]!r} is no host", _FORM)
    if not is_path(path):
        lower = path.lower()
        hint = f"in small letters it could be {lower}" if _PATH.fullmatch(lower) else _FORM
        raise _wrong(text, f"{path[:80]!r} is no repository name", hint)
    if host == HUB and "/" not in path:
        path = f"library/{path}"
    return Reference(host, path, tag or ("" if digest else "latest"), digest)


def split_host(text: str) -> tuple[str, str]:
    """Host and rest of a reference; the host is "" for a local name."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", text


def is_path(text: str) -> bool:
    """Whether `text` can be a repository's name (without its host)."""
    return len(text) <= MAX_PATH and _PATH.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` has the form of a tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of an algorithm that we know."""
    return _DIGEST.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether `text` can be the host (and port) of a registry."""
    return _HOST.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Whether a registry's host is this machine, so that plain http leaves no wire."""
    name = host[: host.rindex("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return name in ("localhost", "[::1]") or re.fullmatch(r"127\.\d+\.\d+\.\d+", name) is not None


def _wrong(text: str, fault: str, hint: str) -> InvalidRequest:
    return InvalidRequest(f"{text[:200]!r} is no image reference: {fault}", hint=hint)
