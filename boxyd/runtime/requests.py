"""What the daemon asks of a shim, checked before anything is done with it.  Pure.

A malformed request is answered with an error; it must never end the shim, because the box
would end with it.
"""

from __future__ import annotations

from boxy_core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_SIDE = 65535


def _size(data: dict[str, Any], least: int) -> tuple[int, int]:
    rows, cols = data["rows"], data["cols"]
    if not (type(rows) is int and type(cols) is int):
        raise InvalidRequest("the size of a terminal is two whole numbers")
    if not (least <= rows <= MAX_SIDE and least <= cols <= MAX_SIDE):
        raise InvalidRequest(f"a terminal cannot have {rows} rows and {cols} columns")
    return rows, cols


def size(data: dict[str, Any]) -> tuple[int, int]:
    """(rows, cols) of a request.  Raises InvalidRequest, KeyError."""
    return _size(data, 1)


class Visit:
    """How a client wants to be attached; `size` (0, 0): it has none."""

    __slots__ = ("early", "owner", "preamble", "replay", "size", "stdin")

    def __init__(self, data: dict[str, Any]) -> None:
        self.preamble = str(data["preamble"])
        self.early = str(data["early"]).encode("latin-1")
        self.owner = bool(data["owner"])
        self.stdin = bool(data["stdin"])
        self.replay = bool(data["replay"])
        self.size = _size(data, 0)
        self.greeting("main")

    def greeting(self, session: str) -> bytes:
        """The bytes that come before the first frame; `{session}` is the session's name."""
        return self.preamble.replace("{session}", session).encode("latin-1")


def exec_spec(data: Any) -> dict[str, Any]:
    """A further command's description, every field of the right kind.

    Raises InvalidRequest, KeyError.
    """
    command, env = data["command"], data["env"]
    texts = isinstance(command, list) and all(type(word) is str for word in command)
    if not texts or not command or not command[0]:
        raise InvalidRequest("a command is a list of words, the first of them not empty")
    if not isinstance(env, dict) or not all(type(value) is str for value in env.values()):
        raise InvalidRequest("an environment maps names to texts")
    for name in ("workdir", "user"):
        if data[name] is not None and type(data[name]) is not str:
            raise InvalidRequest(f"{name} is a text")
    rows, cols = size(data)
    return {
        "command": command,
        "env": env,
        "workdir": data["workdir"],
        "user": data["user"],
        "tty": bool(data["tty"]),
        "stdin": bool(data["stdin"]),
        "rows": rows,
        "cols": cols,
    }
