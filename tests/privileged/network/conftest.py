"""A ground with a daemon on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.privileged.network.ground import Ground
from tests.support import probe
from tests.support.daemon import Daemon, hurried
from tests.support.images import AlpineRegistry


@pytest.fixture
def ground(new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry) -> Iterator[Ground]:
    """A host of its own with a daemon whose boxes are on `bridge`, and an outside."""
    if lacking := probe.networks():
        pytest.skip(lacking)
    daemon = new_daemon(alpine_registry.folder)
    daemon.program = hurried(network_fabric__LINGER=0.2)  # an empty network goes after this
    made = Ground(daemon)
    try:
        made.daemon.start("--default-network", "auto")
        yield made
        made.daemon.remove_boxes()
        made.until(made.is_clean)
    finally:
        made.end()
