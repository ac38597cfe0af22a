"""What `make run` finds, what it does about it, what it says."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from boxy_cli import prerequisites, up
from boxy_core.errors import Denied, NotFound, Unsupported
from boxy_core.paths import Paths

NOBODY = prerequisites.Host(
    uid=1000, capabilities=0, kernel="6.1", filesystems="", mounts="", user_namespaces=1
)
ROOT_ON_AN_OLD_KERNEL = prerequisites.Host(
    uid=0,
    capabilities=1 << 21,
    kernel="5.15.0",
    filesystems="nodev\toverlay\n",
    mounts="cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
    user_namespaces=1,
)


class Boxes:
    """A client whose daemon holds these boxes and knows these images."""

    def __init__(self, *boxes: dict[str, Any], images: tuple[str, ...] = ("host",)) -> None:
        self.boxes = list(boxes)
        self.images = images

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        if (method, path) == ("GET", "/boxes"):
            return self.boxes
        if (method, path) == ("POST", "/boxes"):
            spec = arguments["body"]
            if spec["image"] not in self.images:
                raise NotFound(f"no image {spec['image']}")
            self.boxes.append({"image": spec["image"], "name": spec["name"], "status": "created"})
            return self.boxes[-1]
        name = path.removeprefix("/boxes/").removesuffix("/start")
        (box,) = (box for box in self.boxes if box["name"] == name)
        box["status"] = "running"
        return box

    def ensure(self) -> list[tuple[str, str]]:
        up.ensure_box(self)  # type: ignore[arg-type]
        return [(box["name"], box["status"]) for box in self.boxes]


def _box(name: str, status: str, image: str = "host") -> dict[str, Any]:
    return {"name": name, "status": status, "image": image}


@pytest.fixture
def paths() -> Iterator[Paths]:
    with tempfile.TemporaryDirectory(prefix="bx-") as short:  # sun_path holds 108 bytes
        yield Paths(short, short, short + "/s", (), "boxy")


def test_a_newcomer_gets_a_running_box() -> None:
    assert Boxes().ensure() == [("welcome", "running")]


@pytest.mark.parametrize("status", ["running", "paused", "starting"])
def test_a_box_of_the_users_own_on_host_is_enough(status: str) -> None:
    assert Boxes(_box("mine", status)).ensure() == [("mine", status)]


def test_boxes_on_other_images_are_not_what_a_newcomer_needs() -> None:
    boxes = Boxes(_box("db", "running", image="alpine"))
    assert boxes.ensure() == [("db", "running"), ("welcome", "running")]


@pytest.mark.parametrize("status", ["exited", "created", "lost"])
def test_our_box_is_started_again_rather_than_made_twice(status: str) -> None:
    assert Boxes(_box("welcome", status)).ensure() == [("welcome", "running")]


def test_a_stranger_that_bears_our_boxs_name_is_left_alone() -> None:
    boxes = Boxes(_box("welcome", "exited", image="alpine"))
    assert boxes.ensure() == [("welcome", "exited")]


def test_a_missing_host_image_does_not_keep_the_console_shut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert Boxes(images=()).ensure() == []
    assert "`host`" in capsys.readouterr().err


def test_check_tells_who_is_not_root_to_use_sudo(
    monkeypatch: pytest.MonkeyPatch, paths: Paths
) -> None:
    monkeypatch.setattr(prerequisites.Host, "read", lambda: NOBODY)
    with pytest.raises(Unsupported, match=r"sudo (env .*)?make run"):
        up.check(paths)


def test_check_lets_anybody_in_who_may_use_a_running_daemon(
    monkeypatch: pytest.MonkeyPatch, paths: Paths
) -> None:
    monkeypatch.setattr(prerequisites.Host, "read", lambda: NOBODY)
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(paths.socket)
        daemon.listen()
        up.check(paths)


def test_a_socket_that_a_dead_daemon_left_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, paths: Paths
) -> None:
    monkeypatch.setattr(prerequisites.Host, "read", lambda: NOBODY)
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(paths.socket)
    with pytest.raises(Unsupported, match=r"sudo (env .*)?make run"):
        up.check(paths)


def test_check_only_warns_where_boxes_work_less_well(
    monkeypatch: pytest.MonkeyPatch, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prerequisites.Host, "read", lambda: ROOT_ON_AN_OLD_KERNEL)
    up.check(paths)
    assert "5.19" in capsys.readouterr().err


def test_a_known_failure_is_one_sentence_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Paths) -> None:
        raise Denied("you may not use this socket", hint="join the group boxy")

    monkeypatch.setattr(up, "bring_up", refuse)
    assert up.main([]) == 1
    assert capsys.readouterr().err == (
        "boxy: you may not use this socket\n  hint: join the group boxy\n"
    )


def test_an_unknown_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert up.main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_without_a_terminal_the_console_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("the console was opened")

    monkeypatch.setattr("os.execv", forbidden)
    up.open_console()
    assert "boxy ps" in capsys.readouterr().out
