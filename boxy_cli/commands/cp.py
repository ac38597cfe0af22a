"""`boxy cp`: files between a box and here, by Docker's rules.

Constraint: what comes out of a box is hostile: it is extracted below the place that was named,
no symlink of the archive or of the place is followed, and no name of the archive's top is used
but the one that we expect.
"""

from __future__ import annotations

import os
import stat
import sys

from boxy_cli.context import Context, is_terminal, note
from boxy_core.client.blocking import box_path
from boxy_core.errors import BoxyError, InvalidRequest, NotFound
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.text import escape
from boxy_core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from boxy_core.flags.options import Args

_PIECE = 1 << 20


class Place:
    """One side of a copy: a path in a box, a path here, or "-", a tar stream."""

    def __init__(self, text: str) -> None:
        box, colon, path = text.partition(":")
        local = not colon or not box or "/" in box or box.startswith(".") or text == "-"
        self.text = text
        self.box = "" if local else box
        self.path = text if local else path or "/"
        if self.box and not self.path.startswith("/"):
            self.path = "/" + self.path

    @property
    def stream(self) -> bool:
        """Whether it is "-"."""
        return not self.box and self.text == "-"

    @property
    def folder_meant(self) -> bool:
        """Whether it can only be a folder."""
        return self.path.endswith(("/", "/.")) or self.path in (".", "..")

    @property
    def content_only(self) -> bool:
        """Whether only what is in the folder is meant."""
        return self.path.endswith("/.") or self.path in (".", "/")

    @property
    def name(self) -> str:
        """The last component."""
        return os.path.basename(os.path.normpath(self.path))


def cp(context: Context, args: Args) -> int:
    """Copy."""
    source, target = Place(args["source"]), Place(args["target"])
    if bool(source.box) == bool(target.box):
        which = "both are in boxes" if source.box else "neither is in a box"
        raise InvalidRequest(
            f"of {source.text} and {target.text} {which}",
            hint="one side is BOX:PATH, the other a path here or - for a tar stream",
        )
    if source.box:
        return _out(context, source, target, args)
    return _in(context, source, target, args)


# ------------------------------------------------------------------ out of a box


def _out(context: Context, source: Place, target: Place, args: Args) -> int:
    query = {"path": source.path, "follow": args["follow_link"] or None}
    if target.stream:
        if is_terminal(1):
            raise InvalidRequest(
                "a tar stream is nothing for a terminal", hint="boxy cp BOX:PATH - | tar -t"
            )
        for piece in context.client.download("GET", box_path(source.box, "archive"), query=query):
            _write_all(1, piece)
        return 0
    found = context.client.request("GET", box_path(source.box, "stat"), query=query)
    folder, name = _landing(source, found, target)
    pieces = context.client.download("GET", box_path(source.box, "archive"), query=query)
    extractor = _extract(pieces, folder, source, name, owners=args["archive"])
    if not args["quiet"]:
        note(f"copied {format_size(extractor.size)} out of {escape(source.box)}")
    for text in extractor.skipped[:20]:
        note(f"left out {escape(text)}")
    return 0


def _landing(source: Place, found: dict[str, Any], target: Place) -> tuple[str, str]:
    """The folder to extract in, and the name that the copy gets there ("": it is content)."""
    is_folder = found["kind"] == "folder"
    if source.folder_meant and not is_folder:
        raise InvalidRequest(f"{source.text} is no folder", hint="leave the /. at its end away")
    path = target.path
    there = os.path.isdir(path)
    if there:
        return path, "" if is_folder and source.content_only else source.name
    if os.path.lexists(path) and is_folder:
        raise InvalidRequest(
            f"{path} is there and no folder, and {source.text} is one",
            hint="name a folder, or a name that is free",
        )
    if not is_folder and target.folder_meant:
        raise InvalidRequest(f"there is no folder {path}", hint=f"make it: mkdir -p {path}")
    above, name = os.path.split(path.rstrip("/"))
    above = above or "."
    if not os.path.isdir(above):
        raise InvalidRequest(f"there is no folder {above}", hint=f"make it: mkdir -p {above}")
    if is_folder:
        os.mkdir(path)
        return path, ""
    return above, name


def _extract(
    pieces: Iterator[bytes], folder: str, source: Place, name: str, *, owners: bool
) -> Any:
    from boxy_core.files.extract import Extractor, How
    from boxy_core.image.streams import BadArchive, Limits, Stream
    from boxy_core.image.tar import Reader

    top = b"" if source.path.strip("/") in ("", ".") else os.fsencode(source.name)
    rename = (top, os.fsencode(name)) if top else None
    limits = Limits(size=1 << 62, entries=1 << 40, all_metadata=1 << 40, ratio=1 << 20)
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be opened: {error.strerror}") from None
    keep = owners and os.geteuid() == 0
    extractor = Extractor(root, How(owners=keep, rename=rename))
    try:
        extractor.run(Reader(Stream(_reader(pieces), limits)))
    except BadArchive as error:
        raise BoxyError(f"what came from the box is damaged: {error}") from None
    except OSError as error:
        raise BoxyError(f"{folder} could not be written: {error.strerror}") from None
    finally:
        os.close(root)
    return extractor


