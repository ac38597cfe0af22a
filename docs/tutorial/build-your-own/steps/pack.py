#!/usr/bin/env python3
"""pack.py REGISTRY NAME FOLDER...: make an image; each FOLDER is a layer, the lowest first.

The result is a folder of plain files which any web server can serve as a registry, for pulls.
A FOLDER may be the `upper` of a box: what it removed is removed in the image.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import stat
import sys
import tarfile
from pathlib import Path

OCI = "application/vnd.oci.image."
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
CONFIG = {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root"]}


def digest(data: bytes) -> str:
    """What a blob is called: a name that only this content can have."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def archive(folder: Path) -> bytes:
    """A folder as a layer's tar archive; overlayfs's marks become those of the OCI."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            name, facts = path.relative_to(folder), path.lstat()
            if stat.S_ISCHR(facts.st_mode) and facts.st_rdev == 0:  # removed
                tar.addfile(tarfile.TarInfo(f"{name.parent}/.wh.{name.name}"))
                continue
            tar.add(path, str(name), recursive=False)
            if "user.overlay.opaque" in os.listxattr(path, follow_symlinks=False):  # emptied
                tar.addfile(tarfile.TarInfo(f"{name}/.wh..wh..opq"))
    return buffer.getvalue()


def pack(registry: Path, name: str, folders: list[Path]) -> None:
    """Write an image: blobs under their digests, and the manifest that names them."""
    blobs, manifests = (registry / "v2" / name / kind for kind in ("blobs", "manifests"))
    blobs.mkdir(parents=True, exist_ok=True)
    manifests.mkdir(exist_ok=True)

    def put(kind: str, data: bytes) -> dict[str, object]:
        (blobs / digest(data)).write_bytes(data)
        return {"mediaType": OCI + kind, "digest": digest(data), "size": len(data)}

    archives = [archive(folder) for folder in folders]
    layers = [put("layer.v1.tar+gzip", gzip.compress(data, 1, mtime=0)) for data in archives]
    rootfs = {"type": "layers", "diff_ids": [digest(data) for data in archives]}
    config = {"os": "linux", "architecture": MACHINE, "config": CONFIG, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": put("config.v1+json", json.dumps(config).encode()),
        "layers": layers,
    }
    (manifests / "latest").write_text(json.dumps(manifest, indent=2))
    print(f"packed {name}: {len(layers)} layers")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    pack(Path(sys.argv[1]), sys.argv[2], [Path(folder) for folder in sys.argv[3:]])
