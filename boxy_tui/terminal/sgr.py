"""Select Graphic Rendition: parameters to a style (ECMA-48 8.3.117; xterm's ctlseqs for the rest).

Every parameter only assigns, never combines, so a series of sequences has the effect of the last
occurrence of each: `flood.py` relies on it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from boxy_tui.terminal.cells import PLAIN, Color, Style

Param: TypeAlias = int | tuple[int, ...]
"""A parameter, or its colon-separated parts."""

MAX_VALUE = 65_535
MAX_PARAMS = 64

_COLOR_FIELD = {38: "fg", 48: "bg", 58: "underline_color"}
_SIMPLE: dict[int, dict[str, Any]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italic": True},
    4: {"underline": 1},
    5: {"blink": True},
    6: {"blink": True},
    7: {"reverse": True},
    8: {"hidden": True},
    9: {"strike": True},
    21: {"underline": 2},
    22: {"bold": False, "dim": False},
    23: {"italic": False},
    24: {"underline": 0},
    25: {"blink": False},
    27: {"reverse": False},
    28: {"hidden": False},
    29: {"strike": False},
    39: {"fg": None},
    49: {"bg": None},
    53: {"overline": True},
    55: {"overline": False},
    59: {"underline_color": None},
}
for _i in range(8):
    _SIMPLE[30 + _i] = {"fg": _i}
    _SIMPLE[40 + _i] = {"bg": _i}
    _SIMPLE[90 + _i] = {"fg": 8 + _i}
    _SIMPLE[100 + _i] = {"bg": 8 + _i}


def parse_params(text: str) -> tuple[Param, ...]:
    """The parameters between CSI and the final byte; an empty one is 0."""
    if not text:
        return ()
    parts = text.split(";", MAX_PARAMS)[:MAX_PARAMS]
    return tuple(
        [tuple(map(_number, part.split(":"))) if ":" in part else _number(part) for part in parts]
    )


def _number(text: str) -> int:
    if not text:
        return 0
    if len(text) > 5:
        text = text.lstrip("0")[:6] or "0"
    return min(int(text), MAX_VALUE)


def apply_sgr(style: Style, params: tuple[Param, ...]) -> Style:
    """The style after an SGR sequence. What makes no sense is skipped."""
    changes: dict[str, Any] = {}
    todo = list(reversed(params or (0,)))
    while todo:
        param = todo.pop()
        if isinstance(param, tuple):
            _apply_parts(param, changes)
        elif param == 0:
            style = PLAIN._replace(link=style.link, protected=style.protected)
            changes.clear()
        elif param in _COLOR_FIELD:
            color = _take_color(todo)
            if color is not None:
                changes[_COLOR_FIELD[param]] = color
        else:
            changes.update(_SIMPLE.get(param, ()))
    return style._replace(**changes) if changes else style


def _apply_parts(parts: tuple[int, ...], changes: dict[str, Any]) -> None:
    """A parameter with colons: 4:3 is a curly underline, 38:2::R:G:B and 38:5:N are colours."""
    if parts[0] == 4:
        changes["underline"] = min(parts[1], 5)
    elif parts[0] in _COLOR_FIELD:
        color = _color(parts[1], parts[2:])
        if color is not None:
            changes[_COLOR_FIELD[parts[0]]] = color


def _take_color(todo: list[Param]) -> Color:
    """Take the colour that follows 38, 48 or 58 off `todo`; None when there is none."""
    if not todo:
        return None
    kind = todo.pop()
    count = {5: 1, 2: 3}.get(kind, 0) if isinstance(kind, int) else 0
    if not count:
        return None
    taken = [todo.pop() for _ in range(min(count, len(todo)))]
    numbers = [n for n in taken if isinstance(n, int)]
    if len(numbers) < count or not isinstance(kind, int):
        return None
    return _color(kind, tuple(numbers))


def _color(kind: int, values: tuple[int, ...]) -> Color:
    if kind == 5 and values and values[0] < 256:
        return values[0]
    if kind == 2 and len(values) >= 3:
        red, green, blue = values[-3:] if len(values) == 3 else values[1:4]
        if max(red, green, blue) < 256:
            return f"#{red:02x}{green:02x}{blue:02x}"
    return None


def sgr_of(style: Style) -> str:
    """One SGR sequence that turns any style into this one (the link apart)."""
    out = ["0"]
    flags = (style.bold, style.dim, style.italic)
    out += [str(n) for n, on in zip((1, 2, 3), flags, strict=True) if on]
    if style.underline:
        out.append("4" if style.underline == 1 else f"4:{style.underline}")
    flags4 = (style.blink, style.reverse, style.hidden, style.strike, style.overline)
    out += [str(n) for n, on in zip((5, 7, 8, 9, 53), flags4, strict=True) if on]
    for code, color in ((38, style.fg), (48, style.bg), (58, style.underline_color)):
        if isinstance(color, int):
            out.append(f"{code}:5:{color}" if code == 58 else f"{code};5;{color}")
        elif color is not None:
            rgb = [str(int(color[i : i + 2], 16)) for i in (1, 3, 5)]
            joint = "::" if code == 58 else ";"
            out.append(f"{code}{':' if code == 58 else ';'}2{joint}" + joint[:1].join(rgb))
    return "\x1b[" + ";".join(out) + "m"
