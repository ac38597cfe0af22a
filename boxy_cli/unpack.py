"""The progress line of an image that is unpacked for the first time; only on a terminal."""

from __future__ import annotations

import sys

from boxy_core.client.http import quote
from boxy_core.errors import BoxyError
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.client.blocking import Client

CLEAR = "\r\x1b[K"


def unpack_if_needed(client: Client, image: str) -> None:
    """Prepare the image if it is not ready, with a line on stderr that is gone afterwards.

    An image that cannot be had is not reported here: making the box says why.
    """
    path = f"/images/{quote(image)}"
    try:
        if client.request("GET", path, timeout=None).get("ready"):
            return
    except BoxyError as error:
        if error.code == "daemon-unreachable":
            raise
        return
    try:
        for line in client.stream("POST", f"{path}/prepare"):
            if "step" in line:
                sys.stderr.write(CLEAR + progress(image, line))
                sys.stderr.flush()
    finally:
        sys.stderr.write(CLEAR)
        sys.stderr.flush()


def progress(image: str, line: dict[str, Any]) -> str:
    """What the line says: "alpine: unpacking 42 %"."""
    done, total = line.get("done") or 0, line.get("total") or 0
    share = f" {min(100, 100 * done // total)} %" if total else ""
    return f"{escape(image)}: {escape(str(line['step']))}{share}"
