"""Reading a request strictly: its query and its body.

Constraint: a parameter that is misspelt must not be taken for one that is missing, so unknown
ones are refused by name, with those that are known.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TypeVar

import msgspec
from aiohttp import web

from boxy_core.errors import InvalidRequest
from boxy_core.models import decode

T = TypeVar("T")
_TRUE, _FALSE = ("1", "true", "yes", ""), ("0", "false", "no")


class Query:
    """The parameters of a request; `known` are those that it may have.

    Raises InvalidRequest for an unknown one, and in each method for a value out of its range.
    """

    def __init__(self, request: web.Request, *known: str) -> None:
        self._query = request.query
        unknown = sorted(set(self._query) - set(known))
        if unknown:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InvalidRequest(f"{request.path} has no parameter {unknown[0]!r}", hint=takes)

    def text(self, name: str, default: str = "") -> str:
        """The value as it is; the last one, if it was given several times."""
        values = self._query.getall(name, [])
        return values[-1] if values else default

    def texts(self, name: str) -> list[str]:
        """Every value that was given."""
        return self._query.getall(name, [])

    def flag(self, name: str, *, default: bool = False) -> bool:
        """1 or 0; a bare name means 1."""
        if name not in self._query:
            return default
        value = self.text(name).lower()
        if value not in _TRUE + _FALSE:
            raise _wrong(name, value, "1 or 0")
        return value in _TRUE

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.text(name)
        if not value:
            return default
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
            raise _wrong(name, value, "a whole number")
        number = int(value)
        if not low <= number <= high:
            raise _wrong(name, value, f"{low} to {high}")
        return number

    def seconds(self, name: str) -> float | None:
        """A number of seconds, None if it was not given."""
        value = self.text(name)
        return None if not value else _number(name, value)

    def moment(self, name: str) -> float | None:
        """A point in time as seconds since the epoch or RFC 3339; None if it was not given."""
        value = self.text(name)
        if not value:
            return None
        try:
            return datetime.fromisoformat(value).astimezone().timestamp()
        except (ValueError, OverflowError, OSError):
            return _number(name, value)


async def body(request: web.Request, cls: type[T]) -> T:
    """The JSON body as `cls`.  Raises InvalidRequest naming the field that is wrong."""
    data = await request.read()
    if not data:
        raise InvalidRequest("the request has no body", hint="send a JSON object")
    try:
        return decode(cls, data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"the request body is not proper JSON: {error}", hint="send an object of JSON, in UTF-8"
        ) from None


async def empty_body(request: web.Request) -> None:
    """Check that nothing was sent but perhaps `{}`."""
    data = await request.read()
    if not data:
        return
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(
            f"the request body is not proper JSON: {error}", hint="send an object of JSON, in UTF-8"
        ) from None
    if content not in ({}, None):
        raise InvalidRequest(f"{request.path} takes no body", hint="send {} or nothing")


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(name, value, "a number")
    return number


def _wrong(name: str, value: str, right: str) -> InvalidRequest:
    return InvalidRequest(f"{name} cannot be {value[:40]!r}", hint=f"it is {right}", field=name)
