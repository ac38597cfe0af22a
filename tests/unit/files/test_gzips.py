"""A gzip stream that several threads write is an ordinary one, and always the same."""

from __future__ import annotations

import gzip
import random

import pytest

from boxyd.files.gzips import BLOCK, Gzip


def packed(data: bytes, pieces: int, threads: int) -> bytes:
    out: list[bytes] = []
    with Gzip(out.append, 3, threads) as stream:
        step = max(1, len(data) // pieces)
        for start in range(0, len(data), step):
            stream.write(data[start : start + step])
    return b"".join(out)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 77])
def test_what_is_packed_comes_out_again_whoever_packed_it(size: int) -> None:
    data = random.Random(size).randbytes(size // 2 + 1) * 2
    data = data[:size]
    one = packed(data, 1, 1)
    assert gzip.decompress(one) == data
    assert packed(data, 7, 4) == one


def test_blocks_know_what_was_before_them() -> None:
    text = b"the same line again and again\n" * (3 * BLOCK // 30)
    assert len(packed(text, 5, 3)) < len(text) // 100


def test_what_does_not_shrink_hardly_grows_either() -> None:
    noise = random.Random(1).randbytes(2 * BLOCK + 5)
    mixed = noise + b"text " * BLOCK + noise
    one = packed(mixed, 9, 2)
    assert gzip.decompress(one) == mixed
    assert len(one) < 2.02 * len(noise) + BLOCK // 10


def test_an_error_ends_it_without_an_end() -> None:
    out: list[bytes] = []

    def broken() -> None:
        with Gzip(out.append, 3) as stream:
            stream.write(b"x" * 10)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        broken()
    with pytest.raises(EOFError):
        gzip.decompress(b"".join(out))
