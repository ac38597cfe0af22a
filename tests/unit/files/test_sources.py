"""Where a source really is, and what a box cannot make of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boxy_core.errors import InvalidRequest
from boxyd import sources
from boxyd.runtime import mountinfo


def test_the_users_own_symlinks_are_followed(tmp_path: Path) -> None:
    (tmp_path / "releases" / "3").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/3")
    (tmp_path / "far").symlink_to(tmp_path / "current")
    (tmp_path / "up").symlink_to("releases/../releases/3/..")
    real = Path(os.path.realpath(tmp_path))
    assert sources.resolve(str(tmp_path / "far")) == str(real / "releases" / "3")
    assert sources.resolve(str(tmp_path / "up") + "//./") == str(real / "releases")


def test_a_symlink_where_a_box_can_write_is_not_followed(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "in").mkdir(parents=True)
    (shared / "in" / "logs").symlink_to("/etc")
    (tmp_path / "way").symlink_to(shared)
    path = str(tmp_path / "way" / "in" / "logs")
    assert sources.resolve(path) == "/etc"
    with pytest.raises(InvalidRequest, match="may have made that symlink"):
        sources.resolve(path, [str(shared)])
    with pytest.raises(InvalidRequest, match="may have made that symlink"):
        sources.resolve(path, [str(tmp_path / "way")])
    assert sources.resolve(str(shared / "in"), [str(shared)]).endswith("shared/in")


def test_a_missing_source_is_an_error_unless_it_is_to_be_made(tmp_path: Path) -> None:
    wanted = str(tmp_path / "a" / "b")
    with pytest.raises(InvalidRequest, match="is not there") as caught:
        sources.resolve(wanted)
    assert "create" in (caught.value.hint or "")
    assert os.path.isdir(sources.resolve(wanted, create=True))


def test_a_circle_of_symlinks_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InvalidRequest, match="too many symlinks"):
        sources.resolve(str(tmp_path / "a" / "x"))


def test_a_file_on_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidRequest, match="cannot be reached"):
        sources.resolve(str(tmp_path / "file" / "x"))
    assert sources.resolve(str(tmp_path / "file")).endswith("/file")


def test_the_kernels_table_of_mounts_is_read(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "21 1 8:1 / / rw shared:1 - ext4 /dev/vda rw\n"
        "22 21 0:4 / /srv/with\\040blank rw master:3 - tmpfs x rw\n"
        "23 22 0:5 mnt:[402] /srv/with\\040blank/ns rw - nsfs nsfs rw\n"
        "24 21 0:6 / /srv2 rw - tmpfs x rw\n"
    )
    lines = mountinfo.read(str(table))
    assert [line.kind for line in lines] == ["ext4", "tmpfs", "nsfs", "tmpfs"]
    assert [line.place for line in mountinfo.below(lines, "/srv")] == [
        "/srv/with blank",
        "/srv/with blank/ns",
    ]
    holder = mountinfo.holding(lines, "/srv/with blank/file")
    assert holder is not None
    assert (holder.place, holder.shared, holder.slave) == ("/srv/with blank", False, True)
    root = mountinfo.holding(lines, "/srv")
    assert root is not None
    assert root.shared
