"""From the model to what is shown: cells, columns, figures and curves.  Pure.

Constraint: no widgets, no clock (`now` is given), no terminal.  A cell is (text, style key); the
keys are those of `palette.py`.  Text that came from a box or from outside passes `plain` here, so
that no control character reaches the operator's terminal.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from boxy_core.models import ALIVE, Box, Event, Image, Mount, Status
from boxy_core.text import escape
from boxy_tui.state import Rates

Cell = tuple[str, str]


class Column(NamedTuple):
    """A column of a table: `flex` > 0 shares what room is left; `rank` 0 is never hidden; `tail`:
    of a text that is too long the end is shown."""

    title: str
    width: int
    right: bool = False
    flex: int = 0
    rank: int = 0
    tail: bool = False


IMAGE_WIDTH = 9
BOX_COLUMNS = (
    Column("", 1),
    Column("NAME", 12, flex=2),
    Column("IMAGE", IMAGE_WIDTH, flex=2, rank=2, tail=True),
    Column("STATUS", 14),
    Column("CPU", 6, right=True, rank=1),
    Column("MEMORY", 7, right=True, rank=1),
    Column("PIDS", 4, right=True, rank=3),
    Column("NET/s", 6, right=True, rank=4),
    Column("TREND", 10, rank=6),
    Column("ID", 12, rank=7),
    Column("COMMAND", 14, flex=4, rank=5),
)

IMAGE_COLUMNS = (
    Column("", 1),
    Column("NAME", 14, flex=2, tail=True),
    Column("SIZE", 8, right=True),
    Column("STATE", 9),
    Column("COMMAND", 12, flex=1, rank=1),
    Column("DESCRIPTION", 16, flex=3, rank=2),
    Column("SOURCE", 20, flex=2, rank=3),
)

ANONYMOUS = 64
"""characters of the name of a volume that was made without one"""

GLYPHS: dict[Status, tuple[str, str]] = {
    Status.CREATED: ("○", "dim"),
    Status.STARTING: ("◌", "busy"),
    Status.RUNNING: ("●", "ok"),
    Status.PAUSED: ("‖", "paused"),
    Status.STOPPING: ("◍", "warn"),
    Status.EXITED: ("□", "dim"),
    Status.LOST: ("?", "bad"),
    Status.REMOVING: ("×", "warn"),
}
"""One sign for each state, different in shape as well as in colour."""


plain = escape
"""Text from outside on one line, with nothing in it that a terminal would obey."""


# ---------------------------------------------------------------------- figures


def size(count: float) -> str:
    """Bytes in at most 5 characters: 0, 512B, 1.5K, 23M, 1.2G."""
    if count <= 0:
        return "0"
    value = float(count)
    for unit in "BKMGTP":
        if value < 999.5 or unit == "P":
            digits = 1 if value < 9.95 and unit != "B" else 0
            return f"{value:.{digits}f}{unit}"
        value /= 1024
    raise AssertionError


def percent(value: float) -> str:
    """Percent of one core: 0, 0.4, 12.3, 240."""
    if value < 0.05:
        return "0"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def span(seconds: float) -> str:
    """A duration in at most 4 characters: 8s, 12m, 3h, 17d."""
    seconds = max(0.0, seconds)
    for unit, length, upto in (("s", 1, 100), ("m", 60, 6000), ("h", 3600, 172_800)):
        if seconds < upto:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds // 86_400)}d"


def status_text(box: Box, now: float) -> Cell:
    """What the STATUS column says: `up 3m`, `exited 137 2h`."""
    colour = GLYPHS[box.status][1]
    if box.status is Status.RUNNING:
        return f"up {span(now - box.started)}", colour
    if box.status is Status.PAUSED:
        return f"paused {span(now - (box.paused or box.started))}", colour
    if box.status is Status.EXITED and box.exit is not None:
        how = "oom" if box.exit.oom else str(box.exit.status)
        since = span(now - (box.finished or box.exit.finished or now))
        return f"exited {how} {since}", "dim" if how == "0" else "bad"
    return str(box.status), colour


def command(args: Iterable[str]) -> str:
    """A command line as one would type it."""
    return plain(shlex.join(args))


# ---------------------------------------------------------------------- rows


def box_row(box: Box, rates: Rates, trend: Sequence[float], now: float) -> list[Cell]:
    """The cells of a box, one for each of BOX_COLUMNS."""
    sign, colour = GLYPHS[box.status]
    alive = box.status in ALIVE
    quiet = "" if alive else "dim"
    hot = "bad" if rates.cpu >= 90 else "warn" if rates.cpu >= 50 else "text"
    return [
        (sign, colour),
        (plain(box.name), "name" if alive else "dim"),
        (plain(box.image), "blue" if alive else "faint"),
        status_text(box, now),
        (percent(rates.cpu), hot) if alive else ("", ""),
        memory_cell(rates) if alive else ("", ""),
        (str(rates.pids), quiet) if alive else ("", ""),
        (size(rates.net), "dim" if rates.net < 1 else "accent") if alive else ("", ""),
        (curve(trend, 10), "ok" if hot == "text" else hot) if alive else ("", ""),
        (box.id[:12], "faint"),
        (command(box.args or box.spec.command), "dim"),
    ]


def memory_cell(rates: Rates) -> Cell:
    """Memory in use; coloured by how near it is to its limit."""
    share = rates.memory / rates.memory_limit if rates.memory_limit else 0.0
    return size(rates.memory), "bad" if share > 0.9 else "warn" if share > 0.75 else "text"


def image_row(image: Image) -> list[Cell]:
    """The cells of an image, one for each of IMAGE_COLUMNS."""
    state: Cell = ("ready", "ok") if image.ready else ("not yet", "dim")
    note: Cell = (plain(image.description), "dim")
    if image.remedy:
        state, note = ("not made", "warn"), (plain(image.remedy), "warn")
    elif image.problem:
        state, note = ("broken", "bad"), (plain(image.problem), "bad")
    broken = image.problem and not image.remedy
    sign = ("■", "bad") if broken else ("■", "blue") if image.ready else ("□", "dim")
    return [
        sign,
        (plain(image.name), "name"),
        (size(image.size) if image.size else "-", "text"),
        state,
        (command([*image.entrypoint, *image.cmd]), "dim"),
        note,
        (plain(image.source), "faint"),
    ]


def event_line(event: Event, clock: str) -> list[Cell]:
    """One line of the event list."""
    subject, _, what = event.type.partition(".")
    colour = {
        "started": "ok", "exited": "warn", "oom": "bad", "removed": "dim", "created": "blue",
        "paused": "paused",
    }.get(what, "text")  # fmt: skip
    name = plain(event.name or event.id[:12]) or subject
    return [(f" {clock} ", "faint"), (f"{what or subject:<13}", colour), (name, "text")]


def mount_text(mount: Mount) -> str:
    """A mount as `-v` would say it."""
    source = mount.source
    if mount.type == "volume" and len(source) == ANONYMOUS:
        source = source[:12]
    if mount.type in ("tmpfs", "image"):
        source = f"{mount.type}:{source}" if source else mount.type
    return plain(f"{source}:{mount.target}{':ro' if mount.read_only else ''}")


def bounds(box: Box) -> str:
    """The limits that the box was given, in few words."""
    limits = box.spec.limits
    io = (limits.io_read_bps, limits.io_write_bps, limits.io_read_iops, limits.io_write_iops)
    words = [
        f"memory {size(limits.memory)}" if limits.memory else "",
        f"reserved {size(limits.memory_reservation)}" if limits.memory_reservation else "",
        f"cpus {limits.cpus:g}" if limits.cpus else "",
        f"weight {limits.cpu_shares}" if limits.cpu_shares else "",
        f"cpuset {plain(limits.cpuset)}" if limits.cpuset else "",
        f"pids {limits.pids}" if limits.pids else "",
        f"disk weight {limits.io_weight}" if limits.io_weight else "",
        "disk rates" if any(io) else "",
        f"layer {size(limits.disk)}" if limits.disk else "",
    ]
    return ", ".join(filter(None, words)) or "none of its own"


def detail_lines(box: Box, now: float, disk: int | None = None) -> list[list[Cell]]:
    """What is said about the selected box beside its curves; `disk`: what its layer takes."""
    flags = [
        "terminal" if box.spec.tty else "pipes",
        "removed at exit" if box.spec.auto_remove else "",
        "read-only" if box.spec.read_only else "",
        f"network {plain(box.spec.network or 'none')}",
        f"{size(disk)} of its own on disk" if disk is not None else "",
    ]
    pid = f" · pid {box.pid}" if box.pid else ""
    lines: list[list[Cell]] = [
        [GLYPHS[box.status], (" ", ""), (plain(box.name), "bright"), ("  ", ""),
         status_text(box, now), (f"  {box.id[:12]}{pid}", "faint")],
        [("image   ", "dim"), (plain(box.image), "blue")],
        [("command ", "dim"), (command(box.args or box.spec.command), "text")],
        [("limits  ", "dim"), (bounds(box), "text")],
        [("with    ", "dim"), (", ".join(filter(None, flags)), "text")],
    ]  # fmt: skip
    if box.spec.mounts:
        lines.append([("mounts  ", "dim"), (", ".join(map(mount_text, box.spec.mounts)), "text")])
    if box.weakened:
        words = ", ".join(sentence.partition(":")[0] for sentence in box.weakened)
        lines.insert(1, [("weak    ", "bad"), (plain(words), "bad")])
    if box.error:
        lines.insert(1, [("error   ", "bad"), (plain(box.error), "bad")])
    lines += [[("notice  ", "warn"), (plain(notice), "text")] for notice in box.notices]
    return lines


def image_lines(image: Image) -> list[list[Cell]]:
    """What is said about the selected image beside the table."""
    sign, name, figure, state, _, _, _ = image_row(image)
    ports = ", ".join(map(plain, image.ports))
    facts: list[tuple[str, str]] = [
        ("what", plain(image.description)),
        ("command", command([*image.entrypoint, *image.cmd]) or "none of its own"),
        ("folder", plain(image.workdir) if image.workdir not in ("", "/") else ""),
        ("user", plain(image.user)),
        ("ports", ports),
        ("layers", str(len(image.layers)) if image.layers else ""),
        ("from", plain(image.source)),
    ]
    lines: list[list[Cell]] = [[sign, (" ", ""), (name[0], "bright"), ("  ", ""), state,
                                (f"  {figure[0]}" if image.size else "", "faint")]]  # fmt: skip
    if image.problem:
        tone = "warn" if image.remedy else "bad"
        lines.append([("problem ", tone), (plain(image.problem), tone)])
    if image.remedy:
        lines.append([("so      ", "dim"), (plain(image.remedy), "text")])
    return lines + [[(f"{what:<8}", "dim"), (text, "text")] for what, text in facts if text]


# ---------------------------------------------------------------------- layout


def fit(columns: Sequence[Column], width: int, gap: int = 2) -> list[tuple[int, int]]:
    """Which columns are shown in `width` cells, and how wide: (index, width) pairs.

    Those of the highest rank go first when room is short; what is left goes to the flexible ones.
    """
    shown = list(range(len(columns)))

    def needed() -> int:
        return sum(columns[i].width for i in shown) + gap * (len(shown) - 1)

    while needed() > width:
        victim = max(shown, key=lambda i: (columns[i].rank, i))
        if columns[victim].rank == 0:
            break
        shown.remove(victim)
    spare = max(0, width - needed())
    flex = sum(columns[i].flex for i in shown)
    widths = []
    for i in shown:
        extra = spare * columns[i].flex // flex if flex else 0
        widths.append((i, columns[i].width + extra))
    return widths


def snug(columns: Sequence[Column], images: Iterable[str]) -> list[Column]:
    """The columns of boxes, IMAGE no wider than what is in it: a name needs the room more."""
    longest = max(len("IMAGE"), max(map(len, images), default=0))
    return [
        column._replace(width=longest, flex=0)
        if column.title == "IMAGE" and longest < column.width
        else column._replace(width=column.width + max(0, IMAGE_WIDTH - longest))
        if column.title == "NAME" else column
        for column in columns
    ]  # fmt: skip


def widened(columns: Sequence[Column], names: Iterable[str], width: int) -> list[Column]:
    """The columns with room for the longest name, up to half of `width`: what a registry calls an
    image is long, and differs at its end."""
    longest = min(max(map(len, names), default=0), width // 2)
    return [
        column._replace(width=longest) if column.title == "NAME" and longest > column.width
        else column for column in columns
    ]  # fmt: skip


# ---------------------------------------------------------------------- curves

BLOCKS = " ▁▂▃▄▅▆▇█"
_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""Braille dots of a column filled from below to height 0..4 (Unicode, block U+2800)."""
BRAILLE = [[chr(0x2800 + left + right) for right in _RIGHT] for left in _LEFT]
BRAILLE[0][0] = " "


