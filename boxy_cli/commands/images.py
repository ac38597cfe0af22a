"""`boxy pull`, `push`, `tag`, `rmi`, `save`, `load`: images that come and go."""

from __future__ import annotations

import os
import sys

from boxy_cli.archive_out import refuse_terminal, write_archive
from boxy_cli.context import Context, is_terminal, note, report, say
from boxy_core.client.http import quote
from boxy_core.errors import BoxyError, InvalidRequest, NotFound
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.text import escape
from boxy_core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from boxy_core.flags.options import Args

CLEAR = "\r\x1b[K"
_MARKS = {"exists": "already here", "done": "done"}


def image_path(name: str, action: str = "") -> str:
    """The API path of an image; its name may hold slashes."""
    return f"/images/{quote(name)}{'/' + action if action else ''}"


def pull(context: Context, args: Args) -> int:
    """Fetch images; print the name of each."""
    query = {"platform": args["platform"], "insecure": args["insecure"] or None}

    def one(name: str) -> None:
        lines = context.client.stream("POST", image_path(name, "pull"), query=query)
        last = _followed(lines, name, quiet=args["quiet"])
        image = last["image"]
        say(escape(image["name"]))
        if image.get("problem"):
            note(escape(f"{image['name']}: {image['problem']}"))

    return _each(args["image"], one)


def push(context: Context, args: Args) -> int:
    """Send an image; print where it is now."""
    query = {"to": args["reference"], "insecure": args["insecure"] or None}
    lines = context.client.stream("POST", image_path(args["image"], "push"), query=query)
    last = _followed(lines, args["reference"] or args["image"], quiet=args["quiet"])
    pushed = last["pushed"]
    say(f"{escape(pushed['reference'])}@{escape(pushed['digest'])}")
    return 0


def check_or_pull(context: Context, image: str, when: str) -> None:
    """What `--pull` asks for: a look at the registry, or none. Raises NotFound."""
    if when == "never":
        context.client.request("GET", image_path(image), timeout=None)
        return
    lines = context.client.stream("POST", image_path(image, "pull"))
    _followed(lines, image, quiet=False)


def tag(context: Context, args: Args) -> int:
    """Give an image a further name."""
    context.client.request(
        "POST", image_path(args["image"], "tag"), query={"to": args["name"]}, body={}, timeout=None
    )
    return 0


def remove(context: Context, args: Args) -> int:
    """Remove images; print what was removed and the room that it gave."""
    query = {"force": True} if args["force"] else None
    freed = 0

    def one(name: str) -> None:
        nonlocal freed
        try:
            told = context.client.request("DELETE", image_path(name), query=query, timeout=None)
        except NotFound:
            if not args["force"]:
                raise
            return
        freed += told["freed"]
        for gone in told["removed"]:
            say(escape(gone))

    status = _each(args["image"], one)
    if freed:
        note(f"{format_size(freed)} freed")
    return status


def prune(context: Context, *, everything: bool) -> int:
    """Free what no image has."""
    told = context.client.request(
        "POST", "/images/prune", query={"all": everything or None}, body={}, timeout=None
    )
    for gone in told["removed"]:
        say(escape(gone))
    note(f"{format_size(told['freed'])} freed")
    return 0


def save(context: Context, args: Args) -> int:
    """Write images into one archive."""
    refuse_terminal(args["output"], "boxy save -o FILE IMAGE")
    pieces = context.client.download("POST", "/images/save", query={"name": args["image"]})
    write_archive(args["output"], pieces)
    return 0


def load(context: Context, args: Args) -> int:
    """Take images from an archive; print their names."""
    source = args["input"]
    if source is None and is_terminal(0):
        raise InvalidRequest("there is no archive on standard input", hint="boxy load -i FILE")
    try:
        fd = 0 if source in (None, "-") else os.open(source, os.O_RDONLY)
    except OSError as error:
        raise InvalidRequest(
            f"{source} cannot be read: {error.strerror}",
            hint="name an archive that boxy save or docker save wrote",
        ) from None
    try:
        images = context.client.upload(
            "/images/load", lambda n: os.read(fd, n), query={"name": args["name"]}
        )
    finally:
        if fd:
            os.close(fd)
    for image in images:
        say(escape(image["name"]))
    return 0


def _each(names: list[str], act: Callable[[str], None]) -> int:
    """Do `act` for every image named; report each failure; 1 if any failed."""
    status = 0
    for name in names:
        try:
            act(name)
        except BoxyError as error:
            if error.code == "daemon-unreachable":
                raise
            report(error)
            status = 1
    return status


# ------------------------------------------------------------------ progress


def _followed(lines: Iterable[dict[str, Any]], name: str, *, quiet: bool) -> dict[str, Any]:
    """Show the steps where somebody watches, one line for each layer; the last line."""
    screen = _Screen() if not quiet and is_terminal(2) else None
    last: dict[str, Any] = {}
    try:
        for line in lines:
            last = line
            if "step" in line and screen is not None:
                screen.show(picture(name, line, screen.columns))
    finally:
        if screen is not None:
            screen.leave()
    return last


