"""Layers written by the unpacking child: honest archives whole, hostile ones kept inside."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
from pathlib import Path

import pytest

from boxy_core.errors import ImageError
from boxy_core.image import trees
from boxy_core.image.streams import DEFAULT_LIMITS, Limits
from boxy_core.image.unpack import unpack
from boxy_core.image.worker import Report
from tests.support import archives as raw


class Place:
    """A destination inside a folder that also holds something to protect."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.archive = folder / "archive"

    def unpack(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Report:
        self.archive.write_bytes(data)
        fd = os.open(self.archive, os.O_RDONLY)
        try:
            return unpack(fd, str(self.tree), name="it", progress=lambda *_: None, limits=limits)
        finally:
            os.close(fd)

    def refuse(self, data: bytes, why: str, limits: Limits = DEFAULT_LIMITS) -> None:
        with pytest.raises(ImageError, match=why):
            self.unpack(data, limits)
        self.unharmed()

    def unharmed(self) -> None:
        assert os.listdir(self.outside) == ["secret"]
        assert (self.outside / "secret").read_text() == "secret"
        assert stat.S_IMODE((self.outside / "secret").stat().st_mode) == 0o644
        assert (self.outside / "secret").stat().st_nlink == 1


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def up(place: Place) -> bytes:
    """A path from inside the tree to the protected folder, the long way round."""
    return b"../" * 20 + os.fsencode(place.outside)[1:]


# ---------------------------------------------------------------------- nothing leaves


def test_a_name_with_dots_is_refused(place: Place) -> None:
    place.refuse(raw.file(up(place) + b"/new") + raw.END, r"climbs out by '\.\.'")
    place.refuse(raw.file(b"a/../../outside/new") + raw.END, r"climbs out")


def test_an_absolute_name_lands_inside(place: Place) -> None:
    target = os.fsencode(place.outside) + b"/secret"
    place.unpack(raw.file(target, b"new") + raw.END)
    assert (place.tree / os.fsdecode(target)[1:]).read_bytes() == b"new"
    place.unharmed()


@pytest.mark.parametrize("absolute", [True, False])
def test_a_file_through_a_symlink_lands_inside(place: Place, absolute: bool) -> None:
    target = os.fsencode(place.outside) if absolute else up(place)
    data = raw.symlink(b"link", target) + raw.file(b"link/secret", b"new") + raw.END
    place.unpack(data)
    place.unharmed()


def test_a_file_over_a_symlink_replaces_the_symlink(place: Place) -> None:
    target = os.fsencode(place.outside) + b"/secret"
    place.unpack(raw.symlink(b"a", target) + raw.file(b"a", b"new") + raw.END)
    assert (place.tree / "a").read_bytes() == b"new"
    assert not (place.tree / "a").is_symlink()
    place.unharmed()


def test_a_folder_over_a_symlink_does_not_change_the_symlinks_target(place: Place) -> None:
    data = raw.symlink(b"a", os.fsencode(place.outside)) + raw.folder(b"a", mode=0o777) + raw.END
    place.unpack(data)
    assert stat.S_IMODE((place.tree / "a").lstat().st_mode) == 0o777
    assert stat.S_IMODE(place.outside.stat().st_mode) != 0o777


def test_a_hard_link_cannot_reach_outside(place: Place) -> None:
    secret = os.fsencode(place.outside) + b"/secret"
    place.refuse(raw.link(b"a", up(place) + b"/secret") + raw.END, "climbs out")
    place.refuse(raw.link(b"a", secret) + raw.END, "target is missing")
    through = raw.symlink(b"out", os.fsencode(place.outside)) + raw.link(b"a", b"out/secret")
    place.refuse(through + raw.END, "target is missing")


def test_a_hard_link_to_a_symlink_links_the_symlink(place: Place) -> None:
    secret = os.fsencode(place.outside) + b"/secret"
    data = raw.symlink(b"s", secret) + raw.link(b"h", b"s") + raw.file(b"h", b"new") + raw.END
    place.unpack(data)
    assert (place.tree / "h").read_bytes() == b"new"
    assert os.readlink(place.tree / "s") == os.fsdecode(secret)
    place.unharmed()


def test_hard_links_share_one_file(place: Place) -> None:
    data = raw.file(b"d/a", b"data") + raw.link(b"b", b"/d/a") + raw.link(b"b", b"b") + raw.END
    place.unpack(data)
    assert (place.tree / "b").stat().st_ino == (place.tree / "d/a").stat().st_ino


def test_a_hard_link_to_a_folder_or_whiteout_is_refused(place: Place) -> None:
    place.refuse(raw.folder(b"d") + raw.link(b"a", b"d") + raw.END, "folder or whiteout")
    place.refuse(raw.file(b".wh.w") + raw.link(b"b", b"w") + raw.END, "folder or whiteout")


def test_device_nodes_are_left_out_and_counted(place: Place) -> None:
    devices = (
        raw.header(b"dev/null", b"3", extra=b"0000001\x000000003\x00")
        + raw.header(b"disk", b"4", extra=b"0000010\x000000000\x00")
        + raw.header(b"forged", b"3", extra=b"0000000\x000000000\x00")
        + raw.link(b"linked", b"disk")
    )
    assert place.unpack(devices + raw.file(b"a") + raw.END)["devices"] == 4
    assert os.listdir(place.tree) == ["a"]


# ---------------------------------------------------------------------- what is kept


def test_owners_modes_times_and_fifos_are_kept(place: Place) -> None:
    data = (
        raw.folder(b"./", mode=0o750)
        + raw.file(b"su", b"x", mode=0o4755, uid=0)
        + raw.file(b"user", b"x", mode=0o2600, uid=123456)
        + raw.header(b"fifo", b"6", mode=0o640, gid=5)
        + raw.folder(b"d", mode=0o1777)
        + raw.file(b"d/late")
        + raw.END
    )
    place.unpack(data)
    modes = {name: (place.tree / name).lstat() for name in ("su", "user", "fifo", "d")}
    assert stat.S_IMODE(place.tree.stat().st_mode) == 0o750
    assert [stat.S_IMODE(modes[n].st_mode) for n in modes] == [0o4755, 0o2600, 0o640, 0o1777]
    assert modes["user"].st_uid == 123456
    assert stat.S_ISFIFO(modes["fifo"].st_mode)
    assert modes["fifo"].st_gid == 5
    assert {found.st_mtime for found in modes.values()} == {1_700_000_000.0}


def test_only_known_attributes_are_kept(place: Place) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    xattrs = {
        b"user.note": b"kept",
        b"security.capability": capability,
        b"trusted.overlay.opaque": b"y",
        b"user.overlay.redirect": b"/x",
        b"security.selinux": b"x",
        b"system.posix_acl_access": b"x",
        b"user.\0": b"x",
    }
    lines = [raw.record(b"SCHILY.xattr." + key, value) for key, value in xattrs.items()]
    report = place.unpack(raw.pax(*lines) + raw.file(b"ping", mode=0o755) + raw.END)
    assert sorted(os.listxattr(place.tree / "ping")) == ["security.capability", "user.note"]
    assert os.getxattr(place.tree / "ping", "security.capability") == capability
    assert report["xattrs"] == 5


def test_whiteouts_become_overlayfs_whiteouts(place: Place) -> None:
    data = (
        raw.file(b"d/.wh.gone")
        + raw.file(b"o/.wh..wh..opq")
        + raw.file(b".wh..wh.plnk")
        + raw.file(b"both")
        + raw.file(b".wh.both")
        + raw.file(b".wh.back")
        + raw.file(b"back", b"back")
        + raw.END
    )
    assert place.unpack(data)["whiteouts"] == 3
    gone = (place.tree / "d/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(place.tree / "o", "trusted.overlay.opaque") == b"y"
    assert sorted(os.listdir(place.tree)) == ["back", "both", "d", "o"]
    assert (place.tree / "back").read_bytes() == b"back"


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b".wh.d/a"])
def test_a_whiteout_of_nothing_is_refused(place: Place, name: bytes) -> None:
    place.refuse(raw.file(name) + raw.END, "whiteout")


