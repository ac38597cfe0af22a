"""Registry folders: which images there are, and what their image.json says.

A sub-folder of a registry folder is an image if, and only if, it holds image.json. The format
is `name`, `env`, `cmd`, and optional fields of ours: docs/reference/image-json.md.

Constraint: an image.json may be anybody's. It is read bounded, from regular files only, and
strictly: what is wrong gives an ImageError that names file and field, and never stops the
other images from being listed. Pure reading: nothing is unpacked or written here.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import platform
import re
import shlex
import signal
import stat
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from boxy_core.errors import ImageError
from boxy_core.models import Mount

FILE = "image.json"
MAX_BYTES = 1 << 20
MADE_HERE = ("host", "busybox")
"""values of `rootfs.how` that name code of ours; any other is a command to show"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FILE_NAME = re.compile(r"[^/\0]{1,255}")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_PORT = re.compile(r"[0-9]{1,5}(/(tcp|udp))?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.$-]{0,31}(:[A-Za-z0-9_][A-Za-z0-9_.$-]{0,31})?")
_AT = re.compile(r" - at `\$\.?(.*)`$")
_DOCS = "docs/reference/image-json.md describes every field"
_UNTRUSTED = 0o022  # writable by group or others


class RootFs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the root file system comes from, when no archive lies beside image.json."""

    file: str = ""
    """name of the archive, or of a folder; "": the last part of `url`, or what is found"""
    url: str = ""
    sha256: str = ""
    """of the archive, 64 hexadecimal digits"""
    how: str = ""
    """"host", "busybox", or a command that makes the archive, shown to the user, never run"""
    arch: str = ""
    """as `uname -m` says it; "": any"""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An image.json, checked and put in order."""

    name: str = ""
    env: dict[str, str] = {}
    cmd: str | list[str] = []
    description: str = ""
    entrypoint: str | list[str] = []
    workdir: str = "/"
    user: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = "SIGTERM"
    ports: list[str] = []
    rootfs: str | RootFs = ""
    mounts: list[Mount] = []

    @property
    def origin(self) -> RootFs:
        """`rootfs`, whichever way it was written."""
        return RootFs(file=self.rootfs) if isinstance(self.rootfs, str) else self.rootfs

    @property
    def command(self) -> list[str]:
        """`cmd` as a list."""
        return shlex.split(self.cmd) if isinstance(self.cmd, str) else self.cmd

    @property
    def entry(self) -> list[str]:
        """`entrypoint` as a list."""
        if isinstance(self.entrypoint, str):
            return shlex.split(self.entrypoint)
        return self.entrypoint

    def digest(self) -> bytes:
        """A hash of what a box takes from it (not of where the files come from)."""
        parts: list[object] = [self.env, self.command, self.entry, self.workdir, self.user]
        parts += [self.labels, self.stop_signal, self.mounts]
        parts += [self.ports] if self.ports else []  # images without keep the id they had
        return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).digest()


class Folder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image folder; `problem` says why it cannot be used ("": it can)."""

    path: str
    name: str
    config: Config = Config()
    problem: str = ""
    hint: str = ""


Stamp = tuple[int, int, int, int]
"""mtime_ns, size, inode, device: what changes when a file does"""


def stamp(found: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


class Registry:
    """The image folders on a search path of registry folders; the first of a name wins."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self._known: dict[str, tuple[Stamp, Folder]] = {}

    def images(self) -> dict[str, Folder]:
        """All images by name, as they are now. A folder that cannot be read holds none."""
        found: dict[str, Folder] = {}
        for registry in self.folders:
            here: dict[str, Folder] = {}
            for path in _sub_folders(registry):
                folder = self._read(path)
                if folder is not None:
                    _place(folder, here)
            found = here | found
        return found

    def _read(self, path: str) -> Folder | None:
        """The image folder `path`; None if it is none. Read anew only when it has changed."""
        file = f"{path}/{FILE}"
        try:
            now = stamp(os.stat(file))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return _broken(
                path,
                ImageError(
                    f"{file}: {error.strerror}",
                    hint="the daemon's root must be able to read it as a plain file",
                ),
            )
        known = self._known.get(path)
        if known is not None and known[0] == now:
            return known[1]
        folder = read_folder(path)
        self._known[path] = (now, folder)
        return folder


def _sub_folders(registry: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(registry))
    except OSError:
        return
    for name in names:
        if not name.startswith("."):
            yield f"{registry}/{name}"


def _place(folder: Folder, here: dict[str, Folder]) -> None:
    """Put a folder under its name; of two with one name in a registry, the later is broken."""
    other = here.get(folder.name)
    if other is None:
        here[folder.name] = folder
        return
    sentence = f"{folder.path}/{FILE}: the name {folder.name!r} is taken by {other.path}"
    base = os.path.basename(folder.path)
    key = base if base not in here else folder.path
    error = ImageError(sentence, hint="give one of the two another `name`")
    here[key] = _broken(folder.path, error)


