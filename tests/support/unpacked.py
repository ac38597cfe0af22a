"""A daemon's root in which the image `alpine` is unpacked, for other daemons to be given.

python -m tests.support.unpacked FOLDER     makes FOLDER/root, for a machine that is slow at it
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support import images, leaks
from tests.support.daemon import Daemon


def unpack(folder: Path, registry: Path) -> Path:
    """Have a daemon unpack `alpine` of a registry folder below `folder`; its root."""
    tag = f"test-{secrets.token_hex(4)}"
    daemon = Daemon(folder, f"boxy/{tag}", [registry])
    daemon.start()
    try:
        daemon.run("pull", "alpine")
    finally:
        daemon.close()
        leaks.remove_cgroup_root(tag)
    return folder / "root"


def give_images(daemon: Daemon, unpacked: Path) -> None:
    """Have a daemon that is not yet started own what another one has unpacked."""
    root = Path(daemon.env["BOXY_ROOT"])
    root.mkdir()
    for part in ("images", "layers"):
        subprocess.run(["cp", "-a", unpacked / part, root], check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bx-registry-") as place:
        made = images.make_registry(Path(place))
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        unpack(Path(sys.argv[1]), made.folder)
