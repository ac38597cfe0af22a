"""Compressed archives: known by content, bounded, damage noticed."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxy_core.image.streams import BadArchive, Limits, Stream
from tests.support import archives as raw

LIMITS = Limits()
Pack = Callable[[bytes], bytes]

FORMS: dict[str, Pack] = {
    "tar": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
PACKED = [pytest.param(pack, id=name) for name, pack in FORMS.items() if name != "tar"]
DATA = raw.file(b"a", random.Random(1).randbytes(300_000)) + raw.END


def unpacked(data: bytes, limits: Limits = LIMITS) -> bytes:
    stream = Stream(io.BytesIO(data).read, limits)
    pieces = []
    while not stream.at_end():
        pieces.append(stream.take(1))
        pieces.append(stream.take(len(stream._left)))
    return b"".join(pieces)


@pytest.mark.parametrize("pack", [pytest.param(p, id=n) for n, p in FORMS.items()])
def test_each_form_is_known_by_its_content(pack: Pack) -> None:
    assert unpacked(pack(DATA)) == DATA


@pytest.mark.parametrize("pack", PACKED)
def test_a_file_of_several_streams_is_one_archive(pack: Pack) -> None:
    assert unpacked(pack(DATA[:70_000]) + pack(DATA[70_000:])) == DATA


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.99])
def test_a_truncated_stream_is_noticed(pack: Pack, keep: float) -> None:
    packed = pack(DATA)
    with pytest.raises(BadArchive, match=r"truncated|neither"):
        unpacked(packed[: int(len(packed) * keep)])


@pytest.mark.parametrize("pack", PACKED)
def test_a_stream_without_its_last_bytes_is_noticed(pack: Pack) -> None:
    with pytest.raises(BadArchive, match="truncated"):
        unpacked(pack(DATA)[:-3])


@pytest.mark.parametrize("pack", PACKED)
def test_a_damaged_stream_is_noticed(pack: Pack) -> None:
    packed = bytearray(pack(DATA))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(BadArchive):
        unpacked(bytes(packed))


@pytest.mark.parametrize("pack", PACKED)
def test_rubbish_after_the_stream_is_noticed(pack: Pack) -> None:
    with pytest.raises(BadArchive, match=r"damaged|truncated"):
        unpacked(pack(DATA) + b"rubbish" * 100)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(600), b"<!DOCTYPE html>" * 60, b"x"])
def test_what_is_no_archive_is_told_so(data: bytes) -> None:
    with pytest.raises(BadArchive, match=r"empty|neither a tar archive"):
        unpacked(data)


@pytest.mark.parametrize("pack", PACKED)
def test_a_bomb_is_stopped_by_its_ratio(pack: Pack) -> None:
    bomb = pack(bytes(8 << 20))
    # bzip2 and xz say zeros in a few hundred bytes, gzip in a thousandth.
    limits = Limits(ratio=100, ratio_from=1 << 20)
    with pytest.raises(BadArchive, match="as a bomb does"):
        unpacked(bomb, limits)


@pytest.mark.parametrize("pack", PACKED)
def test_a_bomb_is_stopped_by_its_size(pack: Pack) -> None:
    with pytest.raises(BadArchive, match="limit of 1000000 bytes"):
        unpacked(pack(bytes(4 << 20)), Limits(size=1_000_000))


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([p for n, p in FORMS.items() if n != "tar"]),
    st.integers(0, 400),
    st.binary(min_size=1, max_size=20),
)
def test_damage_anywhere_never_breaks_the_stream(pack: Pack, at: int, patch: bytes) -> None:
    packed = bytearray(pack(raw.file(b"a", b"text " * 100) + raw.END))
    packed[at : at + len(patch)] = patch
    with contextlib.suppress(BadArchive):
        unpacked(bytes(packed), Limits(size=1 << 20))
