"""The users: an htpasswd file with bcrypt, as `htpasswd -B` and `boxy-registry user` write it.

Constraint: a check by bcrypt costs tens of milliseconds of CPU, and comes with every request
that carries a password.  So a password that was found right is remembered by an HMAC, under a
key that no other process has, for a few minutes, and together with the hash that it matched: a
changed password is out of force at once.  Unknown names cost as much as known ones.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections import OrderedDict

import bcrypt

from boxy_core.errors import Conflict, InvalidRequest, NotFound
from boxy_core.image.layers import write_whole
from boxy_core.image.locks import Lock

ROUNDS = 10
REMEMBERED = 300.0  # seconds
_MOST = 10_000
_LONGEST = 72
"""bytes of a password that bcrypt looks at"""
_LOOK_EVERY = 0.5  # seconds between looks at the file
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")

log = logging.getLogger("boxy_registry.access")


class Users:
    """The users of one file, as it is now."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._hashes: dict[str, bytes] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked = 0.0
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    def reload(self) -> None:
        """Read the file again, whatever its time says."""
        self._stamp = None
        self._looked = 0.0

    def __contains__(self, name: str) -> bool:
        self._look()
        return name in self._hashes

    def remembered(self, name: str, password: str) -> bool:
        """Whether this very password was found right a moment ago; costs microseconds."""
        self._look()
        stored = self._hashes.get(name)
        if stored is None:
            return False
        until = self._right.get(self._mark(name, password, stored), 0.0)
        return time.monotonic() < until

    def check(self, name: str, password: str) -> bool:
        """Whether the password is right; slow, for a thread."""
        self._look()
        stored = self._hashes.get(name)
        data = password.encode()
        fits = len(data) <= _LONGEST and b"\0" not in data
        right = bcrypt.checkpw(data if fits else b"", stored or _nobodys())
        if not (right and fits and stored is not None):
            return False
        self._right[self._mark(name, password, stored)] = time.monotonic() + REMEMBERED
        while len(self._right) > _MOST:
            self._right.popitem(last=False)
        return True

    def _mark(self, name: str, password: str, stored: bytes) -> bytes:
        text = f"{name}\0{password}\0".encode("utf-8", "surrogatepass") + stored
        return hmac.digest(self._key, text, hashlib.sha256)

    def _look(self) -> None:
        """Read the file if it has changed."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        try:
            found = os.stat(self._path)
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                self._hashes = read(self._path)
                self._stamp = stamp
        except FileNotFoundError:
            self._hashes, self._stamp = {}, None
        except OSError as error:
            log.error("%s cannot be read: %s", self._path, error.strerror)


@functools.cache
def _nobodys() -> bytes:
    """A hash to compare with where there is no user of that name."""
    return bcrypt.hashpw(b"nobody", bcrypt.gensalt(ROUNDS))


def read(path: str) -> dict[str, bytes]:
    """Names and hashes; lines of another kind are told in the log and left out."""
    hashes = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            name, _, stored = text.partition(":")
            if _NAME.fullmatch(name) and _HASH.fullmatch(stored):
                hashes[name] = stored.encode()
            else:
                log.warning("%s, line %d: only NAME:bcrypt is understood", path, number)
    return hashes


# ---------------------------------------------------------------------- changing the file


def add(path: str, name: str, password: str) -> None:
    """A new user.  Raises Conflict, InvalidRequest."""
    _change(path, name, password, new=True)


def set_password(path: str, name: str, password: str) -> None:
    """Another password.  Raises NotFound, InvalidRequest."""
    _change(path, name, password, new=False)


def remove(path: str, name: str) -> None:
    """Take a user away.  Raises NotFound."""
    with Lock(path + ".lock", "users") as lock:
        lock.wait_and_take(lambda: None)
        lines = _lines(path)
        kept = [line for line in lines if line.partition(":")[0] != name]
        if len(kept) == len(lines):
            raise NotFound(
                f"there is no user {name!r} in {path}", hint="boxy-registry user ls lists them"
            )
        _write(path, kept)


def names(path: str) -> list[str]:
    """The users, in order."""
    try:
        return sorted(read(path))
    except FileNotFoundError:
        return []


def _change(path: str, name: str, password: str, *, new: bool) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} is no user name", hint="letters, digits, . _ @ -, at most 64"
        )
    data = password.encode()
    if not data or len(data) > _LONGEST or b"\0" in data:
        raise InvalidRequest(f"a password has 1 to {_LONGEST} bytes", hint="choose another one")
    stored = bcrypt.hashpw(data, bcrypt.gensalt(ROUNDS)).decode()
    with Lock(path + ".lock", "users") as lock:
        lock.wait_and_take(lambda: None)
        lines = _lines(path)
        known = any(line.partition(":")[0] == name for line in lines)
        if known and new:
            raise Conflict(f"there is a user {name!r} already", hint="boxy-registry user passwd")
        if not known and not new:
            raise NotFound(f"there is no user {name!r} in {path}", hint="boxy-registry user add")
        kept = [line for line in lines if line.partition(":")[0] != name]
        _write(path, [*kept, f"{name}:{stored}"])


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return [line.rstrip("\n") for line in file if line.strip()]
    except FileNotFoundError:
        return []


def _write(path: str, lines: list[str]) -> None:
    """The file whole, with the owner and mode it had."""
    text = "".join(f"{line}\n" for line in lines)
    owner = None
    try:
        found = os.stat(path)
        owner = (found.st_uid, found.st_gid)
    except FileNotFoundError:
        found = os.stat(os.path.dirname(path) or ".")
        owner = (found.st_uid, found.st_gid)
    write_whole(path, text.encode("utf-8", "surrogateescape"), mode=0o600)
    for made in (path, path + ".lock"):
        try:
            os.chown(made, *owner)
        except PermissionError:
            return
