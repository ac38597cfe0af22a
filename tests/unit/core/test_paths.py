"""Every path can be moved by an argument or a variable, and nothing escapes its root."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxy_core import paths as paths_module
from boxy_core.paths import Paths, client_paths, default_paths, shipped_registry

IDENTITY = "0123456789abcdef" * 4


@pytest.mark.parametrize("name", ["root", "run", "socket", "cgroup"])
def test_an_argument_wins_over_the_environment_and_that_over_the_default(name: str) -> None:
    variable = "BOXY_" + name.upper()
    default = getattr(default_paths(env={}), name)
    moved = getattr(default_paths(env={variable: "/moved/there"}), name)
    given = getattr(default_paths(env={variable: "/moved/there"}, **{name: "/given"}), name)
    assert moved.strip("/") == "moved/there"
    assert given.strip("/") == "given"
    assert default not in (moved, given)


def test_the_socket_moves_with_the_run_folder() -> None:
    assert default_paths(run="/r", env={}).socket == "/r/boxyd.sock"


def test_registry_folders_are_colon_separated_and_end_with_the_shipped_one() -> None:
    paths = default_paths(env={"BOXY_REGISTRY_PATH": "/a::/b"})
    assert paths.registry == ("/a", "/b", shipped_registry())
    again = default_paths(registry=f"{shipped_registry()}:/a", env={})
    assert again.registry == (shipped_registry(), "/a")


def test_paths_are_absolute_and_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = Paths("data", "run", "sock", ("reg",), "/boxy/")
    assert paths.root == str(tmp_path / "data")
    assert paths.registry == (str(tmp_path / "reg"),)
    assert paths.cgroup == "boxy"
    with pytest.raises(AttributeError):
        paths.root = "/"


def test_a_box_is_named_by_twelve_digits_so_that_its_socket_fits_sun_path() -> None:
    paths = default_paths(env={})
    assert paths.box(IDENTITY).endswith("/boxes/0123456789ab")
    assert paths.box_cgroup(IDENTITY) == "boxy/0123456789ab"
    assert len(paths.shim_socket(IDENTITY)) < 108


def test_without_root_the_folders_are_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxy_core.paths.geteuid", lambda: 1000)
    paths = default_paths(env={"HOME": "/home/ann"})
    assert paths.root == "/home/ann/.local/share/boxy"
    assert paths.run == "/run/user/1000/boxy"
    moved = default_paths(env={"XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": "/x"})
    assert (moved.root, moved.run) == ("/d/boxy", "/x/boxy")


def test_a_user_without_a_daemon_of_his_own_means_roots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = tmp_path / "system.sock"
    monkeypatch.setattr(paths_module, "SYSTEM_SOCKET", str(system))
    monkeypatch.setattr("boxy_core.paths.geteuid", lambda: 1000)
    env = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    own = f"{tmp_path}/run/boxy/boxyd.sock"
    assert client_paths(env=env).socket == own
    system.touch()
    assert client_paths(env=env).socket == str(system)
    assert client_paths(env={**env, "BOXY_RUN": "/r"}).socket == "/r/boxyd.sock"
    Path(own).parent.mkdir(parents=True)
    Path(own).touch()
    assert client_paths(env=env).socket == own
