"""`boxy-tui --screenshot FILE.svg`: the console drawn once, by itself, without a terminal.

The README's picture is made by it, on whatever daemon answers on the socket.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from boxy_tui.app import BoxyApp
from boxy_tui.state import Link

WITHIN = 10.0
"""Seconds for the daemon to answer."""
SETTLE = 1.5
"""Seconds for a tick of the stats to come."""


def take(socket: str, file: str, size: str, look: str) -> int:
    """Write the picture; the exit status."""
    match = re.fullmatch(r"(\d{2,3})x(\d{2,3})", size)
    if match is None:
        print(f"boxy-tui: {size!r} is not a size; write it like 120x36", file=sys.stderr)  # noqa: T201
        return 2
    return asyncio.run(
        _take(BoxyApp(socket, look=look), Path(file), (int(match[1]), int(match[2])))
    )


async def _take(app: BoxyApp, file: Path, size: tuple[int, int]) -> int:
    async with app.run_test(size=size) as pilot:
        waited = 0.0
        while app.state.link is not Link.LIVE and waited < WITHIN:
            await pilot.pause(0.1)
            waited += 0.1
        await pilot.pause(SETTLE)
        picture = app.export_screenshot(title="boxy-tui")
    await asyncio.to_thread(file.write_text, picture, "utf-8")
    if app.state.link is not Link.LIVE:
        print(f"boxy-tui: no daemon answered; {file} shows just that", file=sys.stderr)  # noqa: T201
        return 1
    return 0
