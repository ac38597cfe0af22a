"""Replays the console blocks of a page: each command is run by a shell, its output compared.

In a page `$ ` is the prompt of an ordinary user and `# ` that of root.  `...` stands for any
text; a process id (five digits) and a namespace's inode for any other one.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LOOKS = re.compile(
    r"(find|ls|ip -br|ip link show|stat|sleep [\d.]+; 13_tiny\.py ps|13_tiny\.py ps)\b"
    r"|\(sleep [\d.]+; printf '\\035'\) \|"  # a viewer that only looks, and leaves
    r"|08_cgroups\.py --cpu "  # a share is kept in the mean; where others work, it takes its time
)
_LOOSE = re.compile(r"\\\.\\\.\\\.|\b402653\d{4}\b|\b\d{5}\b")


class Step(NamedTuple):
    """One command of a page, and what the page says that it prints."""

    prompt: str
    command: str
    expected: str

    def matches(self, seen: str) -> bool:
        """Whether `seen` is what the page shows."""
        pattern = _LOOSE.sub(_loosened, re.escape(_trimmed(self.expected)))
        return re.fullmatch(pattern, _trimmed(seen), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _loosened(found: re.Match[str]) -> str:
    return ".*" if found[0].startswith("\\") else r"\d+"


def steps(page: Path) -> list[Step]:
    """The commands of a page in order.  A line that begins with a prompt is one."""
    found: list[Step] = []
    for block in BLOCK.findall(page.read_text()):
        for part in re.split(r"^(?=[$#] )", block, flags=re.MULTILINE)[1:]:
            line, _, answer = part.partition("\n")
            found.append(Step(line[0], line[2:], answer))
    return found


class Shell:
    """A shell that stays: what one command does (`cd`, `&`, variables) the next one finds."""

    def __init__(self, argv: list[str], env: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            argv,
            env=env,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str, seconds: float = 30.0) -> str:
        """What a command prints, both outputs together."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        end = b"\x01the end\x01\n"
        stdin.write(f"{{ {command}\n}} </dev/null; printf '\\x01the end\\x01\\n'\n".encode())
        stdin.flush()
        seen, deadline = b"", time.monotonic() + seconds
        while not seen.endswith(end):
            if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{command}: still running after {seconds} s; said: {seen!r}")
            more = os.read(stdout.fileno(), 65536)
            if not more:
                raise AssertionError(f"{command}: the shell ended; said: {seen!r}")
            seen += more
        return seen.removesuffix(end).decode(errors="replace").replace("\r\n", "\n")

    def close(self) -> None:
        """End it and whatever it started that is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def replay(page: Path, shells: dict[str, Shell], seconds: float = 30.0) -> None:
    """Run every command of a page.  Raises AssertionError with the first that answers otherwise.

    A command that only looks is asked again for a while: what it looks at may need a moment.
    """
    for step in steps(page):
        seen = shells[step.prompt].run(step.command)
        deadline = time.monotonic() + seconds
        while _LOOKS.match(step.command) and not step.matches(seen):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
            seen = shells[step.prompt].run(step.command)
        assert step.matches(seen), (
            f"{page.name}: {step.prompt} {step.command}\nthe page says:\n{step.expected}"
            f"\nit printed:\n{seen}"
        )