def sparkline(values: Sequence[float], width: int, top: float = 0.0) -> str:
    """The last `width` values as blocks on one line, scaled to `top` or to the largest (min 10)."""
    tail = values[-width:]
    if not tail:
        return ""
    top = top or max(10.0, *tail)
    marks = [BLOCKS[min(8, max(0, round(value / top * 8)))] if value > 0 else " " for value in tail]
    return "".join(marks).rjust(width)


def braille(values: Sequence[float], width: int, height: int, top: float) -> list[str]:
    """A filled curve of the last `2 * width` values, `height` rows of `width` cells.

    A value above 0 shows at least one dot: little is not nothing.
    """
    tail = list(values[-2 * width :])
    heights = [0] * (2 * width - len(tail))
    steps = 4 * height
    for value in tail:
        level = round(value / top * steps) if top > 0 else 0
        heights.append(min(steps, max(level, 1 if value > 0 else 0)))
    rows = []
    for row in range(height - 1, -1, -1):
        base = 4 * row
        cells = [min(4, max(0, h - base)) for h in heights]
        rows.append("".join([BRAILLE[a][b] for a, b in zip(cells[::2], cells[1::2], strict=True)]))
    return rows


def curve(values: Sequence[float], width: int) -> str:
    """A curve of percent on one line, two samples a cell; its top is 100 or the largest."""
    return braille(values, width, 1, max(100.0, *values[-2 * width :]))[0] if values else ""


def ceiling(values: Sequence[float], least: float) -> float:
    """A round upper bound for a curve: 1, 2 or 5 times a power of ten, at least `least`."""
    largest = max(values, default=0.0)
    bound = least
    while bound < largest:
        for factor in (2.0, 2.5, 2.0):
            bound *= factor
            if bound >= largest:
                break
    return bound
