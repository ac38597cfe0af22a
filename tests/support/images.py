"""Registry folders for tests, made from a real root file system archive.

The archive is looked for in BOXY_TEST_ALPINE, then beside the checkout in
../shared/images. Without one a small busybox image takes its place: enough for every test
that needs a shell and the usual tools; tests of Alpine itself ask `genuine` first.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ARCHIVE_PATTERN = "alpine-minirootfs-*.tar.gz"


@dataclass(frozen=True)
class AlpineRegistry:
    """A registry folder that holds the image `alpine`."""

    folder: Path
    genuine: bool  # a real Alpine, not the busybox stand-in

    @property
    def archive(self) -> Path:
        """The image's root file system."""
        return self.folder / "alpine" / "rootfs.tar.gz"


def find_archive() -> Path | None:
    """A real Alpine root file system on this machine, or None."""
    named = os.environ.get("BOXY_TEST_ALPINE")
    if named:
        return Path(named)
    return max((REPOSITORY.parent / "shared" / "images").glob(ARCHIVE_PATTERN), default=None)


def make_registry(folder: Path) -> AlpineRegistry:
    """Write a registry with `alpine` into `folder`.

    Raises:
        LookupError: neither an Alpine archive nor a static busybox can be had; says how to.
    """
    image = folder / "alpine"
    image.mkdir(parents=True)
    archive = find_archive()
    if archive is not None:
        shutil.copyfile(archive, image / "rootfs.tar.gz")
    else:
        with tempfile.TemporaryDirectory(prefix="bx-busybox-") as scratch:
            _write_busybox_root(_static_busybox(Path(scratch)), image / "rootfs.tar.gz")
    write_image(image, cmd=["/bin/sh"])
    return AlpineRegistry(folder, genuine=archive is not None)


def write_image(image: Path, *, cmd: str | list[str], env: dict[str, str] | None = None) -> None:
    """Write the image.json of the image folder `image`."""
    image.mkdir(parents=True, exist_ok=True)
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config = {"name": image.name, "env": {"PATH": path, **(env or {})}, "cmd": cmd}
    (image / "image.json").write_text(json.dumps(config, indent=2) + "\n")


def _static_busybox(scratch: Path) -> Path:
    """A statically linked busybox: the machine's own, or Debian's, unpacked in `scratch`."""
    for name in ("/bin/busybox", "/usr/bin/busybox"):
        if Path(name).exists() and b"NEEDED" not in _dynamic_section(name):
            return Path(name)
    return _downloaded_busybox(scratch)


def _downloaded_busybox(scratch: Path) -> Path:
    try:
        subprocess.run(["apt-get", "-qq", "download", "busybox-static"], cwd=scratch, check=True)
        package = next(scratch.glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, scratch], check=True)
        return next(path for path in scratch.glob("**/bin/busybox") if path.is_file())
    except (OSError, subprocess.CalledProcessError, StopIteration) as error:
        raise LookupError(
            "No root file system for test boxes: set BOXY_TEST_ALPINE to an "
            f"{ARCHIVE_PATTERN}, or say: apt install busybox-static."
        ) from error


def _dynamic_section(program: str) -> bytes:
    """What the loader would have to find; `NEEDED` lines in it mean a dynamic program."""
    try:
        return subprocess.run(["objdump", "-p", program], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pass
    listing = subprocess.run(["ldd", program], capture_output=True, check=False)
    return b"NEEDED" if listing.returncode == 0 else b""


def _write_busybox_root(busybox: Path, archive: Path) -> None:
    """Write a root file system of busybox and links to it."""
    applets = subprocess.run([busybox, "--list-full"], capture_output=True, check=True, text=True)
    etc = {
        "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        "group": "root:x:0:\nnobody:x:65534:\n",
        "os-release": "ID=busybox\nNAME=busybox\n",
    }
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "root", "proc", "sys", "dev"):
            _add(tar, name, tarfile.DIRTYPE, mode=0o755)
        _add(tar, "tmp", tarfile.DIRTYPE, mode=0o1777)
        _add(tar, "bin/busybox", tarfile.REGTYPE, mode=0o755, content=busybox.read_bytes())
        for name, text in etc.items():
            _add(tar, f"etc/{name}", tarfile.REGTYPE, mode=0o644, content=text.encode())
        for applet in set(applets.stdout.split()) - {"bin/busybox"}:
            _add(tar, applet, tarfile.SYMTYPE, mode=0o777, link="/bin/busybox")


def _add(
    tar: tarfile.TarFile, name: str, kind: bytes, *, mode: int, content: bytes = b"", link: str = ""
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = kind, mode, link, len(content)
    tar.addfile(entry, io.BytesIO(content))