KINDS = {
    "file": raw.file(b"a", b"file"),
    "folder": raw.folder(b"a") + raw.file(b"a/in"),
    "symlink": raw.symlink(b"a", b"nowhere"),
    "fifo": raw.header(b"a", b"6"),
    "link": raw.file(b"other", b"o") + raw.link(b"a", b"other"),
    "whiteout": raw.file(b".wh.a"),
}
REPLACING = [kind for kind in KINDS if kind != "whiteout"]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", REPLACING)
def test_a_later_entry_replaces_an_earlier_one_of_any_kind(
    place: Place, first: str, second: str
) -> None:
    if (first, second) == ("folder", "link"):
        place.refuse(KINDS[first] + KINDS[second] + raw.END, "would replace a folder")
        return
    place.unpack(KINDS[first] + KINDS[second] + raw.END)
    mode = (place.tree / "a").lstat().st_mode
    wanted = {"folder": stat.S_ISDIR, "symlink": stat.S_ISLNK, "fifo": stat.S_ISFIFO}
    assert wanted.get(second, stat.S_ISREG)(mode)


def test_a_folder_told_again_keeps_what_is_in_it(place: Place) -> None:
    data = raw.folder(b"d") + raw.file(b"d/a") + raw.folder(b"d", mode=0o700) + raw.END
    place.unpack(data)
    assert os.listdir(place.tree / "d") == ["a"]
    assert stat.S_IMODE((place.tree / "d").stat().st_mode) == 0o700


def test_a_file_below_a_file_replaces_it_by_a_folder(place: Place) -> None:
    place.unpack(raw.file(b"a", b"x") + raw.file(b"a/b/c", b"y") + raw.END)
    assert (place.tree / "a/b/c").read_bytes() == b"y"


