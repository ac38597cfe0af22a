"""Questions of boxes, and the answers they get."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyd.network import dnswire
from boxyd.network.dnswire import AAAA, ANY, PTR, A, Knows, Question

WEB = [ipaddress.ip_address("10.64.0.2")]
BOTH = [ipaddress.ip_address("10.64.0.3"), ipaddress.ip_address("fd00::3")]
MANY = [ipaddress.ip_address((10 << 24) + i) for i in range(60)]
KNOWS = Knows(
    {"web": WEB, "both": BOTH, "many": MANY}.get,
    lambda address: "web.app" if address in WEB else None,
    lambda address: address in ipaddress.ip_network("10.64.0.0/24"),
)  # fmt: skip


def query(name: str, kind: int = A, number: int = 7) -> bytes:
    words = b"".join(bytes([len(w)]) + w.encode() for w in name.split(".") if w)
    return (
        struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + words + struct.pack("!BHH", 0, kind, 1)
    )


def ask(name: str, kind: int = A, limit: int = 512) -> tuple[int, bool, list[bytes]] | None:
    """(response code, truncated, the data of each record); None: somebody else is asked."""
    question = dnswire.parse(query(name, kind))
    assert isinstance(question, Question)
    answer = dnswire.answer(question, KNOWS, limit)
    if answer is None:
        return None
    number, flags, _, count, _, _ = struct.unpack_from("!HHHHHH", answer)
    assert number == 7
    assert flags & 0x8000
    assert len(answer) <= limit
    at, found = 12 + len(question.raw), []
    for _ in range(count):
        length = struct.unpack_from("!H", answer, at + 10)[0]
        found.append(answer[at + 12 : at + 12 + length])
        at += 12 + length
    assert at == len(answer)
    return flags & 0xF, bool(flags & 0x200), found


def test_a_known_name_has_its_addresses_of_the_family_asked_for() -> None:
    assert ask("web") == (0, False, [WEB[0].packed])
    assert ask("BOTH", AAAA) == (0, False, [BOTH[1].packed])
    found = ask("both", ANY)
    assert found is not None
    assert sorted(found[2]) == sorted(a.packed for a in BOTH)


def test_no_address_of_that_family_is_no_data_and_not_no_such_name() -> None:
    assert ask("web", AAAA) == (0, False, [])
    assert ask("web", 16) == (0, False, [])


def test_an_unknown_word_is_nobodys_and_a_name_with_a_dot_is_somebody_elses() -> None:
    assert ask("nosuch") == (dnswire.NXDOMAIN, False, [])
    assert ask("example.org") is None
    assert ask("") is None


def test_an_address_leads_back_to_its_name_and_only_ours_are_answered_for() -> None:
    assert ask("2.0.64.10.in-addr.arpa", PTR) == (0, False, [b"\3web\3app\0"])
    assert ask("9.0.64.10.in-addr.arpa", PTR) == (dnswire.NXDOMAIN, False, [])
    assert ask("1.1.1.1.in-addr.arpa", PTR) is None
    assert ask("x.ip6.arpa", PTR) is None


def test_what_does_not_fit_is_cut_and_says_so() -> None:
    found = ask("many")
    assert found is not None
    assert found[1]
    assert 0 < len(found[2]) < 60
    whole = ask("many", limit=dnswire.TCP_LIMIT)
    assert whole is not None
    assert (whole[1], len(whole[2])) == (False, 60)


def test_an_answer_is_never_answered_and_nonsense_is_refused() -> None:
    data = query("web")
    assert dnswire.parse(data[:2] + b"\x81" + data[3:]) is None  # a response
    assert dnswire.parse(data[:11]) is None
    assert dnswire.parse(data[:-1]) == dnswire.FORMERR
    assert dnswire.parse(data[:2] + b"\x28" + data[3:]) == dnswire.NOTIMP
    assert dnswire.parse(data[:4] + b"\0\2" + data[6:]) == dnswire.FORMERR
    assert dnswire.parse(data[:12] + b"\xc0\x0c" + data[12:]) == dnswire.FORMERR
    assert dnswire.refusal(data, dnswire.SERVFAIL)[3] & 0xF == dnswire.SERVFAIL


@given(st.binary(max_size=600))
def test_no_bytes_do_harm(data: bytes) -> None:
    asked = dnswire.parse(data)
    if isinstance(asked, Question):
        answer = dnswire.answer(asked, KNOWS)
        assert answer is None or answer[:2] == data[:2]
    elif asked is not None:
        assert dnswire.refusal(data, asked)[:2] == data[:2]


@pytest.mark.parametrize("cut", range(12, 20))
def test_a_question_cut_anywhere_does_no_harm(cut: int) -> None:
    assert dnswire.parse(query("web")[:cut]) in (dnswire.FORMERR, dnswire.REFUSED)
