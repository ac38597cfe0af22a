"""What the scripted daemon says of files and volumes: one small tree, the same in every box."""

from __future__ import annotations

import base64
from typing import Any

from boxy_core.errors import NotFound

NOW = 1_790_000_000.0
HOSTILE = "evil\x1b]0;x\x07"
FILES: dict[str, bytes | None] = {
    "/etc": None, "/etc/motd": b"welcome\nto the box\n", "/bin": None,
    f"/{HOSTILE}": b"\x00\x01binary",
}  # fmt: skip
VOLUMES = [
    {"name": "data", "created": NOW - 60, "labels": {}, "anonymous": False, "size": 1 << 20,
     "boxes": ["web", "db"]},
    {"name": "f" * 64, "created": NOW - 90, "labels": {}, "anonymous": True, "size": 0,
     "boxes": []},
]  # fmt: skip


def about(path: str) -> bool:
    """Whether a request is one of these."""
    return path.startswith("/volumes") or path.endswith(("/files", "/file", "/stat", "/changes"))


def told(method: str, path: str, query: dict[str, str]) -> Any:
    """The answer."""
    if path == "/volumes":
        return VOLUMES
    if path.startswith("/volumes/"):
        return {} if method == "DELETE" else VOLUMES[0]
    if path.endswith("/changes"):
        kinds = {"A": "/new", "C": "/etc", "D": "/etc/gone"}
        return {"changes": [{"kind": k, "path": p} for k, p in kinds.items()], "cut": False}
    where = query["path"]
    if where != "/" and where not in FILES:
        raise NotFound(f"there is no {where} in the box")
    if path.endswith("/files"):
        inside = [p for p in FILES if p.rpartition("/")[0] == where.rstrip("/")]
        return {"path": where, "entries": [_entry(p) for p in inside], "left_out": 0}
    if path.endswith("/stat"):
        return _entry(where)
    data = FILES[where] or b""
    return {"size": len(data), "offset": 0, "data": base64.b64encode(data).decode()}


def _entry(path: str) -> dict[str, Any]:
    data = FILES[path]
    return {
        "name": path.rpartition("/")[2], "kind": "folder" if data is None else "file",
        "mode": 0o755, "size": len(data or b""), "mtime": NOW, "uid": 0, "gid": 0, "target": "",
    }  # fmt: skip
