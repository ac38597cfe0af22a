"""The trees that code makes: the `host` skeleton and `busybox`."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from boxy_core.image import busybox, host, skeleton


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The root of a machine with a merged /usr, secrets and all."""
    for folder in ("usr/bin", "usr/lib", "etc/alternatives", "etc/ssl/certs", "etc/ssl/private"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("bin", "lib"):
        (tmp_path / name).symlink_to(f"usr/{name}")
    (tmp_path / "usr/bin/bash").write_text("")
    for name, mode in (("ld.so.cache", 0o644), ("shadow", 0o640), ("services", 0o600)):
        (tmp_path / "etc" / name).write_text("x")
        (tmp_path / "etc" / name).chmod(mode)
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    (tmp_path / "etc/python3.12").mkdir()
    return tmp_path


def tree(facts: host.Facts) -> dict[str, skeleton.Item]:
    items = host.items(facts)
    paths = [item.path for item in items]
    assert len(paths) == len(set(paths)), "an entry stands there twice"
    return {item.path: item for item in items}


def test_the_skeleton_follows_a_merged_machine(machine: Path) -> None:
    facts = host.read_facts(str(machine))
    entries = tree(facts)
    assert entries["bin"].target == "usr/bin"
    assert entries["etc/localtime"].target == "/usr/share/zoneinfo/Europe/Berlin"
    assert [mount.source for mount in host.mounts(facts)] == [
        "/usr",
        "/etc/alternatives",
        "/etc/python3.12",
        "/etc/ssl/certs",
        "/etc/ld.so.cache",
    ]


def test_the_skeleton_follows_a_machine_with_folders_of_its_own(tmp_path: Path) -> None:
    for name in ("usr", "bin", "sbin", "lib", "etc"):
        (tmp_path / name).mkdir()
    facts = host.read_facts(str(tmp_path))
    assert [mount.target for mount in host.mounts(facts)] == ["/usr", "/bin", "/sbin", "/lib"]
    assert tree(facts)["bin"].content is None
    assert "/bin/sh" in str(tree(facts)["etc/passwd"].content)


def test_every_mount_is_read_only_and_has_its_place(machine: Path) -> None:
    facts = host.read_facts(str(machine))
    entries = tree(facts)
    for mount in host.mounts(facts):
        assert mount.read_only
        item = entries[mount.target[1:]]
        assert (item.content is None) == (machine / mount.source[1:]).is_dir()
        parts = mount.target[1:].split("/")
        assert all("/".join(parts[:end]) in entries for end in range(1, len(parts)))


def test_nothing_secret_is_shown(machine: Path) -> None:
    sources = [mount.source for mount in host.mounts(host.read_facts(str(machine)))]
    assert not any("shadow" in source or "private" in source for source in sources)
    assert "/etc/services" not in sources, "what others may not read is not bound"
    real = [mount.source for mount in host.mounts(host.read_facts())]
    forbidden = ("/etc/shadow", "/etc/gshadow", "/etc/ssh", "/root", "/home", "/var", "/etc/ssl")
    assert not set(real) & {*forbidden, "/etc", "/", "/etc/machine-id", "/etc/sudoers"}


def test_the_same_machine_gives_the_same_bytes_a_changed_one_others(machine: Path) -> None:
    facts = host.read_facts(str(machine))
    again = host.read_facts(str(machine))
    assert skeleton.archive(host.items(facts)) == skeleton.archive(host.items(again))
    (machine / "etc/vim").mkdir()
    changed = host.items(host.read_facts(str(machine)))
    assert skeleton.digest(changed) != skeleton.digest(host.items(facts))


def test_a_skeletons_archive_holds_owners_modes_and_links(machine: Path) -> None:
    data = skeleton.archive(host.items(host.read_facts(str(machine))))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getmember("tmp").mode == 0o1777
        assert archive.getmember("root").mode == 0o700
        assert archive.getmember("home/user").uid == 1000
        assert archive.getmember("var/run").linkname == "/run"
        assert {member.mtime for member in archive} == {0}


def test_only_a_static_program_is_taken_for_busybox(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "cut").write_bytes(b"\x7fELF\x02\x01")
    assert not busybox.is_static(str(tmp_path / "script"))
    assert not busybox.is_static(str(tmp_path / "cut"))
    assert not busybox.is_static("/nonexistent")
    assert not busybox.is_static(os.path.realpath("/bin/sh"))
    assert busybox.find((str(tmp_path / "script"), "/nonexistent")) == ""


def test_the_busybox_tree_has_its_commands(tmp_path: Path) -> None:
    program = tmp_path / "busybox"
    program.write_text("#!/bin/sh\nprintf 'bin/busybox\\nbin/ls\\nusr/bin/wc\\nodd/place/x\\n'\n")
    program.chmod(0o755)
    entries = {item.path: item for item in busybox.items(str(program))}
    assert entries["bin/ls"].target == entries["usr/bin/wc"].target == "/bin/busybox"
    assert entries["bin/busybox"].content == program.read_bytes()
    assert "odd/place/x" not in entries