def _broken(path: str, error: ImageError) -> Folder:
    name = os.path.basename(path)
    # A folder's name is shown, so what could upset a terminal or a JSON encoder is escaped.
    name = name if name.isprintable() else name.encode("utf-8", "surrogateescape").hex()
    problem = error.message.encode("utf-8", "backslashreplace").decode()
    return Folder(path=path, name=name, problem=problem, hint=error.hint)


def read_folder(path: str) -> Folder:
    """The image folder `path`, which holds image.json; what is wrong is told in `problem`."""
    try:
        config = parse(_read_file(f"{path}/{FILE}"), path)
    except ImageError as error:
        return _broken(path, error)
    return Folder(path=path, name=config.name, config=config)


def _read_file(file: str) -> bytes:
    """The bytes of image.json. O_NONBLOCK: a FIFO of that name must not hold the daemon."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ImageError(
            f"{file} cannot be read: {error.strerror}",
            hint="the daemon's root must be able to read it as a plain file",
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ImageError(
                f"{file} is not a regular file",
                hint="the daemon's root must be able to read it as a plain file",
            )
        data = b""
        while len(data) <= MAX_BYTES and (more := os.read(fd, MAX_BYTES + 1 - len(data))):
            data += more
    except OSError as error:
        raise ImageError(
            f"{file} cannot be read: {error.strerror}",
            hint="the daemon's root must be able to read it as a plain file",
        ) from None
    finally:
        os.close(fd)
    if len(data) > MAX_BYTES:
        raise ImageError(
            f"{file} is larger than {MAX_BYTES >> 20} MiB",
            hint="image.json describes the image; files belong into its root file system",
        )
    return data


def parse(data: bytes, path: str) -> Config:
    """The checked content of the image.json of the image folder `path`.

    Raises:
        ImageError: naming file, field and fault.
    """
    file = f"{path}/{FILE}"
    try:
        config = msgspec.json.decode(data, type=Config)
    except msgspec.ValidationError as error:
        raise _wrong_shape(file, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ImageError(f"{file} is not JSON: {text}", hint=_DOCS) from None
    base = os.path.basename(path)
    try:
        _check(config, base)
    except ValueError as error:
        field, _, fault = str(error).partition(": ")
        raise ImageError(f"{file}: field `{field}`: {fault}", hint=_DOCS) from None
    if config.mounts and not trusted(path):
        place = shlex.quote(path)
        raise ImageError(
            f"{file}: field `mounts`: not honoured, since others than root may write here",
            hint=f"sudo chown -R root: {place} && sudo chmod -R go-w {place}",
        )
    config = msgspec.structs.replace(config, name=config.name or base)
    return msgspec.structs.replace(config, stop_signal=_signal(config.stop_signal))


def _wrong_shape(file: str, text: str) -> ImageError:
    """msgspec's sentence, with the field in front."""
    unknown = re.match(r"Object contains unknown field `(.*?)`", text, re.DOTALL)
    at = _AT.search(text)
    where = at.group(1) if at else ""
    if unknown:
        field = unknown.group(1)
        fields = RootFs.__struct_fields__ if where == "rootfs" else Config.__struct_fields__
        close = difflib.get_close_matches(field, fields, 1)
        hint = f"did you mean `{close[0]}`? " if close else ""
        inside = f" in `{where}`" if where else ""
        shown = field[:80].encode("unicode_escape").decode()
        return ImageError(f"{file}: unknown field `{shown}`{inside}", hint=hint + _DOCS)
    fault = _AT.sub("", text)
    fault = fault[:1].lower() + fault[1:]
    prefix = f"field `{where}`: " if where else ""
    return ImageError(f"{file}: {prefix}{fault}", hint=_DOCS)


def _check(config: Config, base: str) -> None:
    """Raise ValueError("field: fault") for what types cannot say."""
    name = config.name or base
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name: {_shown(name)} is no image name: letters, digits, '.', '_', '-', "
            "beginning with a letter or digit, at most 128"
        )
    for key, value in config.env.items():
        if not key or "=" in key or "\0" in key + value:
            raise ValueError(f"env: {_shown(key)} is no variable, or its value holds NUL")
    for field in ("cmd", "entrypoint"):
        _check_command(field, getattr(config, field))
    _check_path("workdir", config.workdir)
    if config.user and not _USER.fullmatch(config.user):
        raise ValueError(f"user: {_shown(config.user)} is no `user` or `user:group`")
    for key, value in config.labels.items():
        if not key or "\0" in key + value:
            raise ValueError(f"labels: {_shown(key)} is empty or holds NUL")
    if "\0" in config.description:
        raise ValueError("description: it holds NUL")
    _signal(config.stop_signal)
    _check_ports(config.ports)
    for mount in config.mounts:
        _check_path("mounts", mount.source)
        _check_path("mounts", mount.target)
        if os.path.normpath(mount.target) == "/":
            raise ValueError("mounts: the target cannot be /")
    _check_origin(config.origin)


