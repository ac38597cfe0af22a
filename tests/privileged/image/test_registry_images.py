"""Images from a registry, as a user has them: a real registry, a real daemon, real boxes."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Workspace
from tests.support.daemon import Daemon
from tests.support.images import AlpineRegistry
from tests.support.registry import OciImage, RegistryServer, digest, layer, oci_image

SHELL = ["/bin/sh", "-c"]


@pytest.fixture
def registry(workspace: Workspace) -> Iterator[RegistryServer]:
    with RegistryServer(workspace.folder / "registry") as server:
        yield server


@pytest.fixture
def image(alpine_registry: AlpineRegistry) -> OciImage:
    """Alpine with a layer above it that adds, replaces and takes away, and an empty one twice."""
    above = layer({"etc/added": b"here\n", "etc/.wh.motd": b"", "media/.wh..wh..opq": b""})
    empty = layer({})
    settings = {
        "Env": ["PATH=/bin:/usr/bin", "WHO=image"], "Entrypoint": SHELL,
        "Cmd": ["echo $WHO in $PWD as $(id -u); cat /etc/added; ls -A /media; ls /etc/motd"],
        "WorkingDir": "/srv", "User": "1000", "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}},
    }  # fmt: skip
    base = alpine_registry.archive.read_bytes()
    return oci_image([base, empty, above, empty], settings)


def test_an_image_is_pulled_run_tagged_pushed_and_removed(
    registry: RegistryServer, daemon: Daemon, image: OciImage
) -> None:
    before = _files(daemon, "layers", "sha256-")
    registry.push("team/app", "1", image)
    name = f"{registry.host}/team/app:1"

    # run fetches what is not here; layers hide, add and take away as they should
    done = daemon.boxy("run", "--rm", name)
    assert done.stdout.splitlines() == ["image in /srv as 1000", "here"]
    assert "/etc/motd: No such file" in done.stderr
    told = json.loads(daemon.boxy("inspect", name).stdout)[0]
    assert (told["digest"], told["labels"]) == (image.digest, {"a": "b"})
    assert told["ports"] == ["80/tcp"]

    # what is pushed again is what was pulled, and a layer that is there is not sent
    pushed = daemon.boxy("push", name, f"{registry.host}/other/app:2").stdout.strip()
    assert pushed == f"{registry.host}/other/app:2@{image.digest}"
    assert daemon.boxy("registry", "tags", f"{registry.host}/other/app").stdout == "2\n"
    listed = daemon.boxy("registry", "tags", "-l", f"{registry.host}/other/app").stdout
    assert listed.splitlines()[1].split()[0::3] == ["2", "linux/amd64"]
    daemon.boxy("tag", name, "mine:1")
    assert daemon.boxy("pull", "-q", name).stdout.strip() == name

    # an image in use is not removed, and it is said by whom; a second name may go
    daemon.boxy("run", "-d", "--name", "user", name, "sleep 60")
    daemon.boxy("rmi", "mine:1")
    refused = daemon.boxy("rmi", name)
    assert refused.returncode == 1
    assert "in use by user" in refused.stderr
    daemon.boxy("rm", "-f", "user")
    assert daemon.boxy("rmi", name).stdout.strip() == name
    assert _files(daemon, "layers", "sha256-") == before
    assert _files(daemon, "images/blobs", "") == []

    daemon.boxy("registry", "rm", f"{registry.host}/other/app:2")
    gone = daemon.boxy("pull", f"{registry.host}/other/app:2")
    assert "there is no image" in gone.stderr


def test_an_archive_goes_out_and_comes_in_again(
    registry: RegistryServer, daemon: Daemon, image: OciImage, workspace: Workspace
) -> None:
    registry.push("app", "1", image)
    name, file = f"{registry.host}/app:1", workspace.folder / "images.tar"
    daemon.boxy("pull", name)
    daemon.boxy("save", "-o", str(file), name, "alpine")
    with tarfile.open(file) as archive:
        names = archive.getnames()
        assert len(names) == len(set(names))
        listed = archive.extractfile("manifest.json")
        assert listed is not None
        assert [one["RepoTags"] for one in json.load(listed)] == [[name], ["alpine:latest"]]
    daemon.boxy("rmi", name)
    packed = subprocess.run(["gzip", "-c", file], capture_output=True, check=True).stdout
    (workspace.folder / "packed.tar.gz").write_bytes(packed)
    for source in (file, workspace.folder / "packed.tar.gz"):
        loaded = daemon.boxy("load", "-i", str(source)).stdout.split()
        assert loaded == [name, "alpine:latest"]
        told = json.loads(daemon.boxy("inspect", name).stdout)[0]
        assert told["digest"] == image.digest
        daemon.boxy("images", "-a", "prune")
    bad = workspace.folder / "bad.tar"
    bad.write_bytes(file.read_bytes().replace(b'"Config"', b'"Konfig"')[:200_000])
    refused = daemon.boxy("load", "-i", str(bad))
    assert refused.returncode == 1
    assert "the archive" in refused.stderr
    assert not [one for one in _files(daemon, "images/blobs", "") if one.startswith("tmp-")]


def test_a_layer_that_lies_about_itself_is_refused_and_nothing_bears_its_name(
    registry: RegistryServer, daemon: Daemon
) -> None:
    good, evil = layer({"bin/sh": b"good"}), layer({"bin/sh": b"evil"})
    told = oci_image([good]).config
    honest = oci_image([evil])
    manifest = honest.manifest.replace(digest(honest.config).encode(), digest(told).encode())
    was, is_now = (f'"size": {len(one)}'.encode() for one in (honest.config, told))
    liar = OciImage(told, [evil], manifest.replace(was, is_now))
    registry.push("liar", "1", liar)
    refused = daemon.boxy("pull", f"{registry.host}/liar:1")
    assert "not what its configuration says" in refused.stderr
    assert registry.host not in daemon.boxy("images", "-q").stdout


def test_what_an_image_is_for_and_what_a_name_means_are_said_clearly(
    registry: RegistryServer, new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry
) -> None:
    daemon = new_daemon(alpine_registry.folder)
    daemon.start()
    registry.push("foreign", "latest", oci_image([layer({"a": b""})], architecture="s390x"))
    refused = daemon.boxy("run", "--rm", f"{registry.host}/foreign")
    assert refused.returncode == 125
    assert "it is for s390x, this machine is" in refused.stderr
    unknown = daemon.boxy("run", "--rm", "web")
    assert "does not say which registry has it" in unknown.stderr
    assert "--default-registry" in unknown.stderr
    assert "no image 'web'" in daemon.boxy("push", "web").stderr
    aimless = daemon.boxy("push", "alpine:latest")
    assert "image 'alpine:latest' is here, but" in aimless.stderr
    assert "boxy push alpine:latest HOST/alpine:latest" in aimless.stderr
    daemon.stop()

    registry.push("alpine", "latest", oci_image([layer({"a": b""})]))
    registry.push("web", "latest", oci_image([alpine_registry.archive.read_bytes()]))
    daemon.start("--default-registry", registry.host)
    assert daemon.boxy("run", "--rm", "web", "/bin/echo", "from there").stdout == "from there\n"
    # the folder's image wins over the registry's of the same name
    assert daemon.boxy("run", "--rm", "alpine", "/bin/echo", "ours").stdout == "ours\n"
    assert f"{registry.host}/web:latest" in daemon.boxy("images", "-q").stdout


def _files(daemon: Daemon, folder: str, prefix: str) -> list[str]:
    path = Path(daemon.paths.root, folder)
    return [name for name in sorted(os.listdir(path)) if name.startswith(prefix)]
