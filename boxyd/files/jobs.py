"""The daemon's side of jobs on a box's files: a process for each, heard without blocking.

Constraint: the loop only passes bytes on.  A job ends with who asked for it, and cannot outlive
the daemon (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from boxy_core.errors import Internal, from_wire

PIECE = 1 << 18
_LINE = 64 << 20
"""bytes of a line that tells of a whole tree; the answers of `_LONG` are read whole anyway"""
_LONG = ("changes", "list", "read")
_COMPLAINTS = 1 << 16
_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOTSTRAP = (
    f"import sys; sys.path.insert(0, {_PACKAGES!r}); "
    "from boxyd.files.worker import main; sys.exit(main())"
)


class Job:
    """A job under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        self._out, self._in = process.stdout, process.stdin
        self._complaints = asyncio.create_task(_kept(process.stderr))

    async def line(self) -> dict[str, Any]:
        """Its next line.  Raises the error that it met."""
        try:
            text = await self._out.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            await self.finish()
            raise Internal("a job on files ended without a word") from None
        except asyncio.LimitOverrunError:
            raise Internal("a job on files said too much") from None
        told: dict[str, Any] = json.loads(text)
        return told

    async def pieces(self) -> AsyncIterator[bytes]:
        """What follows, to its end.  Raises the error that it met."""
        while piece := await self._out.read(PIECE):
            yield piece
        await self.finish()

    async def feed(self, data: bytes) -> None:
        """Bytes for its standard input, as fast as it takes them."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._in.write(data)
            await self._in.drain()

    def no_more(self) -> None:
        """Its input ends."""
        self._in.close()

    async def finish(self) -> None:
        """Wait for its end.  Raises the error that it met."""
        status = await self._process.wait()
        if status:
            raise _failure(await self._complaints, status)

    async def close(self) -> None:
        """End it, wherever it is."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._in.close()
        self._complaints.cancel()
        await asyncio.wait([self._complaints])


@contextlib.asynccontextmanager
async def started(job: dict[str, Any], fds: Sequence[int] = ()) -> AsyncIterator[Job]:
    """A process that does the job; it has the descriptors `fds`, too."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", _BOOTSTRAP, json.dumps(job),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={key: os.environ[key] for key in ("LD_LIBRARY_PATH", "PATH") if key in os.environ},
        cwd="/",
        pass_fds=tuple(fds),
        start_new_session=True,
        limit=_LINE if job["job"] in _LONG else PIECE,
    )  # fmt: skip
    running = Job(process)
    try:
        yield running
    finally:
        await asyncio.shield(running.close())


async def answer(job: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
    """The one line of a job that has no more to say."""
    async with started(job, fds) as running:
        told = await running.line()
        await running.finish()
        return told


async def _kept(stream: asyncio.StreamReader) -> bytes:
    """The end of what is complained of."""
    kept = b""
    while piece := await stream.read(_COMPLAINTS):
        kept = (kept + piece)[-_COMPLAINTS:]
    return kept


def _failure(complaints: bytes, status: int) -> Exception:
    lines = complaints.decode(errors="replace").strip().splitlines()
    if lines and lines[-1].startswith('{"error"'):
        with contextlib.suppress(ValueError, KeyError):
            return from_wire(json.loads(lines[-1])["error"])
    if status < 0:
        return Internal(
            f"a job on files was ended by signal {-status}",
            hint="when memory is short the kernel ends processes: see dmesg",
        )
    return Internal(f"a job on files failed: {lines[-1] if lines else f'exit status {status}'}")
