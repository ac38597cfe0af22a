"""A registry in a process of its own, and images to put into it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.support.registry import RegistryServer
from tests.support.registry_process import Registry

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
        server.stop(signal.SIGKILL)


@pytest.fixture
def new_registry(workspace: Workspace) -> Iterator[Callable[[], Registry]]:
    """Make registries, not yet started; all have ended at the end."""
    made: list[Registry] = []

    def make() -> Registry:
        made.append(Registry(workspace.folder / f"r{len(made)}"))
        return made[-1]

    yield make
    for registry in made:
        if registry.process is not None:
            registry.stop(signal.SIGKILL)


@pytest.fixture
def registry(new_registry: Callable[[], Registry]) -> Registry:
    """A served registry."""
    made = new_registry()
    made.start()
    return made