def _reader(pieces: Iterator[bytes]) -> Callable[[int], bytes]:
    """A read function over pieces of any size."""
    held = memoryview(b"")

    def read(n: int) -> bytes:
        nonlocal held
        while not held:
            piece = next(pieces, None)
            if piece is None:
                return b""
            held = memoryview(piece)
        got, held = bytes(held[:n]), held[n:]
        return got

    return read


# ------------------------------------------------------------------ into a box


def _in(context: Context, source: Place, target: Place, args: Args) -> int:
    if source.stream:
        _upload(context, target, lambda n: os.read(0, n), target.path, args)
        return 0
    try:
        found = (
            os.stat(source.path)
            if args["follow_link"] or source.folder_meant
            else os.lstat(source.path)
        )
    except OSError as error:
        raise InvalidRequest(f"{source.text}: {error.strerror}") from None
    is_folder = stat.S_ISDIR(found.st_mode)
    if source.folder_meant and not is_folder:
        raise InvalidRequest(f"{source.text} is no folder", hint="leave the /. at its end away")
    folder, name = _goal(context, source, is_folder, target)
    told = _upload(context, target, _packed(source, name, args), folder, args)
    if not args["quiet"]:
        note(f"copied {format_size(told['size'])} into {escape(target.box)}")
    return 0


def _goal(context: Context, source: Place, is_folder: bool, target: Place) -> tuple[str, str]:
    """The folder in the box to extract in, and the copy's name there ("": it is content)."""
    try:
        query = {"path": target.path, "follow": True}
        found = context.client.request("GET", box_path(target.box, "stat"), query=query)
    except NotFound as error:
        if "in the box" not in error.message:
            raise
        if not is_folder and target.folder_meant:
            raise InvalidRequest(
                f"there is no folder {target.path} in {target.box}",
                hint=f"make it: boxy exec {target.box} mkdir -p {target.path}",
            ) from None
        above, name = os.path.split(target.path.rstrip("/"))
        return above or "/", name
    if found["kind"] == "folder":
        return target.path, "" if is_folder and source.content_only else source.name
    if is_folder:
        raise InvalidRequest(
            f"{target.text} is there and no folder, and {source.text} is one",
            hint="name a folder, or a name that is free",
        )
    above, name = os.path.split(target.path)
    return above or "/", name


def _packed(source: Place, name: str, args: Args) -> Callable[[int], bytes]:
    """A read function over the tar of a path here, made by a thread while it is sent."""
    import queue
    import threading

    from boxy_core.files.pack import Packer

    pieces: queue.Queue[bytes | BaseException] = queue.Queue(8)

    def work() -> None:
        held: list[bytes] = []
        size = 0

        def out(data: bytes) -> None:
            nonlocal size
            held.append(data)
            size += len(data)
            if size >= _PIECE:
                pieces.put(b"".join(held))
                held.clear()
                size = 0

        try:
            packer = Packer(out)
            _pack_local(packer, source, name, follow=args["follow_link"])
            for text in packer.end().skipped:
                note(f"left out {escape(text)}")
            pieces.put(b"".join(held))
            pieces.put(b"")
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            pieces.put(error)

    threading.Thread(target=work, daemon=True).start()

    def read(_: int) -> bytes:
        piece = pieces.get()
        if isinstance(piece, OSError):
            raise InvalidRequest(f"{source.text}: {piece.strerror}") from None
        if isinstance(piece, BaseException):
            raise piece
        return piece

    return read


def _pack_local(packer: Any, source: Place, name: str, *, follow: bool) -> None:
    path = os.path.realpath(source.path) if follow else source.path
    if os.path.isdir(path) and (follow or source.folder_meant or not os.path.islink(path)):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            packer.add_folder(fd, name, itself=bool(name))
        finally:
            os.close(fd)
        return
    above, last = os.path.split(path)
    fd = os.open(above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        packer.add(fd, last, name)
    finally:
        os.close(fd)


def _upload(
    context: Context, target: Place, read: Callable[[int], bytes], folder: str, args: Args
) -> dict[str, Any]:
    query = {"path": folder, "owners": args["archive"] or None}
    told: dict[str, Any] = context.client.upload(box_path(target.box, "archive"), read, query=query)
    for text in told["skipped"]:
        note(f"left out {escape(text)}")
    return told


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
    sys.stdout.flush()


COMMANDS = {
    "cp": Command(
        "cp",
        cp,
        description="Copy files and folders between a box, running or not, and here. With - on "
        "one side a tar stream is read or written. What goes into a box belongs to its root, what "
        "comes out to you, unless -a keeps the owners.",
        options=(
            Option("-a", "--archive", help="keep owners"),
            Option("-L", "--follow-link", help="copy what a symlink leads to, not the symlink"),
            Option("-q", "--quiet", help="say nothing of how much was copied"),
        ),
        arguments=(
            Argument("SOURCE", "BOX:PATH, or a path here, or - for a tar stream"),
            Argument("TARGET", "the other side"),
        ),
        examples=(
            ("boxy cp web:/var/log/nginx .", "a folder out of a box"),
            ("boxy cp site/. web:/srv/www", "what is in a folder into one of a box"),
            ("boxy cp web:/etc - | tar -t", "as a tar stream"),
        ),
    )
}
