"""The store at work: unpacked once, shared, noticed when changed, cleaned after a crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from boxy_core.errors import ImageError, NotFound
from boxy_core.image.store import ImageStore
from boxy_core.models import Image
from boxy_core.paths import Paths
from tests.conftest import Workspace
from tests.support import archives as raw
from tests.support import images

ROOT = str(Path(__file__).parents[3])


class Stock:
    """A registry folder and a store on it."""

    def __init__(self, folder: Path) -> None:
        self.registry = folder / "registry"
        self.registry.mkdir()
        self.root = folder / "root"
        run = str(folder / "run")
        self.paths = Paths(str(self.root), run, run + "/s", (str(self.registry),), "boxy/test")
        self.store = ImageStore(self.paths)

    def image(self, name: str, archive: bytes | None = None, **content: object) -> Path:
        folder = self.registry / name
        folder.mkdir()
        (folder / "image.json").write_text(json.dumps(content))
        if archive is not None:
            (folder / "rootfs.tar").write_bytes(archive)
        return folder

    def layers(self) -> list[str]:
        names = os.listdir(self.root / "layers")
        return sorted(name for name in names if name.startswith("sha256-"))

    def temporary(self) -> list[str]:
        return [name for name in os.listdir(self.root / "layers") if name.startswith("tmp-")]


@pytest.fixture
def stock(workspace: Workspace) -> Stock:
    return Stock(workspace.folder)


def packed(text: bytes) -> bytes:
    return raw.file(b"file", text) + raw.END


def content(image: Image) -> bytes:
    return Path(image.layers[0], "file").read_bytes()


def test_an_image_is_unpacked_once_and_then_ready(stock: Stock) -> None:
    stock.image("a", packed(b"one"), cmd="/file")
    assert not stock.store.resolve("a").ready
    steps: list[tuple[str, int, int]] = []
    image = stock.store.prepare("a", lambda *step: steps.append(step))
    assert image.ready
    assert content(image) == b"one"
    assert image.size == 3
    assert [step for step, _, _ in steps] == ["checking", "unpacking", "storing"]
    assert ImageStore(stock.paths).resolve("a") == image == stock.store.prepare("a")
    assert ImageStore(stock.paths).list() == [image]
    assert stock.store.in_use(image.layers[0])
    assert stock.temporary() == []
    told = json.loads(Path(image.layers[0]).with_name("layer.json").read_text())
    assert told["diff_id"] == "sha256:" + Path(image.layers[0]).parts[-2].removeprefix("sha256-")


def test_a_changed_archive_is_a_new_layer_and_a_touched_one_is_not(stock: Stock) -> None:
    folder = stock.image("a", packed(b"one"))
    first = stock.store.prepare("a")
    (folder / "rootfs.tar").write_bytes(packed(b"two"))
    assert not stock.store.resolve("a").ready
    second = stock.store.prepare("a")
    assert content(second) == b"two"
    assert first.id != second.id
    assert content(first) == b"one", "a box may still use the old layer"
    os.utime(folder / "rootfs.tar", (1, 1))
    assert stock.store.prepare("a") == second
    assert len(stock.layers()) == 2
    assert stock.store.prune(in_use=first.layers) == 0
    assert stock.store.prune() == 3
    assert stock.store.resolve("a").ready


def test_images_of_the_same_content_share_one_layer(stock: Stock) -> None:
    import gzip

    stock.image("a", packed(b"same"))
    stock.image("b", packed(b"same"))
    folder = stock.image("c")
    (folder / "other.tgz").write_bytes(gzip.compress(packed(b"same")))
    prepared = [stock.store.prepare(name) for name in "abc"]
    assert len({image.layers[0] for image in prepared}) == 1
    assert stock.store.remove("a") == 0
    assert stock.store.remove("b") == 0
    assert stock.store.resolve("c").ready
    assert stock.store.remove("c") == 4
    assert stock.layers() == []
    assert os.listdir(stock.root / "layers") == [".lock"]


def test_removing_keeps_what_a_box_uses(stock: Stock) -> None:
    stock.image("a", packed(b"one"))
    image = stock.store.prepare("a")
    assert stock.store.remove("a", in_use=image.layers) == 0
    assert content(image) == b"one"
    assert not stock.store.resolve("a").ready
    with pytest.raises(NotFound, match="not unpacked"):
        stock.store.remove("a")
    assert stock.store.prepare("a").layers == image.layers


def test_many_threads_that_want_one_image_unpack_it_once(stock: Stock) -> None:
    stock.image("a", packed(b"one" * 100_000))
    steps: list[str] = []
    found: list[Image] = []

    def prepare() -> None:
        store = ImageStore(stock.paths)
        found.append(store.prepare("a", lambda step, done, total: steps.append(step)))

    threads = [threading.Thread(target=prepare) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5
    assert len({image.id for image in found}) == 1
    assert steps.count("storing") == 1
    assert stock.temporary() == []


@pytest.mark.parametrize(
    "data",
    [
        raw.file(b"a", b"x" * 5000)[:-1000],
        raw.file(b"a", b"x") + raw.file(b"../b") + raw.END,
        b"no archive at all",
        b"",
    ],
)
def test_a_bad_archive_leaves_nothing_and_is_told_by_its_path(stock: Stock, data: bytes) -> None:
    folder = stock.image("a", data)
    with pytest.raises(ImageError, match=str(folder / "rootfs.tar")):
        stock.store.prepare("a")
    assert os.listdir(stock.root / "layers") == [".lock"]
    assert not stock.store.resolve("a").ready
    (folder / "rootfs.tar").write_bytes(packed(b"good"))
    assert content(stock.store.prepare("a")) == b"good"


def test_a_callback_that_raises_undoes_all(stock: Stock) -> None:
    stock.image("a", packed(b"one"))

    def stop(step: str, done: int, total: int) -> None:
        if step == "storing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stock.store.prepare("a", stop)
    assert os.listdir(stock.root / "layers") == [".lock"]
    assert stock.store.prepare("a").ready


def test_a_killed_store_leaves_a_temporary_folder_that_the_next_start_cleans(stock: Stock) -> None:
    stock.image("a", packed(b"one"))
    program = (
        f"import sys; sys.path.insert(0, {ROOT!r}); import os, signal\n"
        "from boxy_core.image.store import ImageStore; from boxy_core.paths import Paths\n"
        f"paths = Paths({str(stock.root)!r}, '/x', '/x/s', ({str(stock.registry)!r},), 'b')\n"
        "def die(step, done, total):\n"
        "    if step == 'storing': os.kill(os.getpid(), signal.SIGKILL)\n"
        "ImageStore(paths).prepare('a', die)\n"
    )
    died = subprocess.run([sys.executable, "-c", program], check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(stock.temporary()) == 1
    assert not stock.store.resolve("a").ready
    [gone] = stock.store.clean()
    assert os.path.basename(gone).startswith("tmp-")
    assert stock.temporary() == []
    assert content(stock.store.prepare("a")) == b"one"


def test_cleaning_leaves_alone_what_is_being_worked_on(stock: Stock) -> None:
    stock.image("a", packed(b"one"))
    cleaned: list[list[str]] = []

    def clean(step: str, done: int, total: int) -> None:
        if step == "storing":
            cleaned.append(ImageStore(stock.paths).clean())

    assert stock.store.prepare("a", clean).ready
    assert cleaned == [[]]


def test_a_layer_that_somebody_damaged_is_unpacked_again(stock: Stock) -> None:
    stock.image("a", packed(b"one"))
    image = stock.store.prepare("a")
    shutil.rmtree(image.layers[0])
    assert not stock.store.resolve("a").ready
    assert content(stock.store.prepare("a")) == b"one"
    Path(image.layers[0]).with_name("layer.json").unlink()
    (stock.root / "images/a.json").unlink()
    assert content(stock.store.prepare("a")) == b"one"


def test_a_full_disk_is_told_and_leaves_nothing(stock: Stock) -> None:
    subprocess.run(["mkdir", "-p", stock.root], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "boxy-test", stock.root], check=True)
    try:
        stock.image("a", packed(os.urandom(3 << 20)))
        with pytest.raises(ImageError, match="No space left") as caught:
            stock.store.prepare("a")
        assert "df -h" in caught.value.hint
        assert os.listdir(stock.root / "layers") == [".lock"]
    finally:
        subprocess.run(["umount", stock.root], check=True)


@pytest.fixture
def address(stock: Stock) -> Iterator[str]:
    """A loopback server of an archive."""
    folder = stock.registry.parent / "www"
    folder.mkdir()
    (folder / "base.tar").write_bytes(packed(b"fetched"))

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/base.tar"
        server.shutdown()
        thread.join()


def test_an_archive_is_fetched_once(
    stock: Stock, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    monkeypatch.setenv("no_proxy", "*")
    sha256 = hashlib.sha256(packed(b"fetched")).hexdigest()
    stock.image("a", rootfs={"url": address, "sha256": sha256})
    steps: list[str] = []
    image = stock.store.prepare("a", lambda step, done, total: steps.append(step))
    assert content(image) == b"fetched"
    assert steps[0] == "downloading"
    assert stock.store.resolve("a") == image
    freed = stock.store.remove("a")
    assert freed == len(b"fetched") + len(packed(b"fetched"))


def test_the_real_alpine_is_unpacked_as_tar_does(stock: Stock, tmp_path: Path) -> None:
    archive = images.find_archive()
    if archive is None:
        archive = images.make_registry(tmp_path / "stand-in").archive
    folder = stock.image("alpine", cmd="/bin/sh", env={"PATH": "/bin"})
    shutil.copyfile(archive, folder / "rootfs.tar.gz")
    image = stock.store.prepare("alpine")
    other = tmp_path / "tar"
    other.mkdir()
    with tarfile.open(archive) as opened:
        entries = len(opened.getmembers())
    command = ["tar", "--xattrs", "--xattrs-include=*", "--same-owner", "-xpf", str(archive)]
    subprocess.run([*command, "-C", str(other)], check=True)
    ours, theirs = _facts(image.layers[0]), _facts(str(other))
    assert len(theirs) >= entries
    assert ours == theirs


def _facts(root: str) -> dict[str, tuple[object, ...]]:
    """Everything about every entry of a tree that an archive can tell."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in [*folders, *sorted(files), "."]:
            path = os.path.join(folder, name)
            told = os.lstat(path)
            link = os.readlink(path) if os.path.islink(path) else ""
            data = Path(path).read_bytes() if os.path.isfile(path) and not link else b""
            same = inodes.setdefault(told.st_ino, os.path.relpath(path, root))
            xattrs = {key: os.getxattr(path, key, follow_symlinks=False)
                      for key in os.listxattr(path, follow_symlinks=False)}  # fmt: skip
            found[os.path.relpath(path, root)] = (
                told.st_mode, told.st_uid, told.st_gid, told.st_mtime_ns, told.st_rdev,
                link, data, same, xattrs,
            )  # fmt: skip
    return found
