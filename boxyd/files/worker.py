"""The process that does one job on a box's files.

    python -I -c '...' '{"job": "pack", ...}'    (see jobs.py)

Standard input is an archive, or words of the daemon's; standard output begins with one JSON
line, an archive may follow; a failure is the last line of standard error, `{"error": {...}}`.

Constraint: everything is imported at the top: inside a box nothing can be.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

from boxy_core.errors import BoxyError, ImageError, Internal
from boxy_core.image.streams import BadArchive
from boxyd.files import enter, layers, walk
from boxyd.runtime import syscalls as sys_

_BUFFER = 1 << 20


class _Out:
    """Standard output: small writes are gathered."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    def say(self, what: object) -> None:
        """The JSON line."""
        self.write(json.dumps(what).encode() + b"\n")
        self.flush()

    def write(self, data: bytes) -> None:
        """Bytes of an archive."""
        self._held.append(data)
        self._size += len(data)
        if self._size >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        view = memoryview(b"".join(self._held))
        self._held.clear()
        self._size = 0
        while view:
            view = view[os.write(1, view) :]


def main() -> int:
    """Do the job that the command line tells."""
    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
    sys_.set_name("boxy-files")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _do(json.loads(sys.argv[1]), _Out())
    except BrokenPipeError:
        return 1
    except BoxyError as error:
        return _failed(error)
    except BadArchive as error:
        return _failed(
            ImageError(
                f"the archive cannot be used: {error}",
                hint="send a tar archive, plain or compressed",
            )
        )
    except OSError as error:
        about = f" ({error.filename})" if error.filename else ""
        return _failed(Internal(f"the system refused: {error.strerror or error}{about}",
                                hint="see that the disk has room (df -h, df -i)"))  # fmt: skip
    return 0


def _failed(error: BoxyError) -> int:
    os.write(2, b"\n" + json.dumps({"error": error.to_wire()}).encode() + b"\n")
    return 1


def _do(job: dict[str, Any], out: _Out) -> None:
    kind = job["job"]
    if kind == "changes":
        _changes(job, out)
    elif kind == "copy":
        out.say(
            {
                "done": layers.copy(
                    job["upper"], job["target"], _stand_still(job, out), job["project"]
                )
            }
        )
    elif kind == "layer":
        out.say({"done": layers.layer(job["tree"], job["target"])})
    elif kind == "whole":
        out.say({})
        layers.whole(job["layers"], job["scratch"], out.write)
        out.flush()
    else:
        if job["box"] >= 0:
            enter.running(job["box"], mapped=job["base"] > 0)
        else:
            enter.stopped(job["steps"], job["base"])
        _inside(kind, job, out)


def _inside(kind: str, job: dict[str, Any], out: _Out) -> None:
    path = job["path"]
    if kind == "look":
        out.say(walk.look(path, follow=job["follow"]))
    elif kind == "list":
        out.say(walk.listing(path))
    elif kind == "read":
        out.say(walk.read(path, job["offset"]))
    elif kind == "pack":
        walk.packed(path, follow=job["follow"], begin=out.say, out=out.write)
        out.flush()
    else:
        out.say(walk.extracted(path, lambda n: os.read(0, n), owners=job["owners"]))


def _changes(job: dict[str, Any], out: _Out) -> None:
    found: list[dict[str, str]] = []
    for what, path in layers.changes(job["upper"], job["lowers"], job["points"]):
        if len(found) == layers.CHANGES:
            break
        found.append({"kind": what, "path": os.fsencode(path).decode(errors="replace")})
    out.say({"changes": found, "cut": len(found) == layers.CHANGES})


def _stand_still(job: dict[str, Any], out: _Out) -> Any:
    """A function that has the daemon stop the box and waits for that; None: it does not run."""
    if not job["running"]:
        return None

    def wait() -> None:
        out.say({"ready": True})
        if os.read(0, 16) != b"go\n":
            os._exit(1)

    return wait


if __name__ == "__main__":
    sys.exit(main())