def test_folders_are_found_again_after_one_of_them_was_replaced(place: Place) -> None:
    data = (
        raw.file(b"a/x/one")
        + raw.symlink(b"a", b"b")
        + raw.folder(b"b/x")
        + raw.file(b"a/x/two")
        + raw.END
    )
    place.unpack(data)
    assert os.listdir(place.tree / "b/x") == ["two"]


def test_three_thousand_levels_are_unpacked_and_removed(place: Place) -> None:
    deep = b"d/" * 3000
    data = raw.pax(raw.record(b"path", deep + b"file")) + raw.file(b"x", b"deep")
    data += raw.pax(raw.record(b"path", deep)) + raw.folder(b"x", mode=0o700)
    assert place.unpack(data + raw.END)["size"] == 4
    fd = os.open(place.tree, os.O_RDONLY)
    for _ in range(3000):
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    assert os.listdir(fd) == ["file"]
    os.close(fd)
    assert trees.remove(str(place.tree)) == 4


def test_a_name_too_long_for_a_file_system_is_refused(place: Place) -> None:
    data = raw.pax(raw.record(b"path", b"n" * 256)) + raw.file(b"x") + raw.END
    place.refuse(data, "name is too long")


# ---------------------------------------------------------------------- what is bounded


def test_a_size_that_the_archive_does_not_hold_is_noticed(place: Place) -> None:
    place.refuse(raw.header(b"a", size=8_589_934_591) + b"x" * 4096, "truncated")


def test_a_truncated_gzip_is_noticed(place: Place) -> None:
    packed = gzip.compress(raw.file(b"a", os.urandom(50_000)) + raw.END)
    place.refuse(packed[:-20_000], "truncated")


def test_a_bomb_is_stopped(place: Place) -> None:
    bomb = gzip.compress(raw.file(b"a", bytes(30 << 20)) + raw.END)
    place.refuse(bomb, "as a bomb does", Limits(ratio_from=10 << 20))
    place.refuse(bomb, "limit of 1000000 bytes", Limits(size=1_000_000))


def test_a_sparse_file_beyond_the_limit_is_refused_and_one_below_stays_sparse(place: Place) -> None:
    def sparse(size: int) -> bytes:
        lines = [
            raw.record(b"GNU.sparse.size", b"%d" % size),
            raw.record(b"GNU.sparse.name", b"holes"),
            raw.record(b"GNU.sparse.map", b"4096,4,%d,0" % size),
        ]
        return raw.pax(*lines) + raw.file(b"x", b"data") + raw.END

    report = place.unpack(sparse(1 << 30), Limits(size=2 << 30))
    found = (place.tree / "holes").stat()
    assert found.st_size == report["size"] == 1 << 30
    assert found.st_blocks * 512 < 1 << 20
    place.refuse(sparse(1 << 40), "File too large", Limits(size=2 << 30))


def test_memory_is_bounded(place: Place) -> None:
    names = b"".join(
        raw.pax(raw.record(b"path", b"%d/" % n + b"n/" * 100_000)) + raw.folder(b"x")
        for n in range(3)
    )
    place.refuse(names + raw.END, "limit|memory", Limits(all_metadata=300_000))


def test_an_exception_of_the_callback_ends_the_child(place: Place) -> None:
    place.archive.write_bytes(gzip.compress(raw.file(b"a", bytes(64 << 20)) + raw.END, 1))

    class Enough(Exception): ...

    def stop(step: str, done: int, total: int) -> None:
        assert (step, total) == ("unpacking", place.archive.stat().st_size)
        assert 0 < done <= total
        raise Enough

    fd = os.open(place.archive, os.O_RDONLY)
    with pytest.raises(Enough):
        unpack(fd, str(place.tree), name="it", progress=stop)
    os.close(fd)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    told = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
    assert not any(b"boxy_core.image.worker" in line for line in told)


@pytest.mark.parametrize("form", ["gnu", "posix", "pax0.0", "pax0.1", "pax1.0"])
def test_what_gnu_tar_packs_is_unpacked_the_same(place: Place, form: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ("long-" * 30) / ("name-" * 30)).mkdir(parents=True)
    (source / ("long-" * 30) / ("name-" * 30) / "file").write_text("far down")
    (source / "link").symlink_to("target-" * 40)
    with open(source / "sparse", "wb") as file:
        for at in range(30):
            file.seek(at * (1 << 20))
            file.write(b"%d" % at)
        file.truncate(40 << 20)
    options = ["--format=gnu"] if form == "gnu" else ["--format=posix"]
    if form.startswith("pax"):
        options.append("--sparse-version=" + form[3:])
    command = ["tar", "--sparse", *options, "-cf", str(place.archive), "-C", str(source), "."]
    subprocess.run(command, check=True)
    place.unpack(place.archive.read_bytes())
    subprocess.run(["diff", "-r", "--no-dereference", source, place.tree], check=True)
    assert (place.tree / "sparse").stat().st_blocks * 512 < 8 << 20
