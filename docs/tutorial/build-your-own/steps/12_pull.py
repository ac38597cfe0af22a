#!/usr/bin/env python3
"""Step 12: images that travel: a pull from a registry, believed only by its digests.

usage: 12_pull.py http://HOST:PORT/NAME[:TAG] STORE
"""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker.distribution.manifest."
INDEXES = {OCI + "index.v1+json", DOCKER + "list.v2+json"}
ACCEPT = ", ".join([OCI + "manifest.v1+json", DOCKER + "v2+json", *INDEXES])
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Registry:
    """One repository of a registry, read over HTTP: the OCI distribution specification."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.name, _, tag = parts.path.strip("/").partition(":")
        self.tag = tag or "latest"
        self.api = f"{parts.scheme}://{parts.netloc}/v2/{self.name}/"
        self.token = ""

    def get(self, path: str) -> bytes:
        """The body of an answer; a registry that wants a token is asked for one first."""
        request = urllib.request.Request(self.api + path, headers={"Accept": ACCEPT})
        if self.token:  # and not for whom the registry sends us on to
            request.add_unredirected_header("Authorization", "Bearer " + self.token)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 401 or self.token:
                raise
            asked = dict(re.findall(r'(\w+)="([^"]*)"', error.headers["WWW-Authenticate"]))
        realm = asked.pop("realm") + "?" + urllib.parse.urlencode(asked)
        with urllib.request.urlopen(realm, timeout=30) as answer:
            self.token = json.load(answer)["token"]
        return self.get(path)

    def blob(self, digest: str) -> bytes:
        """A blob; whatever the registry sends, it is this one or an error."""
        data = self.get("blobs/" + digest)
        if digest != "sha256:" + hashlib.sha256(data).hexdigest():
            raise OSError(5, "the registry sent something else", digest)
        return data

    def manifest(self) -> dict:
        """The manifest for this machine: directly, or the one that an index names."""
        found = json.loads(self.get("manifests/" + self.tag))
        if found.get("mediaType") in INDEXES:
            wanted = {"os": "linux", "architecture": MACHINE}
            for entry in found["manifests"]:
                if wanted.items() <= entry["platform"].items():
                    return json.loads(self.get("manifests/" + entry["digest"]))
            raise OSError(2, f"there is none for {MACHINE}", self.name)
        return found


def inside(layer: str, name: str) -> str:
    """Where a member goes; an error if links that the archive laid before lead elsewhere."""
    folder, last = os.path.split(os.path.normpath("/" + name))
    folder = os.path.realpath(layer + folder)
    if os.path.commonpath([folder, layer]) != layer:
        raise OSError(1, "leads out of the layer", name)
    return os.path.join(folder, last)


def put(tar: tarfile.TarFile, member: tarfile.TarInfo, layer: str) -> None:
    """Write one member of a layer, in the form that overlayfs understands."""
    target = inside(layer, member.name)
    folder, name = os.path.split(target)
    if name == ".wh..wh..opq":  # what lower layers have in this folder is gone
        os.setxattr(folder, "user.overlay.opaque", b"y")
    elif name.startswith(".wh."):  # what lower layers have by this name is gone
        os.mknod(f"{folder}/{name[4:]}", stat.S_IFCHR)
    elif not member.isdev():  # a box has a /dev of its own
        if os.path.islink(target) or (os.path.lexists(target) and not member.isdir()):
            os.unlink(target)  # written through, a link could lead anywhere
        if member.islnk():
            os.link(inside(layer, member.linkname), target, follow_symlinks=False)
            return
        member.name = os.path.relpath(target, layer)  # what was checked, not what was asked for
        tar.extract(member, layer, numeric_owner=True)


def unpack(data: bytes, layer: str) -> None:
    """A layer's archive as a folder for overlayfs; it is there whole or not at all."""
    part = layer + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extraction_filter = lambda member, _: member  # newer Pythons have rules of their own
        for member in tar:
            put(tar, member, os.path.realpath(part))
    os.rename(part, layer)


def pull(url: str, store: str) -> str:
    """Fetch what the store lacks of an image, note what it consists of; its name."""
    registry = Registry(url)
    manifest = registry.manifest()
    layers = []
    for about in manifest["layers"]:
        layers.append(os.path.join(store, "layers", about["digest"].replace(":", "-")))
        there = os.path.exists(layers[-1])
        print(f"{about['digest'][:19]} {'is there' if there else about['size']}")
        if not there:
            unpack(registry.blob(about["digest"]), layers[-1])
    config = json.loads(registry.blob(manifest["config"]["digest"]))["config"]
    image = {"layers": layers, "command": config.get("Cmd"), "environment": config.get("Env")}
    os.makedirs(os.path.join(store, "images"), exist_ok=True)
    name = registry.name.rpartition("/")[2]
    with open(os.path.join(store, "images", name + ".json"), "w", encoding="utf-8") as file:
        json.dump(image, file, indent=2)
    return name


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print("pulled", pull(sys.argv[1], os.path.abspath(sys.argv[2])))
    except (OSError, ValueError, KeyError, tarfile.TarError) as error:
        sys.exit(f"12_pull.py: {sys.argv[1]}: {error}")
