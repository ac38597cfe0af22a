"""One daemon for all tests of a module here: what they ask of it are single facts."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import leaks
from tests.support.daemon import Daemon
from tests.support.images import AlpineRegistry

PROBE = Path(__file__).with_name("probe_box.py")
Findings = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def house(alpine_registry: AlpineRegistry) -> Iterator[Daemon]:
    """A running daemon; it and its boxes are gone when the module's tests are."""
    tag = f"test-{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="bx-"))
    daemon = Daemon(folder, f"boxy/{tag}", [alpine_registry.folder])
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()
        leaks.remove_cgroup_root(tag)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def findings(house: Daemon) -> Findings:
    """What a hostile program found in a box without any flag, by the name of its probe.

    The box is made of this machine's own programs (the image `host`), since the probe needs
    Python: so that image's mounts are in it, too.
    """
    return probed(house)


def probed(house: Daemon, *flags: str) -> Findings:
    """What the probes find in a box with these flags."""
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("the machine has no /usr/bin/python3")
    shown = f"{PROBE.parent}:/p:ro"
    words = ("run", "--rm", *flags, "-v", shown, "host", "/usr/bin/python3", "-I")
    found: dict[str, Any] = json.loads(house.run(*words, "/p/probe_box.py", timeout=60))
    return found
