"""Names and passwords for registries, as `boxy login` keeps them: a file for each user.

    ROOT/credentials/UID.json    {"auths": {"HOST": {"auth": base64 of NAME:PASSWORD}}}

Constraint: the daemon pulls, so it keeps them (0600, in a folder of 0700), and a user's are used
only for requests that come from that user. The form is Docker's, so that a file can be moved.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import NamedTuple

import msgspec

from boxy_core.errors import ImageError, InvalidRequest, NotFound
from boxy_core.image.layers import write_whole


class Login(NamedTuple):
    """A name and its password."""

    name: str
    password: str

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Login({self.name!r}, ...)"


class _Auth(msgspec.Struct, omit_defaults=True):
    auth: str = ""


class _File(msgspec.Struct):
    auths: dict[str, _Auth] = {}


class Credentials:
    """The credentials below one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def get(self, uid: int, host: str) -> Login | None:
        """What a user gave for a registry. Raises ImageError if the file is damaged."""
        entry = self._read(uid).auths.get(host)
        if entry is None:
            return None
        try:
            name, _, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ImageError(
                f"the credentials for {host} in {self._path(uid)} are damaged",
                hint=f"give them again: boxy login {host}",
            ) from None
        return Login(name, password)

    def hosts(self, uid: int) -> list[tuple[str, str]]:
        """(registry, name) of everything a user is logged in to."""
        found = [(host, self.get(uid, host)) for host in sorted(self._read(uid).auths)]
        return [(host, login.name) for host, login in found if login is not None]

    def put(self, uid: int, host: str, login: Login) -> None:
        """Keep what a user gave for a registry. Raises InvalidRequest, OSError."""
        if ":" in login.name or not login.name or any(ord(c) < 32 for c in login.name):
            raise InvalidRequest(
                f"{login.name!r} cannot be a user's name at a registry",
                hint="it has no colon and no control character",
            )
        file = self._read(uid)
        file.auths[host] = _Auth(login.basic.removeprefix("Basic "))
        self._write(uid, file)

    def drop(self, uid: int, host: str) -> None:
        """Forget them. Raises NotFound."""
        file = self._read(uid)
        if file.auths.pop(host, None) is None:
            raise NotFound(f"you are not logged in to {host}", hint="boxy login HOST logs you in")
        self._write(uid, file)

    def _path(self, uid: int) -> str:
        return f"{self._folder}/{uid}.json"

    def _read(self, uid: int) -> _File:
        try:
            with open(self._path(uid), "rb") as file:
                return msgspec.json.decode(file.read(), type=_File)
        except FileNotFoundError:
            return _File()
        except ValueError as error:
            raise ImageError(
                f"{self._path(uid)} is damaged: {error}",
                hint="correct or remove it, then say boxy login again",
            ) from None

    def _write(self, uid: int, file: _File) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        os.chmod(self._folder, 0o700)
        write_whole(self._path(uid), msgspec.json.encode(file), mode=0o600)
