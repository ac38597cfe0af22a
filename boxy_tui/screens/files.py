"""A box's files: folders to walk in, files to read and to copy out, what it changed.

Constraint: everything that is shown of a box's files is hostile text; names are made plain, content
passes `escape`.  What is copied out is extracted as `boxy cp` does: below the folder that was
named, through no symlink.
"""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.text import escape_lines
from boxy_tui.format import Cell, Column, plain, size
from boxy_tui.later import later
from boxy_tui.screens.dialogs import AskScreen
from boxy_tui.screens.reading import Caption, ReadingScreen
from boxy_tui.widgets.keybar import KeyBar
from boxy_tui.widgets.table import Table
from boxy_tui.widgets.textview import Line

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

COLUMNS = (
    Column("", 1), Column("NAME", 24, flex=4), Column("SIZE", 9, right=True),
    Column("MODE", 10, rank=2), Column("OWNER", 11, rank=3), Column("CHANGED", 16, rank=1),
)  # fmt: skip
_SIGNS: dict[str, Cell] = {
    "folder": ("▸", "blue"), "file": ("·", "dim"), "symlink": ("→", "accent"),
    "device": ("◇", "warn"), "fifo": ("◇", "dim"), "socket": ("◇", "dim"),
}  # fmt: skip
_TONES = {"A": "ok", "C": "warn", "D": "bad"}
_TEXT = frozenset({9, 10, 12, 13, 27, *range(32, 256)})
_ROW = 16


