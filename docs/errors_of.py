"""Every error that Boxy can raise, found in its source: kind, sentence, hint, place.

A sentence's holes are shown as `{name}`. What cannot be read from the call alone (a sentence
that a function makes, an error rebuilt from the wire) is left out: it is found where it is made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("boxy_core", "boxyd", "boxy_cli", "boxy_tui", "boxy_registry")
KINDS = (
    "NotFound", "Conflict", "InvalidRequest", "ImageError", "StartFailed", "CommandNotFound",
    "CommandNotExecutable", "Unsupported", "Denied", "Timeout", "DaemonUnreachable",
    "ProtocolError", "Internal",
)  # fmt: skip


class Error(NamedTuple):
    """One place where an error is made."""

    kind: str
    sentence: str
    hint: str
    path: str
    line: int


def errors() -> list[Error]:
    """All, in the order of the source."""
    found: list[Error] = []
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            found += _in_file(path)
    return found


def _in_file(path: Path) -> Iterator[Error]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and _name(node.func) in KINDS and node.args:
            sentence = _text(node.args[0])
            hints = [_text(word.value) or "..." for word in node.keywords if word.arg == "hint"]
            if sentence:
                where = str(path.relative_to(REPOSITORY))
                yield Error(_name(node.func), sentence, "".join(hints), where, node.lineno)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _text(node: ast.expr) -> str:
    """A string of the source with its holes named; "" if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_piece(value) for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return " | ".join(text for text in (_text(node.body), _text(node.orelse)) if text)
    if isinstance(node, ast.BoolOp):
        return " | ".join(text for text in map(_text, node.values) if text)
    if isinstance(node, (ast.Name, ast.Attribute, ast.Call)):
        return "{" + ast.unparse(node) + "}"
    return ""


def _piece(value: ast.expr) -> str:
    if isinstance(value, ast.FormattedValue):
        return "{" + ast.unparse(value.value) + "}"
    return _text(value)


def as_markdown() -> str:
    """The list for the documentation site."""
    lines: list[str] = []
    for kind in KINDS:
        rows = sorted({(error.sentence, error.hint) for error in errors() if error.kind == kind})
        if rows:
            lines += [f"### {kind}", "", "| Sentence | Hint |", "|---|---|"]
            lines += [f"| {_cell(sentence)} | {_cell(hint)} |" for sentence, hint in rows]
            lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), ("|", "&#124;"), ("{", "&#123;"),
                              ("*", "&#42;"), ("`", "&#96;"), ("_", "&#95;"), ("[", "&#91;"),
                              ("\n", " ")):  # fmt: skip
        text = text.replace(character, entity)
    return text


if __name__ == "__main__":
    for error in errors():
        print(f"{error.kind}: {error.sentence}" + (f"; {error.hint}" if error.hint else ""))
