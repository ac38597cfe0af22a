"""JSON for the wire, by the interpreter's own accelerator and without the package `json`.

Constraint: importing `json` loads `re`, `enum` and `functools`, which is 7 of the 20 ms that a
short `boxy` command takes.  Its C half, `_json`, needs none of them, so it is used directly;
where an interpreter lacks it or has changed it, `json` itself takes over.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANK = " \t\n\r"


class _Context:
    """What `_json.make_scanner` reads from a json.JSONDecoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _accelerated() -> tuple[Callable[[object], str], Callable[[str], Any]]:
    """Encode and decode by `_json`. Raises when this interpreter's differs from what we know."""
    context: Any = _Context
    scan = _json.make_scanner(context)
    encoder = _json.make_encoder(
        None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, False
    )

    def encode(value: object) -> str:
        return "".join(encoder(value, 0))

    def decode(text: str) -> Any:
        text = text.strip(_BLANK)
        try:
            value, end = scan(text, 0)
        except (StopIteration, SystemError, ValueError):
            # Without `json.decoder` loaded the scanner cannot even say what is wrong.
            raise ValueError("it is not JSON") from None
        if end != len(text):
            raise ValueError("something follows the JSON value")
        return value

    sample = {"a": [1, 2.5, None, True, "\n\u20ac"], "b": {}}
    if decode(encode(sample)) != sample:
        raise TypeError("the accelerator speaks another dialect")
    return encode, decode


def _plain() -> tuple[Callable[[object], str], Callable[[str], Any]]:
    """Encode and decode by the package `json`."""
    import json  # only where the accelerator is of no use

    def encode(value: object) -> str:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    def decode(text: str) -> Any:
        return json.loads(text, parse_constant=_Context.parse_constant)

    return encode, decode


try:
    _encode, _decode = _accelerated()
except (AttributeError, TypeError, ValueError):
    _encode, _decode = _plain()


def dumps(value: object) -> bytes:
    """The compact JSON of dicts, lists, strings, numbers, booleans and None, in ASCII.

    Raises ValueError for NaN and infinities, TypeError for anything else.
    """
    return _encode(value).encode("ascii")


def loads(data: bytes | bytearray | str) -> Any:
    """The value of a JSON document.  Raises ValueError for anything that is not one."""
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        return _decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
