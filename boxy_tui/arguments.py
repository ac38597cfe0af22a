"""The command line of `boxy-tui`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from boxy_tui.palette import PALETTES


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="boxy-tui", description="The console of Boxy: boxes, live.", allow_abbrev=False
    )
    parser.add_argument("--socket", help="the daemon's socket (BOXY_SOCKET)")
    parser.add_argument("--run", help="the daemon's run folder, where its socket is (BOXY_RUN)")
    parser.add_argument(
        "--theme",
        choices=list(PALETTES),
        default="",
        help="colours; T in the console changes and keeps them (BOXY_THEME)",
    )
    parser.add_argument("--replay", metavar="FILE", help="play a recording, then end")
    parser.add_argument("--screenshot", metavar="FILE", help="draw once into an SVG file, and end")
    parser.add_argument(
        "--size", default="120x36", help="columns and lines of the screenshot (120x36)"
    )
    return parser.parse_args(argv)