class FileTable(Table):
    """What is in a folder, with the keys for it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,right", "screen.open", "open"),
        Binding("backspace,left,h", "screen.above", "up"),
        Binding("c", "screen.copy", "copy out"),
        Binding("r", "screen.reload", "reload"),
    ]


class FilesScreen(Screen[None]):
    """A folder of a box."""

    AUTO_FOCUS = "FileTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "changes", "diff"),
        Binding("question_mark", "app.help", "help"),
        Binding("escape,q", "leave", "back", key_display="esc"),
    ]

    def __init__(self, boxy: BoxyApp, box_id: str, name: str) -> None:
        super().__init__()
        self.boxy = boxy
        self.box_id = box_id
        self.box_name = name
        self.path = "/"
        self.rows: dict[str, dict[str, Any]] = {}
        self.note = ""
        self.trouble: BoxyError | None = None
        self.table = FileTable(COLUMNS, self._cells, empty=self._nothing)

    def compose(self) -> ComposeResult:
        """Caption, table, keys."""
        yield Caption()
        yield self.table
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask at once."""
        self._go("/")

    def _go(self, path: str, back_to: str = "") -> None:
        self.run_worker(later(self._load, path, back_to), exclusive=True, group="load")

    async def _load(self, path: str, back_to: str) -> None:
        self.note = "asking …"
        self._draw()
        try:
            told = await self.boxy.client.request(
                "GET", f"/boxes/{self.box_id}/files", query={"path": path}
            )
        except BoxyError as error:
            self.trouble, self.note = error, ""
            self.boxy.complain(error)
        else:
            self.path, self.trouble = path, None
            self.rows = {entry["name"]: entry for entry in told["entries"]}
            self.note = f"{told['left_out']} more are not shown" if told["left_out"] else ""
        self._draw()
        self.table.go_to(back_to)

    def _draw(self) -> None:
        self.table.show(list(self.rows))
        self.table.repaint()
        caption = self.query_one(Caption)
        cells: list[Cell] = [
            (" files ", "badge"), (f" {plain(self.box_name)} ", "bright"),
            (plain(self.path), "blue"),
        ]  # fmt: skip
        caption.cells = [*cells, (f"  {self.note}", "dim")]
        caption.repaint()
        self.query_one(KeyBar).renew()

    def _nothing(self) -> Sequence[Sequence[Cell]]:
        if self.trouble is not None:
            return [[("   " + plain(self.trouble.message), "bad")]]
        return [[("   nothing is in this folder", "dim")]]

    def _cells(self, key: str) -> Sequence[Cell]:
        row = self.rows[key]
        arrow = f" → {plain(row['target'])}" if row["target"] else ""
        kind = row["kind"]
        return [
            _SIGNS.get(kind, ("?", "dim")),
            (plain(key) + arrow, "name" if kind == "folder" else "text"),
            (size(row["size"]) if kind == "file" else "", "text"),
            (stat.filemode(_types(kind) | row["mode"]), "dim"),
            (f"{row['uid']}:{row['gid']}", "dim"),
            (time.strftime("%Y-%m-%d %H:%M", self.boxy.zone(row["mtime"])), "dim"),
        ]

    # ---------------------------------------------------------------- keys

    def _whole(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    @on(Table.Chosen)
    def action_open(self) -> None:
        """Go into the folder, or read the file."""
        row = self.rows.get(self.table.current)
        if row is None:
            return
        path = self._whole(row["name"])
        if row["kind"] == "file":
            self.boxy.push_screen(FileScreen(self.boxy, self.box_id, path))
        elif row["kind"] in ("folder", "symlink"):
            self.run_worker(later(self._enter, path), exclusive=True, group="enter")

    async def _enter(self, path: str) -> None:
        """A symlink is followed: to a folder or to a file."""
        query = {"path": path, "follow": 1}
        try:
            found = await self.boxy.client.request("GET", f"/boxes/{self.box_id}/stat", query=query)
        except BoxyError as error:
            self.boxy.complain(error)
            return
        if found["kind"] == "folder":
            self._go(path)
        else:
            self.boxy.push_screen(FileScreen(self.boxy, self.box_id, path))

    def action_above(self) -> None:
        """The folder above."""
        if self.path != "/":
            above, _, name = self.path.rstrip("/").rpartition("/")
            self._go(above or "/", name)

    def action_reload(self) -> None:
        """Look again."""
        self._go(self.path, self.table.current)

    def action_changes(self) -> None:
        """What the box changed against its image."""
        self.boxy.push_screen(ChangesScreen(self.boxy, self.box_id, self.box_name))

    def action_copy(self) -> None:
        """Copy the file or folder out of the box, to a folder here."""
        name = self.table.current
        if not name:
            return
        here = os.getcwd()

        def entered(folder: str | None) -> None:
            if folder is not None:
                goal = os.path.expanduser(folder or here)
                self.run_worker(later(self._copy, self._whole(name), goal), group="copy")

        question = f"Copy {plain(name)} to the folder"
        self.boxy.push_screen(AskScreen(question, here, empty=True), entered)

    async def _copy(self, path: str, folder: str) -> None:
        query = {"path": path}
        url = f"/boxes/{self.box_id}/archive"
        try:
            async with self.boxy.client.stream("GET", url, query=query) as answer:
                done = await copied_out(answer.pieces(), folder)
        except BoxyError as error:
            self.boxy.complain(error)
        else:
            self.boxy.say(f"{plain(path)} is copied to {plain(folder)} ({size(done)}).")

    def action_leave(self) -> None:
        """Back to where one was."""
        self.dismiss()


def _types(kind: str) -> int:
    return {"folder": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO,
            "socket": stat.S_IFSOCK, "device": stat.S_IFCHR}.get(kind, stat.S_IFREG)  # fmt: skip


async def copied_out(pieces: Any, folder: str) -> int:
    """Extract a tar stream below a folder here; the bytes of its files.  Raises InvalidRequest."""
    from boxy_core.files.extract import Extractor
    from boxy_core.image.streams import BadArchive, Limits, Stream
    from boxy_core.image.tar import Reader

    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidRequest(
            f"{folder}: {error.strerror}", hint="name a folder of this machine that is there"
        ) from None
    read, write = os.pipe()
    limits = Limits(size=1 << 62, entries=1 << 40, all_metadata=1 << 40, ratio=1 << 20)

    def extract() -> int:
        extractor = Extractor(root)
        try:
            extractor.run(Reader(Stream(lambda n: os.read(read, n), limits)))
        except (OSError, BadArchive) as error:
            raise InvalidRequest(
                f"{folder} could not be written: {error}",
                hint="look for room and rights there, or choose another folder",
            ) from None
        finally:
            os.close(read)
            os.close(root)
        return extractor.size

    working = asyncio.create_task(asyncio.to_thread(extract))
    try:
        async for piece in pieces:
            await asyncio.to_thread(_write_all, write, piece)
    except BrokenPipeError:
        pass  # the extraction failed and says why
    finally:
        os.close(write)
        await asyncio.wait([working])
    return working.result()


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


class FileScreen(ReadingScreen):
    """The beginning of a file, as text, or as bytes if it is none."""

    def __init__(self, boxy: BoxyApp, box_id: str, path: str) -> None:
        super().__init__(boxy, path, "file")
        self._box_id = box_id
        self._path = path

    def on_mount(self) -> None:
        """Ask once."""
        super().on_mount()
        self.run_worker(later(self._read), exclusive=True)

    async def _read(self) -> None:
        try:
            told = await self.boxy.client.request(
                "GET", f"/boxes/{self._box_id}/file", query={"path": self._path}
            )
        except BoxyError as error:
            self.note = plain(error.message)
        else:
            data = base64.b64decode(told["data"])
            if told["size"] > len(data):
                self.note = f"the first {size(len(data))} of {size(told['size'])}"
            self.view.replace(file_lines(data))
        self.caption()


def file_lines(data: bytes) -> Iterator[Line]:
    """A file's lines; of one that is no text, its bytes in rows of sixteen."""
    if _TEXT.issuperset(data[:8192]):
        for line in data.decode("utf-8", "replace").split("\n"):
            yield Line(escape_lines(line.rstrip("\r")))
        return
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        yield Line(f"{at:08x}  {row.hex(' '):<{3 * _ROW}} {shown}")


class ChangesScreen(ReadingScreen):
    """What a box changed against its image."""

    def __init__(self, boxy: BoxyApp, box_id: str, name: str) -> None:
        super().__init__(boxy, name, "diff")
        self._box_id = box_id

    def on_mount(self) -> None:
        """Ask once."""
        super().on_mount()
        self.run_worker(later(self._read), exclusive=True)

    async def _read(self) -> None:
        try:
            told = await self.boxy.client.request("GET", f"/boxes/{self._box_id}/changes")
        except BoxyError as error:
            self.note = plain(error.message)
        else:
            changes = told["changes"]
            self.note = "" if changes else "nothing is changed"
            self.view.replace(
                Line(f"{change['kind']}  {plain(change['path'])}", tone=_TONES[change["kind"]])
                for change in changes
            )
        self.caption()
