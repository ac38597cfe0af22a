"""Registry folders and image.json: the original format, our fields, and every way to be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxy_core.errors import ImageError
from boxy_core.image.folder import FILE, Registry, parse, read_folder, trusted
from boxy_core.models import Mount

ROOMY = settings(deadline=None, suppress_health_check=list(HealthCheck))


def write(registry: Path, name: str, content: object) -> Path:
    """An image folder with this image.json (bytes as they are, else as JSON)."""
    folder = registry / name
    folder.mkdir(parents=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / FILE).write_bytes(data)
    return folder


def names(*registries: Path) -> list[str]:
    return sorted(Registry(tuple(map(str, registries))).images())


def fault(content: object) -> str:
    """What is said of an image.json of the folder /registry/here."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(ImageError) as caught:
        parse(data, "/registry/here")
    assert caught.value.message.startswith("/registry/here/image.json")
    return caught.value.message.removeprefix("/registry/here/image.json")


# ---------------------------------------------------------------------- what is read


def test_the_original_format_works_unchanged() -> None:
    config = parse(b'{"name": "alpine", "env": {"PATH": "/bin"}, "cmd": "/bin/sh"}', "/r/alpine")
    assert (config.name, config.env, config.command) == ("alpine", {"PATH": "/bin"}, ["/bin/sh"])


@pytest.mark.parametrize(
    ("cmd", "words"),
    [
        ("/bin/sh -c 'echo a b'", ["/bin/sh", "-c", "echo a b"]),
        (["/bin/sh", "-c", "echo a b"], ["/bin/sh", "-c", "echo a b"]),
        ("", []),
        ([], []),
    ],
)
def test_a_command_is_a_list_or_split_as_by_a_shell(cmd: object, words: list[str]) -> None:
    assert parse(json.dumps({"cmd": cmd}).encode(), "/r/a").command == words


def test_a_missing_name_is_the_folders() -> None:
    assert parse(b"{}", "/registry/here").name == "here"


def test_a_digest_depends_on_what_a_box_takes_and_on_nothing_else() -> None:
    plain = parse(b'{"cmd": "/bin/sh", "env": {"A": "1", "B": "2"}}', "/r/a").digest()
    same = parse(b'{"env": {"B": "2", "A": "1"}, "cmd": ["/bin/sh"], "name": "b"}', "/r/a").digest()
    other = parse(b'{"cmd": "/bin/sh", "env": {"A": "1", "B": "3"}}', "/r/a").digest()
    assert plain == same != other


@pytest.mark.parametrize("name", ["SIGINT", "int", "INT", "2"])
def test_a_signal_may_be_named_as_people_do(name: str) -> None:
    assert parse(json.dumps({"stop_signal": name}).encode(), "/r/a").stop_signal == "SIGINT"