def picture(name: str, line: dict[str, Any], columns: int) -> list[str]:
    """The lines that tell of a step: the whole, then each layer. Pure."""
    done, total = line.get("done") or 0, line.get("total") or 0
    share = f" {format_size(done)} of {format_size(total)}" if total else ""
    shown = [f"{escape(name)}: {escape(str(line['step']))}{share}"]
    for layer, told in (line.get("layers") or {}).items():
        state = str(told.get("state"))
        size = told.get("total") or 0
        if state in ("downloading", "pushing") and size:
            bar = _bar(min(1.0, (told.get("done") or 0) / size), 24)
            shown.append(f"  {escape(layer)} {bar} {format_size(size)}")
        else:
            shown.append(f"  {escape(layer)} {escape(_MARKS.get(state, state))}")
    return [text[: max(10, columns - 1)] for text in shown]


def _bar(share: float, width: int) -> str:
    full = int(share * width)
    return f"[{'=' * full}{' ' * (width - full)}] {100 * share:3.0f} %"


class _Screen:
    """A few lines of the terminal that are drawn again in place."""

    def __init__(self) -> None:
        size = os.get_terminal_size(2)
        self.columns = size.columns
        self._rows = max(2, size.lines - 2)
        self._drawn = 0

    def show(self, lines: list[str]) -> None:
        lines = lines[: self._rows]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        sys.stderr.write(up + "".join(f"{CLEAR}{text}\n" for text in lines) + "\x1b[J")
        sys.stderr.flush()
        self._drawn = len(lines)

    def leave(self) -> None:
        """Take the lines away."""
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            sys.stderr.flush()


INSECURE = Option("--insecure", help="allow plain http, or https with an unknown certificate")
_QUIET = Option("-q", "--quiet", help="show no progress")
_IMAGE = Argument("IMAGE", "name of an image that is here; boxy images lists them", kind="image")

COMMANDS = {
    "pull": Command(
        "pull",
        pull,
        description="Fetch images from a registry: HOST[:PORT]/PATH[:TAG], or a digest instead of "
        "the tag. Layers that are here already are not fetched again; what an interrupted pull "
        "has brought is kept. For an image of a registry folder, its archive is fetched and "
        "unpacked.",
        options=(
            Option("--platform", metavar="PLATFORM",
                   help="of an image for several: linux/arm64"),
            INSECURE,
            _QUIET,
        ),
        arguments=(Argument("IMAGE", "HOST[:PORT]/PATH[:TAG]", count="+", kind="image"),),
        examples=(
            ("boxy pull registry.example/team/app:1.2", "from a registry of your own"),
            ("boxy pull 127.0.0.1:5000/alpine", "from this machine, over plain http"),
        ),
    ),
    "push": Command(
        "push",
        push,
        description="Send an image to a registry, under its own name or another. Layers that the "
        "registry has are not sent.",
        options=(INSECURE, _QUIET),
        arguments=(
            _IMAGE,
            Argument("REFERENCE", "HOST[:PORT]/PATH[:TAG], if not the image's name", count="?"),
        ),
        examples=(("boxy push alpine 127.0.0.1:5000/team/alpine:3", "also from a folder"),),
    ),
    "tag": Command(
        "tag",
        tag,
        description="Give an image a further name. Nothing is copied.",
        arguments=(_IMAGE, Argument("NAME", "the new name: PATH[:TAG], or with HOST in front")),
        examples=(("boxy tag alpine registry.example/base:1", "to be pushed"),),
    ),
    "rmi": Command(
        "rmi",
        remove,
        description="Remove images. Layers that no other image and no box has are freed. An image "
        "that a box uses is only removed with -f, and the box keeps its layers. Of an image of a "
        "registry folder the unpacked layers go; the folder stays.",
        options=(Option("-f", "--force", help="also if boxes use it; not existing is no error"),),
        arguments=(Argument("IMAGE", "name, or beginning of an id", count="+", kind="image"),),
    ),
    "save": Command(
        "save",
        save,
        description="Write images into one tar archive, which is an OCI layout and a Docker "
        "archive at once: boxy load, docker load, podman load and skopeo read it.",
        options=(Option("-o", "--output", metavar="FILE", kind="file", help="not to stdout"),),
        arguments=(Argument("IMAGE", "name of an image", count="+", kind="image"),),
        examples=(("boxy save alpine | ssh other boxy load", "to another machine"),),
    ),
    "load": Command(
        "load",
        load,
        description="Take images from an archive that boxy save, docker save, podman save or "
        "skopeo made, compressed or not.",
        options=(
            Option("-i", "--input", metavar="FILE", kind="file", help="not from stdin"),
            Option("--name", metavar="NAME", help="for the one image of the archive"),
        ),
    ),
}  # fmt: skip
