"""resolv.conf, hosts, and the part of it that is kept up to date."""

from __future__ import annotations

from pathlib import Path

from boxyd.network import files
from boxyd.network.dns import Resolvers


def test_a_hosts_file_has_the_box_itself_what_was_asked_for_and_the_others() -> None:
    others = files.block([("10.64.0.3", ("db", "sql"))])
    text = files.hosts({"10.64.0.2": ["web"]}, [("me", "10.64.0.1")], others)
    assert text.splitlines()[2:] == [
        "10.64.0.2\tweb", "10.64.0.1\tme", files.BEGIN, "10.64.0.3\tdb sql", files.END,
    ]  # fmt: skip


def test_only_the_part_between_the_marks_is_replaced() -> None:
    block = files.block([("10.64.0.3", ("db",))])
    text = files.hosts({}, [], files.block([])) + "1.2.3.4\tmine\n"
    merged = files.merged(text, block)
    assert merged.endswith("1.2.3.4\tmine\n")
    assert merged.count(files.BEGIN) == 1
    assert "db" in merged
    assert files.merged(merged, block) == merged


def test_a_box_that_removed_the_marks_gets_them_again_and_loses_nothing() -> None:
    merged = files.merged("1.2.3.4\tmine", files.block([]))
    assert merged.startswith("1.2.3.4\tmine\n" + files.BEGIN)


def test_the_file_is_rewritten_in_place_and_a_huge_one_is_left(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("x\n" * 50 + files.block([("10.64.0.9", ("gone", "away"))]))
    inode = path.stat().st_ino
    files.rewrite(str(path), lambda text: files.merged(text, files.block([])))
    assert path.read_text() == "x\n" * 50 + files.block([])
    assert path.stat().st_ino == inode
    path.write_text("x" * (files.LARGEST + 1))
    files.rewrite(str(path), lambda text: files.merged(text, files.block([])))
    assert path.stat().st_size == files.LARGEST + 1


def test_resolv_conf() -> None:
    assert files.resolv_conf(["10.64.0.1"], ["lan"], ["ndots:2"]) == (
        "nameserver 10.64.0.1\nsearch lan\noptions ndots:2\n"
    )
    assert files.resolv_conf([], []).startswith("#")


def test_the_hosts_resolvers_are_read_anew_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    own = Resolvers(str(path))
    assert own.refresh().servers == []
    path.write_text("# c\nnameserver 192.0.2.53\nsearch a b\nnameserver\n\xff\n")
    assert own.refresh().servers == ["192.0.2.53"]
    assert own.search == ["a", "b"]
    path.unlink()
    assert own.refresh().servers == []


def test_a_box_on_other_networks_has_other_lines_of_its_own_and_keeps_what_it_wrote() -> None:
    others = files.block([("10.64.0.3", ("db",))])
    before = files.hosts({"10.64.0.2": ["web"]}, [("me", "10.64.0.1")], others)
    after = files.hosts({"10.64.0.2": ["web"], "10.9.0.5": ["web"]}, [("me", "10.9.0.1")], others)
    mine = "1.2.3.4\tmine\n" + before + "# the end\n"
    changed = files.exchanged(mine, before, after)
    assert changed.splitlines() == [
        "1.2.3.4\tmine", *files.LOCAL.splitlines(), "10.64.0.2\tweb", "10.9.0.5\tweb",
        "10.9.0.1\tme", files.BEGIN, "10.64.0.3\tdb", files.END, "# the end",
    ]  # fmt: skip
    back = files.exchanged(changed, after, before)
    assert sorted(back.splitlines()) == sorted(mine.splitlines())
    assert files.exchanged("", before, before) == ""