def _check_ports(ports: list[str]) -> None:
    for port in ports:
        if not _PORT.fullmatch(port) or not 1 <= int(port.partition("/")[0]) <= 65535:
            raise ValueError(f"ports: {_shown(port)} is no port: write it like 80 or 53/udp")


def _check_command(field: str, value: str | list[str]) -> None:
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        text = str(error)
        raise ValueError(f"{field}: {text[:1].lower()}{text[1:]} in {_shown(str(value))}") from None
    if any("\0" in word for word in words):
        raise ValueError(f"{field}: a word holds NUL")
    if words and not words[0]:
        raise ValueError(f"{field}: its first word is empty")


def _check_path(field: str, path: str) -> None:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise ValueError(f"{field}: {_shown(path)} is not an absolute path without '..'")


def _check_origin(origin: RootFs) -> None:
    if origin.file and (not _FILE_NAME.fullmatch(origin.file) or origin.file in (".", "..")):
        raise ValueError(f"rootfs: {_shown(origin.file)} is not the name of a file in this folder")
    if origin.sha256 and not _DIGEST.fullmatch(origin.sha256):
        raise ValueError(f"rootfs.sha256: {_shown(origin.sha256)} is not 64 hexadecimal digits")
    if "\0" in origin.how + origin.arch:
        raise ValueError("rootfs: it holds NUL")
    if origin.how in MADE_HERE and (origin.url or origin.file):
        raise ValueError(f"rootfs.how: {origin.how!r} is made here: no `url` or `file` beside it")
    if origin.url:
        _check_url(origin)


def _check_url(origin: RootFs) -> None:
    try:
        parts = urlsplit(origin.url)
        _ = parts.port  # raises for a port that is none
    except ValueError as error:
        raise ValueError(f"rootfs.url: {error}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not origin.url.isprintable():
        raise ValueError(f"rootfs.url: {_shown(origin.url)} is not an https address")
    if " " in origin.url or not origin.url.isascii():
        raise ValueError(f"rootfs.url: {_shown(origin.url)} holds what must be %-quoted")
    if parts.scheme == "http" and not origin.sha256:
        raise ValueError("rootfs.url: plain http is only used with `sha256`")
    if not origin.file and not _FILE_NAME.fullmatch(url_file(origin.url)):
        raise ValueError("rootfs.url: it ends without a file name; give one as `file`")


def url_file(url: str) -> str:
    """The file name at the end of an address ("" if none is fit)."""
    name = urlsplit(url).path.rsplit("/", 1)[-1]
    return "" if name in (".", "..") else name


def sha256_hex(text: str) -> str:
    """A digest in its plain form ("" for "")."""
    match = _DIGEST.fullmatch(text)
    return match.group(1).lower() if match else ""


def _signal(name: str) -> str:
    """The full name of a signal: "TERM", "SIGTERM" and "15" are one."""
    text = name.upper()
    try:
        number = signal.Signals(int(text)) if text.isdecimal() else None
        return (number or signal.Signals["SIG" + text.removeprefix("SIG")]).name
    except (ValueError, KeyError):
        raise ValueError(f"stop_signal: {_shown(name)} is no signal") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


def foreign(origin: RootFs) -> str:
    """Why this machine cannot run the image ("" if it can, as far as is known)."""
    machine = platform.machine()
    if origin.arch and origin.arch != machine:
        return f"it is for {origin.arch}, this machine is {machine}"
    return ""


def trusted(path: str) -> bool:
    """Whether only root (or who runs the daemon) can change what lies at `path`.

    Looks at the folder, what is directly in it, and every folder above; a sticky folder
    such as /tmp above it is fine, since there only an owner can replace a name.
    """
    path = os.path.realpath(path)
    try:
        inside = [f"{path}/{FILE}", path]
        for place in inside:
            if not _only_ours(os.stat(place), sticky=False):
                return False
        above = os.path.dirname(path)
        while True:
            if not _only_ours(os.stat(above), sticky=True):
                return False
            if above == "/":
                return True
            above = os.path.dirname(above)
    except OSError:
        return False


def _only_ours(found: os.stat_result, *, sticky: bool) -> bool:
    if found.st_uid not in (0, os.geteuid()):
        return False
    return not found.st_mode & _UNTRUSTED or bool(sticky and found.st_mode & stat.S_ISVTX)
