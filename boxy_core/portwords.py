"""Ports as people write them: `8080:80`, `0.0.0.0:53:53/udp`, `8000-8010:8000-8010`.  Pure.

Constraint: on the start-up path of `boxy run`, and used by the console; imports the errors only.
"""

from __future__ import annotations

from boxy_core.errors import InvalidRequest

_PORT_HINT = "write it like 8080:80, 0.0.0.0:8080:80, 53:53/udp or 8000-8010:8000-8010"
MOST_PORTS = 1024
"""ports of one flag"""


def ports(text: str, flag: str = "--publish") -> list[dict[str, object]]:
    """The models Port of `[IP:][HOST:]BOX[/PROTOCOL]`, ranges as FIRST-LAST.

    Without HOST, or with 0 as Docker takes it, any free port of the host does.
    Raises InvalidRequest.
    """
    rest, _, protocol = text.partition("/")
    address, rest = _split_address(rest)
    host, colon, box = rest.rpartition(":")
    if protocol not in ("", "tcp", "udp") or (address and not colon and not box):
        raise _wrong(flag, text)
    inner = _range(flag, text, box)
    outer = _range(flag, text, host) if host.strip("0") else [0] * len(inner)
    if len(outer) != len(inner):
        if len(inner) > 1:
            raise InvalidRequest(
                f"{flag}: {text!r} has {len(outer)} ports of the host for {len(inner)} of the box",
                hint="give as many of each",
            )
        outer = outer[:1]
    common: dict[str, object] = {}
    if address:
        common["address"] = address
    if protocol:
        common["protocol"] = protocol
    return [
        {"box": inside, **({"host": outside} if outside else {}), **common}
        for outside, inside in zip(outer, inner, strict=True)
    ]


def closing(text: str) -> dict[str, object]:
    """The port that `--publish-rm` means: `[IP:]HOST[:BOX][/PROTOCOL]`."""
    rest, _, protocol = text.partition("/")
    address, rest = _split_address(rest)
    host, colon, box = rest.partition(":")
    if protocol not in ("", "tcp", "udp"):
        raise _wrong("--publish-rm", text)
    found: dict[str, object] = {
        "host": _number("--publish-rm", text, host),
        "box": _number("--publish-rm", text, box) if colon else 0,
    }
    if address:
        found["address"] = address
    if protocol:
        found["protocol"] = protocol
    return found


def _split_address(text: str) -> tuple[str, str]:
    """("127.0.0.1", "8080:80") of "127.0.0.1:8080:80"; an address of IPv6 stands in []."""
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]:")
        return (address, rest) if closed else ("", text)
    first, colon, rest = text.partition(":")
    if colon and ("." in first or first == "localhost"):
        return ("127.0.0.1" if first == "localhost" else first), rest
    if text.count(":") >= 2 and not first:  # "::80" of Docker's: any port, no address
        return "", rest
    return "", text


def _range(flag: str, text: str, part: str) -> list[int]:
    first, dash, last = part.partition("-")
    low = _number(flag, text, first)
    high = _number(flag, text, last) if dash else low
    if not low <= high < low + MOST_PORTS:
        raise InvalidRequest(
            f"{flag}: {part!r} is not a range of ports", hint=f"at most {MOST_PORTS}, upwards"
        )
    return list(range(low, high + 1))


def _number(flag: str, text: str, part: str) -> int:
    if not (part.isascii() and part.isdecimal() and 0 < int(part[:6]) < 65536):
        raise _wrong(flag, text)
    return int(part)


def _wrong(flag: str, text: str) -> InvalidRequest:
    return InvalidRequest(f"{flag}: {text!r} is not a port", hint=_PORT_HINT)