# ---------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{'name': 1}", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        pytest.param(b"[" * 100_000, "expected `object`", id="deep array"),
        pytest.param(b'{"labels":' * 5_000, "field `labels[...]`", id="deep object"),
        ([], "expected `object`, got `array`"),
        ({"name": 5}, "field `name`: expected `str`, got `int`"),
        ({"env": {"A": 1}}, "field `env[...]`: expected `str`, got `int`"),
        ({"env": []}, "field `env`: expected `object`, got `array`"),
        ({"cmd": [1]}, "field `cmd[0]`: expected `str`, got `int`"),
        ({"comand": "x"}, "unknown field `comand`"),
        ({"rootfs": {"uri": "x"}}, "unknown field `uri` in `rootfs`"),
        ({"name": "../up"}, "field `name`: '../up' is no image name"),
        ({"name": "a/b"}, "field `name`"),
        ({"name": ".."}, "field `name`"),
        ({"name": "a\0b"}, "field `name`"),
        pytest.param({"name": "x" * 129}, "field `name`", id="long name"),
        ({"name": "a\nb"}, "field `name`"),
        ({"env": {"A=B": "x"}}, "field `env`"),
        ({"env": {"": "x"}}, "field `env`"),
        ({"env": {"A": "x\0y"}}, "field `env`"),
        ({"cmd": "echo 'open"}, "field `cmd`: no closing quotation"),
        ({"cmd": ["a\0b"]}, "field `cmd`: a word holds NUL"),
        ({"cmd": [""]}, "field `cmd`: its first word is empty"),
        ({"entrypoint": ["", "a"]}, "field `entrypoint`"),
        ({"workdir": "here"}, "field `workdir`"),
        ({"workdir": "/a/../b"}, "field `workdir`"),
        ({"user": "a b"}, "field `user`"),
        ({"user": "a:b:c"}, "field `user`"),
        ({"labels": {"": "x"}}, "field `labels`"),
        ({"stop_signal": "SIGNOTHING"}, "field `stop_signal`: 'SIGNOTHING' is no signal"),
        pytest.param({"stop_signal": "9" * 5000}, "field `stop_signal`", id="long"),
        ({"mounts": [{"source": "usr", "target": "/usr"}]}, "field `mounts`"),
        ({"mounts": [{"source": "/", "target": "/"}]}, "field `mounts`: the target cannot be /"),
        ({"mounts": [{"source": "/a"}]}, "field `mounts[0]`"),
        ({"rootfs": "a/b.tar"}, "field `rootfs`"),
        ({"rootfs": ".."}, "field `rootfs`"),
        ({"rootfs": {"url": "file:///etc/shadow"}}, "field `rootfs.url`"),
        ({"rootfs": {"url": "ftp://x/y"}}, "field `rootfs.url`"),
        ({"rootfs": {"url": "http://x/y.tar"}}, "plain http is only used with `sha256`"),
        ({"rootfs": {"url": "https://x/"}}, "without a file name"),
        ({"rootfs": {"url": "https://x/.."}}, "without a file name"),
        ({"rootfs": {"url": "https://[x/y.tar"}}, "field `rootfs.url`"),
        ({"rootfs": {"url": "https://x:99999/y"}}, "field `rootfs.url`"),
        ({"rootfs": {"url": "https://x/y z"}}, "field `rootfs.url`"),
        ({"rootfs": {"sha256": "abc"}}, "field `rootfs.sha256`"),
        ({"rootfs": {"how": "host", "file": "x"}}, "field `rootfs.how`"),
    ],
)
def test_a_fault_is_told_with_file_and_field(content: object, said: str) -> None:
    assert said in fault(content)


def test_a_misspelt_field_gets_a_suggestion() -> None:
    with pytest.raises(ImageError) as caught:
        parse(b'{"entry_point": "x"}', "/registry/here")
    assert "did you mean `entrypoint`" in caught.value.hint


def test_mounts_are_only_honoured_where_nobody_else_can_write(tmp_path: Path) -> None:
    content = {"mounts": [{"source": "/srv", "target": "/srv", "read_only": True}]}
    folder = write(tmp_path, "a", content)
    folder.chmod(0o777)
    broken = read_folder(str(folder))
    assert "`mounts`: not honoured" in broken.problem
    assert "chown" in broken.hint
    folder.chmod(0o755)
    mounts = read_folder(str(folder)).config.mounts
    assert mounts == [Mount(source="/srv", target="/srv", read_only=True)]


def test_trust_looks_at_the_file_and_every_folder_above(tmp_path: Path) -> None:
    folder = write(tmp_path / "up", "a", {})
    assert trusted(str(folder))
    (folder / FILE).chmod(0o666)
    assert not trusted(str(folder))
    (folder / FILE).chmod(0o644)
    (tmp_path / "up").chmod(0o777)
    assert not trusted(str(folder))
    (tmp_path / "up").chmod(0o1777)
    assert trusted(str(folder))


# ---------------------------------------------------------------------- registry folders


def test_only_a_folder_with_image_json_is_an_image(tmp_path: Path) -> None:
    write(tmp_path, "yes", {})
    (tmp_path / "no").mkdir()
    (tmp_path / "file").write_text("x")
    write(tmp_path, ".hidden", {})
    assert names(tmp_path) == ["yes"]


