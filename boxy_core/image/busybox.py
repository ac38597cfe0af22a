"""The `busybox` image: one static program of this machine under its 300 names.

Constraint: the program must be static, for nothing else of the machine is in the image; its
names are asked from the program itself, which runs as this user with nothing on its input.
"""

from __future__ import annotations

import os
import subprocess

from boxy_core.errors import ImageError
from boxy_core.image.skeleton import Item, file, folder, link

PROGRAMS = ("/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static")
HINT = "sudo apt install busybox-static (Fedora: sudo dnf install busybox)"
_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUPS = "root:x:0:\ntty:x:5:\nnobody:x:65534:\n"
_PROFILE = "export PS1='\\u@\\h:\\w\\$ '\n"
_FOLDERS = (
    ("./", 0o755), ("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755),
    ("proc", 0o555), ("root", 0o700), ("run", 0o755), ("sbin", 0o755), ("sys", 0o555),
    ("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o755), ("usr/sbin", 0o755), ("var", 0o755),
    ("var/tmp", 0o1777),
)  # fmt: skip
_PT_INTERP = 3


def find(programs: tuple[str, ...] = PROGRAMS) -> str:
    """The static busybox of this machine, "" if there is none."""
    return next((path for path in programs if os.path.isfile(path) and is_static(path)), "")


def is_static(path: str) -> bool:
    """Whether an ELF program needs no loader: it has no PT_INTERP header (elf(5))."""
    try:
        with open(path, "rb") as program:
            head = program.read(64)
            if head[:4] != b"\x7fELF" or len(head) < 64:
                return False
            wide, order = head[4] == 2, "little" if head[5] == 1 else "big"
            at, size, count = (32, 54, 56) if wide else (28, 42, 44)
            table = _int(head[at : at + (8 if wide else 4)], order)
            each, n = _int(head[size : size + 2], order), _int(head[count : count + 2], order)
            program.seek(table)
            headers = program.read(each * n)
    except (OSError, OverflowError):
        return False
    kinds = [_int(headers[i * each : i * each + 4], order) for i in range(n)]
    return bool(kinds) and _PT_INTERP not in kinds


def _int(data: bytes, order: str) -> int:
    return int.from_bytes(data, "little" if order == "little" else "big")


def items(program: str) -> list[Item]:
    """The image's tree. Raises ImageError if the program does not tell its names."""
    try:
        answer = subprocess.run(
            [program, "--list-full"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=10,
        )
        with open(program, "rb") as opened:
            content = opened.read()
    except (OSError, subprocess.SubprocessError) as error:
        raise ImageError(f"{program} does not tell its commands: {error}", hint=HINT) from None
    made = [folder(path, mode) for path, mode in _FOLDERS]
    have = {path for path, _ in _FOLDERS} | {"bin/busybox"}
    made += [
        file("bin/busybox", content, 0o755),
        file("etc/passwd", _USERS),
        file("etc/group", _GROUPS),
        file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
        file("etc/hostname", "busybox\n"),
        file("etc/resolv.conf"),
        file("etc/profile", _PROFILE),
        file("etc/os-release", 'ID=busybox\nNAME="BusyBox"\nPRETTY_NAME="BusyBox"\n'),
    ]
    for name in sorted(set(answer.stdout.decode(errors="replace").split())):
        parent = name.rpartition("/")[0]
        if name not in have and parent in have:
            have.add(name)
            made.append(link(name, "/bin/busybox"))
    return made
