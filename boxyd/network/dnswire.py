"""DNS messages: the question of a box, and our answer to it.  Pure.

Constraint: every byte comes from a box.  What is no well-formed question of one name gets no
answer (to answer an answer would make a loop) or FORMERR; nothing raises.
Sources: RFC 1035 (section 4), RFC 2308 (NODATA), RFC 6891 (EDNS, which we leave to upstream).
"""

from __future__ import annotations

import ipaddress
import random
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from boxyd.network.addresses import AnyAddress

A, PTR, AAAA, ANY = 1, 12, 28, 255
_IN = 1
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION = 0x8000, 0x0400, 0x0200, 0x0180
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 1, 2, 3, 4, 5
TTL = 5
"""seconds; boxes come and go"""
UDP_LIMIT = 512
TCP_LIMIT = 65535
_POINTER = b"\xc0\x0c"  # to the name in the question


class Question(NamedTuple):
    """One question: the name in lower case without the last dot."""

    number: bytes
    name: str
    kind: int
    raw: bytes
    """the question section as it came"""
    recursion: bool


class Knows(NamedTuple):
    """What the names of one network are asked for."""

    addresses: Callable[[str], Sequence[AnyAddress] | None]
    """the addresses of a name; None: no such name here"""
    name: Callable[[AnyAddress], str | None]
    """the name of an address; None: none of ours"""
    ours: Callable[[AnyAddress], bool]
    """whether an address lies in the network, so that nobody else can know its name"""


def parse(data: bytes) -> Question | int | None:
    """The question; a response code for one that cannot be answered; None for silence."""
    if len(data) < 12:
        return None
    flags, questions, answers, authorities = struct.unpack_from("!HHHH", data, 2)
    if flags & _RESPONSE:
        return None
    if (flags >> 11) & 0xF:
        return NOTIMP
    if questions != 1 or answers or authorities:
        return FORMERR
    labels, at = [], 12
    while at < len(data) and (length := data[at]):
        if length > 63 or at + 1 + length > len(data) or at - 12 > 253:
            return FORMERR  # no compression in a question
        labels.append(data[at + 1 : at + 1 + length])
        at += length + 1
    if at + 5 > len(data):
        return FORMERR
    kind, family = struct.unpack_from("!HH", data, at + 1)
    if family not in (_IN, 255):
        return REFUSED
    name = b".".join(labels).decode("ascii", "replace").lower()
    return Question(data[:2], name, kind, data[12 : at + 5], bool(flags & 0x100))


def refusal(data: bytes, code: int) -> bytes:
    """An answer that says only what went wrong, to whatever bears a header."""
    asked = parse(data)
    number, question = (asked.number, asked.raw) if isinstance(asked, Question) else (data[:2], b"")
    flags = _RESPONSE | _RECURSION | code
    return number + struct.pack("!HHHHH", flags, 1 if question else 0, 0, 0, 0) + question


def answer(question: Question, knows: Knows, limit: int = UDP_LIMIT) -> bytes | None:
    """The answer of at most `limit` bytes; None where somebody else has to be asked."""
    if question.kind == PTR:
        return _reverse(question, knows, limit)
    known = knows.addresses(question.name)
    if known is None:
        if "." in question.name or not question.name:
            return None
        return _message(question, [], NXDOMAIN, limit)  # one word: of ours, or nobody's
    version = {A: 4, AAAA: 6}.get(question.kind)
    found = [a for a in known if version == a.version or question.kind == ANY]
    random.shuffle(found)  # so that boxes behind one alias share the work
    records = [_record(AAAA if a.version == 6 else A, a.packed) for a in found]
    return _message(question, records, 0, limit)  # no record: NODATA, never NXDOMAIN


def _reverse(question: Question, knows: Knows, limit: int) -> bytes | None:
    address = _pointed(question.name)
    if address is None or not knows.ours(address):
        return None
    name = knows.name(address)
    if name is None:
        return _message(question, [], NXDOMAIN, limit)
    words = b"".join(bytes([len(word)]) + word for word in name.encode().split(b".") if word)
    return _message(question, [_record(PTR, words + b"\0")], 0, limit)


def _pointed(name: str) -> AnyAddress | None:
    """The address of "5.0.77.10.in-addr.arpa" or its like of IPv6."""
    try:
        if name.endswith(".in-addr.arpa"):
            parts = name.removesuffix(".in-addr.arpa").split(".")
            return ipaddress.IPv4Address(".".join(reversed(parts)))
        if name.endswith(".ip6.arpa"):
            digits = name.removesuffix(".ip6.arpa").split(".")
            if len(digits) != 32:
                return None
            return ipaddress.IPv6Address(int("".join(reversed(digits)), 16))
    except ValueError:
        return None
    return None


def _record(kind: int, data: bytes) -> bytes:
    return _POINTER + struct.pack("!HHIH", kind, _IN, TTL, len(data)) + data


def _message(question: Question, records: list[bytes], code: int, limit: int) -> bytes:
    flags = _RESPONSE | _AUTHORITATIVE | _RECURSION | code
    room = limit - 12 - len(question.raw)
    kept: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            flags |= _TRUNCATED
            break
        kept.append(record)
    head = question.number + struct.pack("!HHHHH", flags, 1, len(kept), 0, 0)
    return head + question.raw + b"".join(kept)