def test_the_first_registry_folder_wins(tmp_path: Path) -> None:
    write(tmp_path / "one", "a", {"description": "first"})
    write(tmp_path / "two", "a", {"description": "second"})
    write(tmp_path / "two", "b", {})
    registry = Registry((str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "three")))
    assert sorted(registry.images()) == ["a", "b"]
    assert registry.images()["a"].config.description == "first"


def test_two_images_of_one_name_in_a_registry_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, "a", {"name": "same"})
    write(tmp_path, "b", {"name": "same"})
    images = Registry((str(tmp_path),)).images()
    assert not images["same"].problem
    assert "taken by" in images["b"].problem


def test_a_changed_image_json_is_noticed(tmp_path: Path) -> None:
    folder = write(tmp_path, "a", {"description": "old"})
    registry = Registry((str(tmp_path),))
    assert registry.images()["a"].config.description == "old"
    (folder / FILE).write_text('{"description": "newer"}')
    assert registry.images()["a"].config.description == "newer"
    (folder / FILE).unlink()
    assert registry.images() == {}


def test_one_broken_image_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, "good", {})
    write(tmp_path, "bad", b"{")
    write(tmp_path, "big", b'{"name": "' + b"x" * (1 << 20) + b'"}')
    (tmp_path / "fifo").mkdir()
    os.mkfifo(tmp_path / "fifo" / FILE)
    (tmp_path / "dir" / FILE).mkdir(parents=True)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / FILE).symlink_to(FILE)
    images = Registry((str(tmp_path),)).images()
    assert not images["good"].problem
    problems = {name: folder.problem for name, folder in images.items() if folder.problem}
    assert sorted(problems) == ["bad", "big", "dir", "fifo", "loop"]
    assert "larger than 1 MiB" in problems["big"]
    assert "not a regular file" in problems["fifo"]


def test_a_folder_whose_name_is_no_text_can_be_told(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9\x1b"
    os.mkdir(folder)
    with open(folder + b"/image.json", "wb") as file:
        file.write(b"{}")
    [image] = Registry((str(tmp_path),)).images().values()
    assert "field `name`" in image.problem
    image.problem.encode()
    image.name.encode()
    assert image.name.isprintable()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = ["name", "env", "cmd", "description", "entrypoint", "workdir", "user", "labels"]
FIELDS += ["stop_signal", "rootfs", "mounts"]


@ROOMY
@given(st.one_of(st.dictionaries(st.sampled_from(FIELDS), VALUES), VALUES))
def test_any_json_gives_a_config_or_an_image_error(content: object) -> None:
    try:
        config = parse(json.dumps(content).encode(), "/registry/here")
    except ImageError as error:
        error.message.encode()
    else:
        assert config.name
        assert all(isinstance(word, str) for word in config.command + config.entry)


@ROOMY
@given(st.binary(max_size=200))
def test_any_bytes_give_a_config_or_an_image_error(data: bytes) -> None:
    try:
        parse(data, "/registry/here")
    except ImageError as error:
        error.message.encode()


TEXT = st.text(max_size=60)


@ROOMY
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": TEXT, "cmd": TEXT, "workdir": TEXT, "user": TEXT, "stop_signal": TEXT,
            "env": st.dictionaries(TEXT, TEXT, max_size=2),
            "rootfs": TEXT | st.fixed_dictionaries(
                {}, optional={"url": TEXT | TEXT.map("https://".__add__), "file": TEXT,
                              "sha256": TEXT, "how": TEXT}
            ),
        },
    )
)  # fmt: skip
def test_any_text_in_the_right_places_is_safe_or_refused(content: dict[str, object]) -> None:
    try:
        config = parse(json.dumps(content).encode(), "/registry/here")
    except ImageError:
        return
    assert "/" not in config.name
    assert config.name not in (".", "..")
    assert "/" not in config.origin.file
    assert "\0" not in "".join([config.name, config.workdir, config.user, *config.command])
