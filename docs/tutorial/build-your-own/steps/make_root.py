#!/usr/bin/env python3
"""make_root.py FOLDER: a small root file system, made of programs that this machine has.

Each program is copied into FOLDER/bin, and the libraries that it needs (ldd(1) lists them)
to where it will look for them.  Nothing is downloaded; ordinary users may run it.
"""

import os
import re
import shutil
import subprocess
import sys

PROGRAMS = """
    sh bash cat chmod chown cp date dd df echo env false grep head hostname id ip ipcs kill ln ls
    mkdir mknod mount mv nproc ps pwd readlink rm rmdir sed seq sleep sort stat stty sync tail
    top touch tr true tty umount uname unshare wc yes
""".split()
FOLDERS = "bin dev etc proc root run sys tmp var/log".split()
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n",
    "etc/group": "root:x:0:\nuser:x:1000:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/issue": "A root file system of my own\n",
}


def libraries(program: str) -> list[str]:
    """The shared libraries and the loader of a program; a static one has none."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", said.stdout)


def copy(source: str, target: str) -> None:
    """Copy a file with its mode, following symbolic links; do nothing if it is there."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.exists(target):
        shutil.copy(source, target)


def make_root(folder: str) -> None:
    """Fill `folder`."""
    for name in FOLDERS:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    os.chmod(os.path.join(folder, "tmp"), 0o1777)
    for name, text in FILES.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for name in PROGRAMS:
        program = shutil.which(name, path=search)
        if program is None:
            print(f"make_root: this machine has no {name}: left out", file=sys.stderr)
            continue
        copy(program, os.path.join(folder, "bin", name))
        for library in libraries(program):
            copy(library, folder + library)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_root.py FOLDER")
    make_root(sys.argv[1])
    print(f"made {sys.argv[1]}: {len(os.listdir(sys.argv[1] + '/bin'))} programs")
