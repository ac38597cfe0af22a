"""The hosts files of boxes follow who is on their networks."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from boxy_core.models import Box, BoxSpec
from boxy_core.models_network import Endpoint, Network
from boxy_core.paths import Paths
from boxyd.errands import Errands
from boxyd.network import files
from boxyd.network.hosts import HostsFiles
from boxyd.network.live import Live
from tests.support.waiting import eventually_async


class Scene:
    """Two networks; boxes are known by one letter, which is their name, too."""

    def __init__(self, root: Path) -> None:
        self._paths = Paths(str(root / "r"), str(root / "run"), str(root / "s"), (), "boxy/t")
        self.app = Live(Network(id="1" * 12, name="app", subnet="10.1.0.0/24", gateway="10.1.0.1"))
        self.back = Live(
            Network(id="2" * 12, name="back", subnet="10.2.0.0/24", gateway="10.2.0.1")
        )
        self.errands = Errands(logging.getLogger("test"))
        self.hosts = HostsFiles(self._paths, lambda: (self.app, self.back), self.errands)

    def path(self, name: str) -> Path:
        return Path(self._paths.box(name * 64), "etc/hosts")

    def join(self, live: Live, name: str) -> None:
        box = Box(id=name * 64, name=name, image="i", spec=BoxSpec(image="i"))
        address = live.take(box.id, Endpoint(network=live.network.name))[0]
        live.join(box, Endpoint(network=live.network.name, address=f"{address}/24"))
        os.makedirs(self.path(name).parent, exist_ok=True)
        self.path(name).write_text("127.0.0.1\tlocalhost\n" + files.block([]))
        self.hosts.changed(live)

    def leave(self, live: Live, name: str) -> None:
        live.leave(name * 64)
        self.hosts.changed(live, left=name * 64)

    async def written(self) -> None:
        self.hosts.flush()
        await self.errands.wait(30)

    def known(self, name: str) -> list[str]:
        lines = self.path(name).read_text().partition(files.BEGIN)[2].splitlines()[1:-1]
        return [line.split()[1] for line in lines]


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_a_box_that_leaves_one_network_forgets_that_one_and_is_forgotten(
    scene: Scene,
) -> None:
    for live, name in ((scene.app, "a"), (scene.app, "b"), (scene.back, "a"), (scene.back, "c")):
        scene.join(live, name)
    await scene.written()
    assert [scene.known(name) for name in "abc"] == [["b", "c"], ["a"], ["a"]]
    scene.leave(scene.app, "a")
    await scene.written()
    assert [scene.known(name) for name in "abc"] == [["c"], [], ["a"]]
    scene.leave(scene.back, "a")
    await scene.written()
    assert [scene.known(name) for name in "abc"] == [[], [], []]


async def test_the_last_on_a_network_forgets_it_and_a_box_without_a_file_holds_up_nobody(
    scene: Scene,
) -> None:
    scene.join(scene.app, "a")
    scene.join(scene.app, "b")
    await scene.written()
    scene.path("b").unlink()
    scene.leave(scene.app, "b")
    scene.leave(scene.app, "a")
    await scene.written()
    assert scene.known("a") == []
    assert not scene.path("b").exists()


async def test_what_changes_at_once_is_written_together_a_moment_later(scene: Scene) -> None:
    for name in "abc":
        scene.join(scene.app, name)
    scene.leave(scene.app, "c")
    assert scene.known("a") == []
    await eventually_async(lambda: scene.known("a"))
    await scene.errands.wait(30)
    assert [scene.known(name) for name in "abc"] == [["b"], ["a"], []]
