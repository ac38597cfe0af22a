"""From a path to what it names (pure).

A repository may be called like an end point (`x/manifests`, `blobs/uploads`), so a path is read
from its end: the last words tell the end point, everything before them is the repository.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from boxy_registry.errors import MethodNotAllowed, NotFound
from boxy_registry.names import check_repository, shown
from boxy_registry.parts import Need

_PATH = re.compile(
    r"/v2/(?P<repository>.+)/(?:"
    r"blobs/uploads/(?P<upload>[^/]*)"
    r"|blobs/(?P<blob>[^/]+)"
    r"|manifests/(?P<manifest>[^/]+)"
    r"|referrers/(?P<referrers>[^/]+)"
    r"|(?P<tags>tags/list)"
    r")\Z"
)
_READ = ("GET", "HEAD")
METHODS = {
    "base": _READ,
    "catalog": _READ,
    "uploads": ("POST",),
    "upload": (*_READ, "PATCH", "PUT", "DELETE"),
    "blob": (*_READ, "DELETE"),
    "manifest": (*_READ, "PUT", "DELETE"),
    "referrers": _READ,
    "tags": _READ,
}
"""the methods of each end point"""


class Target(NamedTuple):
    """An end point (a key of METHODS), the repository, and a digest, tag or upload's id."""

    endpoint: str
    repository: str = ""
    reference: str = ""

    def need(self, method: str) -> Need:
        """What the caller must be allowed."""
        if self.endpoint == "base":
            return Need()
        if self.endpoint == "catalog":
            return Need("catalog")
        if self.endpoint in ("upload", "uploads"):
            return Need("push", self.repository)
        action = "pull" if method in _READ else "delete" if method == "DELETE" else "push"
        return Need(action, self.repository)  # type: ignore[arg-type]


def find(method: str, path: str) -> Target:
    """What a request is for.  Raises NotFound, NameInvalid, MethodNotAllowed."""
    target = _find(path)
    allowed = METHODS[target.endpoint]
    if method not in allowed:
        raise MethodNotAllowed(
            f"{shown(path)} takes {', '.join(allowed)}, not {shown(method)}",
            headers={"Allow": ", ".join(allowed)},
        )
    return target


def _find(path: str) -> Target:
    if path in ("/v2/", "/v2"):
        return Target("base")
    if path == "/v2/_catalog":
        return Target("catalog")
    match = _PATH.match(path)
    if match is None:
        raise NotFound(f"there is no end point {shown(path)}")
    repository = check_repository(match["repository"])
    endpoint = match.lastgroup
    assert endpoint is not None
    reference = match[endpoint]
    if endpoint == "upload" and not reference:
        endpoint = "uploads"
    return Target(endpoint, repository, "" if endpoint == "tags" else reference)
