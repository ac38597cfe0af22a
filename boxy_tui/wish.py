"""What the form for a new box says, as a request for the daemon.  Pure.

Constraint: a line of flags is read by the command line's own table (`boxy_core.flags`), so that
there is one spelling of everything, and what is new there is new here at once.  An error names
the field that it is about (`details["field"]`), so that the form can say it there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.flags.box import BOX_FLAGS, box_spec
from boxy_core.flags.options import Argument, Command, HelpAsked, Option, parse
from boxy_core.portwords import ports
from boxy_core.units import parse_cpus, parse_size
from boxy_tui import commandline

T = TypeVar("T")

FIELDS = (
    ("image", "Image", "alpine"),
    ("command", "Command", "the image's own"),
    ("name", "Name", "made up if empty"),
    ("memory", "Memory", "512m; no limit if empty"),
    ("cpus", "CPUs", "1.5; no limit if empty"),
    ("env", "Environment", "NAME=value OTHER='two words'"),
    ("network", "Network", "the daemon's default; none, host, a network's name"),
    ("ports", "Ports", "8080:80 53:53/udp; on 127.0.0.1 unless an IP is given"),
    ("volumes", "Volumes", "data:/srv /etc/hosts:/hosts:ro"),
    ("flags", "More flags", "as boxy run takes them: --read-only --cap-drop ALL"),
)
"""name, label, what is shown in an empty field"""
SWITCHES = (
    ("tty", "terminal", True),
    ("rm", "remove at exit", False),
    ("attach", "attach", True),
)
_DETACH = Option("-d", "--detach", help="leave it in the background")
_LINE = Command(
    "run", lambda _context, _args: 0, description="", options=(*BOX_FLAGS, _DETACH),
    arguments=(Argument("WORDS", "", count="*"),),
)  # fmt: skip


class Wish(NamedTuple):
    """What the form says: the spec for the daemon, and whether to attach."""

    spec: dict[str, Any]
    attach: bool


def read_form(values: Mapping[str, str], switches: Mapping[str, bool]) -> Wish:
    """The form's fields as a box spec.  Raises InvalidRequest naming the field."""
    image = values["image"].strip()
    if not image:
        raise InvalidRequest(
            "The image is missing.", hint="tab on the first screen lists them.", field="image"
        )
    spec: dict[str, Any] = {
        "image": image,
        "tty": switches["tty"],
        "stdin": switches["tty"] or switches["attach"],
        "auto_remove": switches["rm"],
    }
    spec |= {key: found for key, found in _fields(values) if found}
    flags, detach = _about("flags", _flags, values.get("flags", ""))
    _merge(spec, flags)
    return Wish(spec, switches["attach"] and not detach)


def _fields(values: Mapping[str, str]) -> Iterable[tuple[str, Any]]:
    """The spec's fields that have a field of their own in the form."""
    yield "command", _about("command", commandline.words, values["command"])
    yield "name", values["name"].strip()
    limits: dict[str, Any] = {}
    if memory := values["memory"].strip():
        limits["memory"] = _about("memory", parse_size, memory)
    if cpus := values["cpus"].strip():
        limits["cpus"] = _about("cpus", parse_cpus, cpus)
    yield "limits", limits
    yield "env", _about("env", _environment, values["env"])
    yield "network", values.get("network", "").strip()
    yield "ports", _about("ports", _ports, values.get("ports", ""))
    yield "mounts", _about("volumes", _mounts, values.get("volumes", ""))


def _about(field: str, read: Callable[[str], T], text: str) -> T:
    """Read a field's text; an error says which field it is about."""
    try:
        return read(text)
    except BoxyError as error:
        error.details["field"] = field
        raise


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidRequest("A quote is not closed.", hint=f"({error})") from None


def _environment(text: str) -> dict[str, str]:
    env = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"{word!r} is not a variable.", hint="Write NAME=value.")
        env[name] = value
    return env


def _ports(text: str) -> list[Any]:
    return [port for word in text.split() for port in ports(word, "Ports")]


def _mounts(text: str) -> list[Any]:
    words = [part for word in _words(text) for part in ("--volume", word)]
    return list(box_spec(parse(_LINE, words)).get("mounts", ()))


def _flags(text: str) -> tuple[dict[str, Any], bool]:
    """The spec that a line of flags means, and whether the box is to stay in the background."""
    try:
        args = parse(_LINE, _words(text))
    except HelpAsked:
        raise InvalidRequest(
            "This line takes flags of `boxy run`.", hint="`boxy help run` lists them."
        ) from None
    if args["words"]:
        raise InvalidRequest(
            f"{args['words'][0]!r} is no flag.", hint="The command has a field of its own."
        )
    return box_spec(args), args["detach"]


def _merge(spec: dict[str, Any], flags: Mapping[str, Any]) -> None:
    """Add the flags to the fields: lists and tables grow, the rest is said once."""
    for key, value in flags.items():
        mine = spec.get(key)
        if isinstance(value, list) and isinstance(mine, list):
            spec[key] = [*mine, *value]
        elif isinstance(value, dict) and isinstance(mine, dict):
            _merge(mine, value)
        elif isinstance(mine, bool):
            spec[key] = mine or value
        elif mine in (None, "", value):
            spec[key] = value
        else:
            raise InvalidRequest(
                f"{key} is said twice: {mine!r} in its field, {value!r} among the flags.",
                hint="Leave one of them out.",
                field="flags",
            )


def field_of(error: BoxyError, values: Mapping[str, str]) -> str:
    """The field that an error is about, "" if it is about none or about the whole."""
    field = error.details.get("field")
    if isinstance(field, str) and field in values:
        return field
    for name in ("name", "network", "image"):
        text = values[name].strip()
        if text and (f"'{text}'" in error.message or f" {text} " in f"{error.message} "):
            return name
    return ""


def completion(line: str) -> str:
    """The line with its last word, the beginning of a flag, completed; "" if it is none."""
    word = line.rpartition(" ")[2]
    if not word.startswith("--") or len(word) < 3:
        return ""
    names = sorted(flag for option in _LINE.options for flag in option.flags)
    found = next((name for name in names if name.startswith(word) and name != word), "")
    return line + found[len(word) :] if found else ""
