"""A tiny interpreter of classic BPF, as the kernel runs it on struct seccomp_data."""

from __future__ import annotations

import struct

LD, JEQ, JGE, JGT, JSET, AND, JA, RET = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x05, 0x06


def run(program: bytes, number: int, arch: int, arguments: tuple[int, ...] = ()) -> int:
    """The filter's verdict on a call."""
    six = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(a & (1 << 64) - 1 for a in six))
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = accumulator = 0
    while True:
        op, jt, jf, k = code[at]
        at += 1
        if op == LD:
            assert k % 4 == 0
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif op == AND:
            accumulator &= k
        elif op == RET:
            return int(k)
        elif op == JA:
            at += k
        else:
            tests = {
                JEQ: accumulator == k,
                JGE: accumulator >= k,
                JGT: accumulator > k,
                JSET: bool(accumulator & k),
            }
            at += jt if tests[op] else jf
