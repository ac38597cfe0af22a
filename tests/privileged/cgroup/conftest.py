"""Real cgroups for the tests: on whatever this machine has, and as v1 alone where it is hybrid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from boxy_core.errors import NotFound
from boxyd.cgroup import Cgroup, Driver, detect
from tests.conftest import Workspace

_found = detect(parent="boxy/test-probe")
KIND = _found.kind
CONTROLLERS = _found.controllers
"""What this machine has; the tests of one kind only are made where that kind is."""
with suppress(NotFound):
    _found.open("boxy/test-probe").remove()

Spawn = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def parent(workspace: Workspace) -> str:
    """The cgroup above the boxes of this test."""
    return workspace.cgroup_root


@pytest.fixture(params=["as found", "v1 alone"] if KIND == "hybrid" else ["as found"])
def driver(request: pytest.FixtureRequest, parent: str) -> Iterator[Driver]:
    """The driver of this machine; nothing of it is left afterwards."""
    driver = detect(parent=parent, unified=request.param == "as found")
    assert driver.kind != "null", driver.notices
    yield driver
    with ExitStack() as undo:
        undo.callback(driver.close)
        try:
            driver.open(parent).remove()
        except NotFound:
            return


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a program inside a cgroup, in the way of old kernels: every one of them has it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(group: Cgroup, code: str, *arguments: str) -> subprocess.Popen[bytes]:
        enter = 'for file in $FILES; do echo 0 > "$file" || exit 99; done; exec "$@"'
        program = [sys.executable, "-I", "-S", "-c", code, *arguments]
        process = subprocess.Popen(
            ["/bin/sh", "-c", enter, "sh", *program],
            env={"FILES": " ".join(group.plan().procs)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
