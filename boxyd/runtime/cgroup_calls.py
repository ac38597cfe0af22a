"""The system calls that cgroups need and Python lacks: statfs(2) and bpf(2).

Constraint: part of the runtime, so the standard library and ctypes only.  Like every call
here: one function per call, named like its man page, raising OSError with the path.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

_BPF_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280}
_BPF_NUMBER |= {"armv7l": 386, "i686": 357, "ppc64le": 361, "s390x": 351}

BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
_VERIFIER_LOG = 65536


def statfs_type(path: str) -> int:
    """The magic number of the file system that `path` is on (`f_type`, see statfs(2))."""
    buffer = ctypes.create_string_buffer(256)
    if _LIBC.statfs(os.fsencode(path), buffer) != 0:
        raise _error(path)
    kind: int = struct.unpack_from("l", buffer.raw)[0]
    return kind & 0xFFFFFFFF


def bpf_load_device_program(code: bytes) -> int:
    """Load a BPF_PROG_TYPE_CGROUP_DEVICE program; a close-on-exec fd.  See bpf(2).

    Raises OSError: EPERM without CAP_BPF or CAP_SYS_ADMIN, EINVAL where the kernel lacks
    CONFIG_CGROUP_BPF or its verifier refuses the program (its last words are the text).
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    addresses = ctypes.addressof(instructions), ctypes.addressof(licence)
    head = (BPF_PROG_TYPE_CGROUP_DEVICE, len(code) // 8, *addresses)
    try:
        return _bpf(BPF_PROG_LOAD, struct.pack("=IIQQIIQII", *head, 0, 0, 0, 0, 0))
    except OSError as error:
        if error.errno not in (13, 22):  # EACCES, EINVAL: ask the verifier why
            raise
    log = ctypes.create_string_buffer(_VERIFIER_LOG)
    detail = (1, _VERIFIER_LOG, ctypes.addressof(log), 0, 0)
    try:
        return _bpf(BPF_PROG_LOAD, struct.pack("=IIQQIIQII", *head, *detail))
    except OSError as error:
        words = log.value.decode(errors="replace").strip().splitlines()
        raise OSError(error.errno, words[-1] if words else os.strerror(error.errno)) from None


def bpf_attach_device_program(directory: int, program: int) -> None:
    """Attach a device program to the cgroup v2 that `directory` is open on, beside others."""
    _bpf(
        BPF_PROG_ATTACH,
        struct.pack("=IIII", directory, program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI),
    )


def _bpf(command: int, attributes: bytes) -> int:
    number = _BPF_NUMBER.get(platform.machine())
    if number is None:
        raise OSError(38, f"bpf(2) is not known for the architecture {platform.machine()}")
    size = 128
    buffer = ctypes.create_string_buffer(attributes, size)
    result: int = _LIBC.syscall(
        ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_long(size)
    )
    if result < 0:
        raise _error("bpf")
    return result


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
