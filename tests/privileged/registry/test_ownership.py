"""An administrator works as root on a store whose server runs as somebody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.registry_process import Registry

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work on another user's store")
def test_what_root_does_to_a_store_leaves_it_to_its_user(tmp_path: Path) -> None:
    source = Registry(tmp_path / "source")
    source.start()
    try:
        source.push(b"layer" * 20_000, name="team/app")
        layout = str(tmp_path / "layout.tar")
        assert source.command("export", "team/app:t", layout).returncode == 0
    finally:
        source.stop()
    store = Registry(tmp_path / "store")
    store.root.mkdir()
    os.chown(store.root, NOBODY, NOBODY)
    for words in (("import", layout, "team/app:t"), ("gc",), ("scrub",)):
        done = store.command(*words)
        assert done.returncode == 0, done.stderr
    made = [store.root, *store.root.rglob("*")]
    assert len(made) > 8
    assert [path for path in made if path.lstat().st_uid != NOBODY] == []
