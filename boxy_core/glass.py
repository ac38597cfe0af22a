"""Explanations and traces as text, for the command line and the console alike.  Pure.

Constraint: on the start-up path of two commands; takes the decoded JSON as it comes.  All that
a box could have chosen is escaped here.
"""

from __future__ import annotations

import time

from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

TUTORIAL = "docs/tutorial/build-your-own"
_LABEL = 14
_BAR = 24
_USUAL_WIDTH = 100
_SGR = {"bold": "1", "dim": "2", "green": "32", "red": "31"}
"""select graphic rendition, ECMA-48 8.3.117"""


# ------------------------------------------------------------------ explain


def explanation(found: Mapping[str, Any], *, width: int, colour: bool) -> str:
    """All sections; `width` columns, 0: no terminal."""
    wide = max(40, width or _USUAL_WIDTH)
    lines: list[str] = []
    for section in found["sections"]:
        lines += [*_section(section, wide, colour), ""]
    return "\n".join(lines)


def _section(section: Mapping[str, Any], wide: int, colour: bool) -> Iterator[str]:
    learn = f"{TUTORIAL}/{section['learn']}.md" if section["learn"] else ""
    title = section["title"]
    space = " " * (wide - len(title) - len(learn))
    shown = learn if space else ""  # a narrow terminal has no room for both
    yield (_painted(title, "bold", colour) + space + _painted(shown, "dim", colour)).rstrip()
    for line in _wrapped(section["about"], wide - 2):
        yield "  " + line
    label = max([_LABEL, *(len(escape(fact["what"])) for fact in section["facts"])]) + 2
    for fact in section["facts"]:
        yield from _fact(fact, min(label, wide // 3), wide, colour)


def _fact(fact: Mapping[str, Any], label: int, wide: int, colour: bool) -> Iterator[str]:
    room = wide - label - 2
    what, lines = escape(fact["what"]), _wrapped(escape(fact["value"]), room)
    if len(what) < label:
        yield "  " + what.ljust(label) + lines.pop(0)
    else:
        yield "  " + what
    yield from (" " * (label + 2) + line for line in lines)
    for text in (fact["note"], f"$ {fact['by_hand']}" if fact["by_hand"] else ""):
        # a command stays on one line, to be copied
        lines = [escape(text)] if text.startswith("$") else _wrapped(escape(text), room)
        for line in lines if text else ():
            yield " " * (label + 2) + _painted(line, "dim", colour)


def _painted(text: str, kind: str, colour: bool) -> str:
    return f"\x1b[{_SGR[kind]}m{text}\x1b[0m" if colour and text else text


def _wrapped(text: str, room: int) -> list[str]:
    """The words in lines of at most `room` columns; a word that is longer is cut up."""
    room = max(room, 8)
    lines, line = [], ""
    for whole in text.split(" "):
        word = whole
        while len(word) > room:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:room])
            word = word[room:]
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


# ------------------------------------------------------------------ trace


def trace(found: Mapping[str, Any], *, width: int, colour: bool) -> str:
    """What was done, oldest first; the last start in its parts."""
    lines = [f"{escape(found['name'])}  {found['id'][:12]}"]
    if not found["lines"]:
        lines.append("nothing was noted yet")
    last_start = _last_start(found["lines"])
    longest = max((len(line["what"]) for line in found["lines"]), default=0)
    for line in found["lines"]:
        lines.append(_deed(line, longest, colour))
        if line is last_start and found["start"]:
            lines += _waterfall(found["start"], width, colour)
    return "\n".join(lines) + "\n"


def _last_start(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    starts = [line for line in lines if line["what"] in ("start", "restart", "run")]
    good = [line for line in starts if not line.get("error")]
    return good[-1] if good else None


def _deed(line: Mapping[str, Any], longest: int, colour: bool) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line["at"]))
    who = f"  pid {line['pid']} uid {line.get('uid', 0)}" if line.get("pid") else ""
    what, ms = line["what"].ljust(longest), f"{line['ms']:>10.1f} ms"
    text = f"{when}.{int(line['at'] % 1 * 1000):03d}  {what} {ms}{who}"
    if line.get("error"):
        text += "  " + _painted(f"failed: {escape(line['error'])}", "red", colour)
    return text


def _waterfall(start: Mapping[str, Any], width: int, colour: bool) -> Iterator[str]:
    """Each part of a start as a bar at its place in time."""
    total = start["total_ms"] or 1.0
    bar = max(10, min(width - 46, 60))
    at = 0.0
    for step in start["steps"]:
        yield _bar_line(step["step"], at, step["ms"], total, bar, colour)
        inner_at = at
        for name, ms in step.get("inner", {}).items():
            yield _bar_line("  " + name, inner_at, ms, total, bar, colour)
            inner_at += ms
        at += step["ms"]


def _bar_line(name: str, at: float, ms: float, total: float, bar: int, colour: bool) -> str:
    begin = min(bar - 1, int(at / total * bar))
    length = max(1, min(bar - begin, round(ms / total * bar)))
    drawn = " " * begin + _painted("█" * length, "green", colour)
    return f"    {escape(name):<24} {ms:>8.1f} ms  {drawn}".rstrip()
