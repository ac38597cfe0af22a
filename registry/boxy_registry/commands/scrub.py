"""`boxy-registry scrub`: verify everything that is stored, while the registry serves."""

from __future__ import annotations

import argparse
import json
import sys
import time

from boxy_core.text import escape
from boxy_core.units import format_size, parse_size
from boxy_registry.commands import opened, settings_of, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    add = parser.add_argument
    add("--repair", action="store_true",
        help="put damaged blobs aside, so that a push brings them back")  # fmt: skip
    add("--rate", metavar="SIZE", default="0", help="read at most so much a second (no bound)")
    add("--json", action="store_true", help="the result as JSON")


def run(chosen: argparse.Namespace) -> int:
    """Verify; 0 if the store is sound, 1 if not."""
    from boxy_registry.store.scrub import Scrubbed, scrub

    last = time.monotonic()

    def progress(seen: Scrubbed) -> None:
        nonlocal last
        if sys.stderr.isatty() and time.monotonic() - last > 0.2:
            last = time.monotonic()
            sys.stderr.write(f"\r{seen.blobs} blobs, {format_size(seen.bytes)} ")

    rate = 0 if chosen.rate == "0" else parse_size(chosen.rate)
    with opened(settings_of(chosen)) as store:
        result = scrub(store, repair=chosen.repair, rate=rate, progress=progress)
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    if chosen.json:
        sys.stdout.write(
            json.dumps(
                {
                    "clean": result.clean,
                    "blobs": result.blobs,
                    "manifests": result.manifests,
                    "bytes": result.bytes,
                    "repaired": result.repaired,
                    "findings": [finding._asdict() for finding in result.findings],
                }
            )
            + "\n"
        )
        return 0 if result.clean else 1
    for finding in result.findings:
        sys.stdout.write(f"{finding.kind}: {escape(finding.sentence)}\n")
    sys.stdout.write(
        f"{'sound' if result.clean else 'DAMAGED'}: {result.blobs} blobs and"
        f" {result.manifests} manifests, {format_size(result.bytes)}"
        + (f"; {result.repaired} blobs put aside" if chosen.repair else "")
        + "\n"
    )
    return 0 if result.clean else 1
