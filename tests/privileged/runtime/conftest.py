"""Fixtures for real boxes without a daemon; see `rig`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import Workspace
from tests.privileged.runtime.rig import Rig
from tests.support.images import AlpineRegistry


@pytest.fixture(scope="session")
def tree(alpine_registry: AlpineRegistry) -> Iterator[str]:
    """An unpacked image."""
    with tempfile.TemporaryDirectory(prefix="bx-tree-") as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["tar", "-xzf", alpine_registry.archive, "-C", folder], check=True)
        yield folder


@pytest.fixture
async def rig(workspace: Workspace, tree: str) -> AsyncIterator[Rig]:
    made = Rig(workspace, tree)
    yield made
    await made.close()
