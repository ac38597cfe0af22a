"""Tables and the cells in them: plain data in, text out.  Pure.

Constraint: on the start-up path of `boxy ps`.  Everything that a box, an image or another user
chose is escaped here; colours are only added where the caller says that a terminal shows them.
"""

from __future__ import annotations

from boxy_core.text import escape
from boxy_core.units import format_age, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

SHORT_ID = 12
GAP = "   "
ELLIPSIS = "\u2026"
COLOURS = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}
_STATUS_COLOURS = {
    "running": "green", "paused": "yellow", "starting": "yellow", "stopping": "yellow",
    "removing": "yellow", "lost": "red", "exited": "dim", "created": "dim",
}  # fmt: skip


def paint(text: str, colour: str) -> str:
    """`text` in a colour; spaces around it are not painted."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour and text else text


def cell_width(text: str) -> int:
    """Columns that printable text takes: East Asian wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # only where it matters

    return sum(
        0 if combining(char) or char in "\u200c\u200d\ufe0f" else
        2 if east_asian_width(char) in "WF" else 1
        for char in text
    )  # fmt: skip


def cut(text: str, width: int) -> str:
    """At most `width` columns of `text`, with an ellipsis where something is missing."""
    if cell_width(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += cell_width(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + ELLIPSIS


class Column:
    """One column: its title, whether it may be cut or left out, whether it is right-aligned."""

    __slots__ = ("flexible", "optional", "right", "title")

    def __init__(
        self, title: str, *, flexible: bool = False, optional: bool = False, right: bool = False
    ) -> None:
        self.title = title
        self.flexible = flexible
        self.optional = optional
        self.right = right


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    width: int = 0,
    colours: Sequence[str] = (),
    coloured: int = -1,
) -> str:
    """Aligned lines with a header.  `rows` hold escaped text.

    `width` columns at most (0: no limit): flexible columns are cut, the widest first, to no less
    than eight; if that is not enough, optional ones are left out.  `colours` gives each row's
    colour for the column with the index `coloured`.
    """
    cells = [[column.title for column in columns], *(list(row) for row in rows)]
    widths = [max(cell_width(row[i]) for row in cells) for i in range(len(columns))]
    kept = _fit(columns, widths, width) if width else list(range(len(columns)))
    paints = ["", *colours] if colours else [""] * len(cells)
    return "".join(
        _line([columns[i] for i in kept], [row[i] for i in kept], [widths[i] for i in kept],
              colour, kept.index(coloured) if coloured in kept else -1)
        for row, colour in zip(cells, paints, strict=True)
    )  # fmt: skip


def _fit(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """Which columns to keep; `widths` are made smaller in place."""
    kept = list(range(len(columns)))

    def over() -> int:
        return sum(widths[i] for i in kept) + len(GAP) * (len(kept) - 1) - width

    flexible = [i for i in kept if columns[i].flexible]
    least = sum(max(0, widths[i] - 8) for i in flexible)
    for i in reversed([i for i in kept if columns[i].optional]):
        if over() > least:
            kept.remove(i)
    for i in sorted(flexible, key=lambda i: -widths[i]):
        widths[i] -= min(max(0, over()), max(0, widths[i] - 8))
    return kept


def _line(
    columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], colour: str, coloured: int
) -> str:
    parts = []
    for i, (column, text) in enumerate(zip(columns, row, strict=True)):
        shown = cut(text, widths[i])
        space = " " * (widths[i] - cell_width(shown))
        painted = paint(shown, colour) if i == coloured else shown
        parts.append(space + painted if column.right else painted + space)
    return GAP.join(parts).rstrip() + "\n"


# ------------------------------------------------------------------ boxes


def short(identity: str) -> str:
    """An id as people see it."""
    return identity.removeprefix("sha256:")[:SHORT_ID]


def command_line(args: Sequence[str]) -> str:
    """A command as it would be typed, quoted where a shell needs it."""
    return " ".join(_quoted(escape(arg)) for arg in args)


def _quoted(arg: str) -> str:
    plain = arg.replace("-", "a").replace("_", "a").replace("/", "a").replace(".", "a")
    plain = plain.replace("=", "a").replace(":", "a").replace(",", "a").replace("+", "a")
    if plain.isalnum():
        return arg
    return "'" + arg.replace("'", "'\\''") + "'"


def status_text(box: Mapping[str, Any], now: float) -> str:
    """The state in words: "Up 3 minutes (paused)", "Exited (137) 2 hours ago"."""
    status = box["status"]
    if status in ("running", "paused", "stopping"):
        up = f"Up {_lower(format_age(max(0.0, now - (box.get('started') or now))))}"
        return up if status == "running" else f"{up} ({status})"
    if status == "exited":
        info = box.get("exit") or {}
        memory = ", out of memory" if info.get("oom") else ""
        age = _lower(format_age(max(0.0, now - (box.get("finished") or now))))
        return f"Exited ({info.get('status', '?')}{memory}) {age} ago"
    return str(status).capitalize()


def _lower(age: str) -> str:
    return age[:1].lower() + age[1:]


BOX_COLUMNS = (
    Column("ID"), Column("NAME", flexible=True), Column("IMAGE", flexible=True),
    Column("COMMAND", flexible=True), Column("CREATED", optional=True), Column("STATUS"),
    Column("PORTS", flexible=True, optional=True), Column("SIZE", right=True),
)  # fmt: skip


def boxes(
    found: Sequence[Mapping[str, Any]],
    now: float,
    *,
    width: int,
    full: bool,
    colour: bool,
    sizes: bool = False,
) -> str:
    """The table of `boxy ps`; `full`: whole ids and commands; `sizes`: of their layers, too."""
    rows = [
        (
            box["id"] if full else short(box["id"]),
            escape(box["name"]),
            escape(box["image"]),
            command_line(box.get("args") or box["spec"].get("command") or ())
            if full else cut(command_line(box.get("args") or ()), 40),
            f"{_lower(format_age(max(0.0, now - box['created'])))} ago",
            status_text(box, now),
            ports(box.get("ports") or ()),
            layer_size(box),
        )
        for box in found
    ]  # fmt: skip
    colours = [_STATUS_COLOURS.get(box["status"], "") for box in found] if colour else ()
    hidden = set() if sizes else {"SIZE"}
    if not any(box.get("ports") for box in found):
        hidden.add("PORTS")
    kept = [i for i, column in enumerate(BOX_COLUMNS) if column.title not in hidden]
    columns, cells = [BOX_COLUMNS[i] for i in kept], [[row[i] for i in kept] for row in rows]
    return table(columns, cells, width=0 if full else width, colours=colours, coloured=5)


def box_words(box: Mapping[str, Any], now: float, *, full: bool) -> dict[str, str]:
    """What `boxy ps --format` has to say in words, by Docker's names."""
    command = command_line(box.get("args") or box["spec"].get("command") or ())
    return {
        "ID": box["id"] if full else short(box["id"]),
        "Command": command if full else cut(command, 40),
        "RunningFor": f"{_lower(format_age(max(0.0, now - box['created'])))} ago",
        "Status": status_text(box, now),
        "Ports": ports(box.get("ports") or ()),
        "Size": layer_size(box),
    }


def ports(found: Sequence[Mapping[str, Any]]) -> str:
    """Published ports in one cell: "127.0.0.1:8080->80/tcp"."""
    return ", ".join(
        f"{_address(one['address'])}:{one['host']}->{one['box']}/{one.get('protocol', 'tcp')}"
        for one in found
    )


def _address(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def layer_size(box: Mapping[str, Any]) -> str:
    """What a box's own layer takes, of what it may: "12.0M/1.0G"; "-" before it was measured."""
    used, limit = box.get("disk"), (box["spec"].get("limits") or {}).get("disk")
    shown = "-" if used is None else format_size(used)
    return f"{shown}/{format_size(limit)}" if limit else shown


# ------------------------------------------------------------------ images, processes


def images(found: Sequence[Mapping[str, Any]], now: float, *, width: int) -> str:
    """The table of `boxy images`."""
    columns = (
        Column("NAME", flexible=True), Column("ID"), Column("CREATED"),
        Column("SIZE", right=True), Column("DESCRIPTION", flexible=True),
    )  # fmt: skip
    rows = [
        (
            escape(image["name"]),
            short(image.get("id") or "") or "-",
            f"{_lower(format_age(max(0.0, now - image['created'])))} ago"
            if image.get("created") else "-",
            format_size(image["size"]) if image.get("ready") else "not unpacked",
            escape(f"not made yet: {image['remedy']}" if image.get("remedy")
                   else f"unusable: {image['problem']}" if image.get("problem")
                   else image.get("description") or ""),
        )
        for image in found
    ]  # fmt: skip
    return table(columns, rows, width=width)


def processes(found: Sequence[Mapping[str, Any]], *, width: int) -> str:
    """The table of `boxy top`."""
    columns = (
        Column("PID", right=True), Column("PPID", right=True), Column("UID", right=True),
        Column("STATE"), Column("CPU", right=True), Column("MEMORY", right=True),
        Column("COMMAND", flexible=True),
    )  # fmt: skip
    rows = [
        (
            str(process["pid"]), str(process["ppid"]), str(process["uid"]),
            escape(process["state"]), cpu_time(process["cpu_seconds"]),
            format_size(process["rss"]), escape(process["command"]),
        )
        for process in found
    ]  # fmt: skip
    return table(columns, rows, width=width)


def cpu_time(seconds: float) -> str:
    """CPU time as ps(1) tells it: "1:02:03", "0:04.50"."""
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes:.0f}:{rest:05.2f}"
    return f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{rest:02.0f}"


# ------------------------------------------------------------------ stats

STAT_COLUMNS = (
    Column("ID", optional=True), Column("NAME", flexible=True), Column("CPU %", right=True),
    Column("MEMORY / LIMIT", right=True), Column("MEM %", right=True),
    Column("NET IN / OUT", optional=True, right=True),
    Column("DISK READ / WRITTEN", optional=True, right=True),
    Column("PIDS", right=True), Column("LAYER", optional=True, right=True),
)  # fmt: skip


def stats(samples: Sequence[Mapping[str, Any]], names: Mapping[str, str], *, width: int) -> str:
    """The table of `boxy stats`; `names` by id."""
    rows = []
    for sample in samples:
        limit = sample.get("memory_limit") or 0
        memory = sample.get("memory") or 0
        rows.append((
            short(sample["id"]),
            escape(names.get(sample["id"], "")),
            f"{sample.get('cpu_percent') or 0:.1f}",
            f"{format_size(memory)} / {format_size(limit) if limit else '-'}",
            f"{100 * memory / limit:.1f}" if limit else "-",
            _two(sample, "net_rx", "net_tx"),
            _two(sample, "io_read", "io_write"),
            str(sample.get("pids") or 0),
            "-" if sample.get("disk") is None else format_size(sample["disk"]),
        ))  # fmt: skip
    return table(STAT_COLUMNS, rows, width=width)


def _two(sample: Mapping[str, Any], first: str, second: str) -> str:
    return f"{format_size(sample.get(first) or 0)} / {format_size(sample.get(second) or 0)}"


# ------------------------------------------------------------------ events


def event(line: Mapping[str, Any], when: str) -> str:
    """One line of `boxy events`."""
    data = line.get("data") or {}
    details = ", ".join(f"{escape(str(key))}={escape(_plain(data[key]))}" for key in data)
    who = [short(line.get("id") or ""), escape(line.get("name") or "")]
    words = [when, escape(line["type"]), *(word for word in who if word)]
    return " ".join(words) + (f" ({details})" if details else "")


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
