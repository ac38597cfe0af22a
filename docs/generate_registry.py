"""Write docs/reference/registry.md from the settings and commands; `--check` compares."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from boxy_registry import config, main, sections

PAGE = Path(__file__).parent / "reference" / "registry.md"
HEAD = """\
# The registry: settings and commands

Made from the program's own tables by `python docs/generate_registry.py`; do not edit.
[Run a registry for your team](../how-to/registry.md) is the page to begin with.

A flag wins over the settings file, that over the default. The file is TOML, named by `--config` or
by `BOXY_REGISTRY_CONFIG`. A setting that is misspelt keeps the registry from starting, with its
name. Times are `30s`, `10m`, `1h`, `7d`; sizes `512m`, `10g`; `0` means none, or without bound.
SIGHUP has certificates, users and rules read again; everything else is read at the start.
"""
GROUPS: tuple[tuple[str, str, type], ...] = (
    ("", "At the top of the file", config.Settings),
    ("[limits]", "What one client or one thing may take", config.Limits),
    ("[collection]", "Garbage collection while it serves", config.Collection),
    ("[tls]", "Certificates", sections.Tls),
    ("[auth]", "Users", sections.Auth),
    ("[[mirror]]", "A pull-through cache; may stand several times", sections.Mirror),
    ("[[retention]]", "Which tags are kept; the first that fits counts", sections.Retention),
    ("[[hook]]", "Where pushes and deletes are told; may stand several times", sections.Hook),
)


def page() -> str:
    """The whole page."""
    lines = [HEAD, "## Settings"]
    for name, title, struct in GROUPS:
        heading = f"### `{name}`" if name else "### Top"
        lines += [
            "",
            heading,
            "",
            f"{title}.",
            "",
            "| setting | default | meaning |",
            "|---|---|---|",
        ]
        lines += list(_rows(struct))
    lines += ["", "## Commands", ""]
    lines += ["`boxy-registry COMMAND --help` tells a command's options.", ""]
    lines += ["| command | what it does |", "|---|---|"]
    for command, (_, summary) in main.COMMANDS.items():
        lines.append(f"| `boxy-registry {command}` | {summary} |")
    return "\n".join(lines).rstrip() + "\n"


def _rows(struct: type) -> Iterator[str]:
    notes = _notes(struct)
    for field in msgspec.structs.fields(struct):
        if field.default_factory is not msgspec.NODEFAULT:
            continue  # a group of its own
        if _is_group(field.name):
            continue
        default = "needed" if field.default is msgspec.NODEFAULT else _shown(field.default)
        note = notes.get(field.name, "").replace("\n", " ").replace("|", "\\|")
        yield f"| `{field.name}` | {default} | {note} |"


def _is_group(name: str) -> bool:
    return any(group.strip("[]") == name for group, _, _ in GROUPS)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(repr, value))}]`".replace("'", '"') if value else "none"
    return f"`{value}`" if value != "" else "none"


def _notes(struct: type) -> dict[str, str]:
    """The string below each field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(note, ast.Expr)
            and isinstance(note.value, ast.Constant)
        ):
            found[field.target.id] = str(note.value.value)
    return found


if __name__ == "__main__":
    if "--check" in sys.argv:
        if PAGE.read_text() != page():
            sys.exit(f"{PAGE} is not current; say: python docs/generate_registry.py")
    else:
        PAGE.write_text(page())
