"""The console's keys for ports, networks and files, typed on a real box with a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal
from tests.privileged.network.ground import Ground
from tests.support import probe
from tests.support.daemon import Daemon
from tests.support.images import AlpineRegistry


def test_ports_open_and_close_files_come_out_and_changes_show_by_keys(
    new_daemon: Callable[..., Daemon],
    alpine_registry: AlpineRegistry,
    new_terminal: Callable[..., Terminal],
) -> None:
    if lacking := probe.networks():
        pytest.skip(lacking)
    ground = Ground(new_daemon(alpine_registry.folder))
    daemon = ground.daemon
    try:
        daemon.start("--default-network", "auto")
        ground.server("web")
        console = new_terminal(130, 34)
        console.start([sys.executable, "-P", "-m", "boxy_tui.app"], daemon.env)
        console.shows("Boxes 1", "web")
        console.press("w")
        console.shows("publishes no port")
        console.press("W")
        console.shows("Ports of web", "opens", "closes")
        console.type("8080:80")
        console.press("Enter")
        console.shows("web: 127.0.0.1:8080->80/tcp")
        assert ground.host.fetch("127.0.0.1", 8080) == "I-am-web"
        console.press("w")
        console.shows("http://127.0.0.1:8080/")
        console.press("N")
        console.shows("networks", "10.", "web", "dns ")
        console.press("Escape", "W")
        console.shows("Ports of web: 127.0.0.1:8080->80/tcp")
        console.type("-8080")
        console.press("Enter")
        console.shows("no port is published now")
        assert ground.host.fetch("127.0.0.1", 8080) == "refused"

        daemon.run("exec", "web", "sh", "-c", "mkdir /zz; echo from inside > /zz/found")
        console.press("c")
        console.shows("A  /zz", "A  /zz/found", not_="/etc")
        console.press("Escape", "f")
        console.shows("files", "bin", "zz")
        console.press("End", "Enter")
        console.shows("found")
        console.press("c")
        console.shows("Copy found to the folder")
        there = Path(daemon.folder, "out")
        there.mkdir()
        console.type(str(there))
        console.press("Enter")
        console.shows("is copied to")
        assert (there / "found").read_text() == "from inside\n"
        daemon.remove_boxes()
        ground.until(ground.is_clean)
    finally:
        ground.end()
