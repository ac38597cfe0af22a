"""A registry in a process of its own, and images to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.registry import RegistryServer

Start = Callable[..., RegistryServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start registries with options or settings; all are ended afterwards."""
    started: list[RegistryServer] = []

    def make(*options: str, settings: str = "", root: Path | None = None) -> RegistryServer:
        number = len(started)
        if settings:
            file = tmp_path / f"{number}.toml"
            file.write_text(settings)
            options = (*options, "--config", str(file))
        server = RegistryServer(root or tmp_path / f"registry{number}", *options)
        started.append(server)
        return server.start()

    yield make
    for server in started:
        server.stop()
