"""The shells that a learner has open, made so that nothing on this machine can change."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.console import Shell

TUTORIAL = Path(__file__).parents[3] / "docs" / "tutorial" / "build-your-own"
STEPS = TUTORIAL / "steps"
PYTHON = "/usr/bin/python3"
"""one that an ordinary user can run too, which the tests' own need not be"""
USER = 1000

# Networks, mounts, queues and names that a page makes are in namespaces of the shell's own.
_APART = ["unshare", "--net", "--mount", "--ipc", "--uts"]
_LOOPBACK = ["sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
_ORDINARY = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
_BASH = ["bash", "--norc", "--noprofile"]


_SLOW_SLEEP = """#!/bin/sh
exec /bin/sleep "$(awk "BEGIN {{ print $1 * {} }}")"
"""


def make_root(folder: Path, made: Path | None = None) -> None:
    """The tutorial's root file system, which belongs to the ordinary user; a copy of `made`."""
    make = ["cp", "-a", str(made)] if made else [PYTHON, str(STEPS / "make_root.py")]
    subprocess.run([*make, folder], check=True, capture_output=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", folder], check=True)


def make_shells(
    folder: Path, root: str, root_file_system: Path, patience: int = 1
) -> dict[str, Shell]:
    """The user's shell ($) and the root shell (#), in a folder with a root file system `root`.

    Args:
        folder: where they work; it is given to the ordinary user.  What an earlier page left
            there stays, as it does for a learner.
        root_file_system: what `make_root` made.
        patience: how many times as long the shells' own `sleep` takes; a page's pauses are
            those of a learner's idle machine.
        root: "root" for the machine's own, "userns" for the one that `unshare -Ur` gives.
    """
    commands = folder / "bin"
    env = {
        "PATH": f"{commands}:{STEPS}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        "TINY_ROOT": str(folder / "tiny"),
        **{name: value for name, value in os.environ.items() if name.startswith("BOXY_TEST")},
    }
    if not commands.exists():
        commands.mkdir()
        (commands / "python3").symlink_to(PYTHON)
        if patience > 1:
            (commands / "sleep").write_text(_SLOW_SLEEP.format(patience))
            (commands / "sleep").chmod(0o755)
        folder.chmod(0o755)
        subprocess.run(["cp", "-a", root_file_system, folder / "root"], check=True)
        os.chown(folder, USER, USER)
    user = Shell([*_APART, *_LOOPBACK, *_ORDINARY, *_BASH], env, folder)
    kinds = {
        "root": [*_APART, *_BASH],
        "userns": [*_ORDINARY, "unshare", "-Ur", *_APART[1:], *_BASH],
    }
    return {"$": user, "#": Shell(kinds[root], env, folder)}
