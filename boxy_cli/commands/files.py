"""`boxy diff`, `export`, `commit`, `clone`, `snapshot`: what a box wrote, and keeping it."""

from __future__ import annotations

import sys
import time

from boxy_cli.archive_out import refuse_terminal, write_archive
from boxy_cli.context import Context, note, say, say_json, width
from boxy_core.client.blocking import box_path
from boxy_core.client.http import quote
from boxy_core.flags.options import Argument, Command, Group, Option
from boxy_core.flags.shared import BOX, JSON
from boxy_core.text import escape
from boxy_core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

_SNAPSHOT = Argument("SNAPSHOT", "name of a snapshot")


def diff(context: Context, args: Args) -> int:
    """Print what a box changed."""
    found = context.client.request("GET", box_path(args["box"], "changes"), timeout=None)
    if args["json"]:
        say_json(found["changes"])
        return 0
    sys.stdout.writelines(
        f"{change['kind']} {escape(change['path'])}\n" for change in found["changes"]
    )
    if found["cut"]:
        note("there are more changes than are told")
    return 0


def export(context: Context, args: Args) -> int:
    """Write a box's whole tree as a tar archive."""
    refuse_terminal(args["output"], "boxy export -o FILE BOX")
    write_archive(args["output"], context.client.download("GET", box_path(args["box"], "export")))
    return 0


def commit(context: Context, args: Args) -> int:
    """Make an image of a box; print its name."""
    wanted = {
        "name": args["name"] or "", "message": args["message"] or "",
        "author": args["author"] or "", "changes": args["change"],
    }  # fmt: skip
    image = context.client.request("POST", box_path(args["box"], "commit"), body=wanted,
                                   timeout=None)  # fmt: skip
    say(escape(image["name"]))
    return 0


def clone(context: Context, args: Args) -> int:
    """Make a box like another; print its id, or start it."""
    query = {"name": args["name"]}
    box = context.client.request("POST", box_path(args["box"], "clone"), query=query, body={},
                                 timeout=None)  # fmt: skip
    if args["start"]:
        context.client.request("POST", box_path(box["id"], "start"), body={}, timeout=None)
    say(escape(box["name"]))
    return 0


# ------------------------------------------------------------------ snapshots


def _path(args: Args, action: str = "") -> str:
    name = quote(args["snapshot"], keep_slash=False)
    return box_path(args["box"], f"snapshots/{name}{'/' + action if action else ''}")


def create(context: Context, args: Args) -> int:
    """Keep a box's files; print the snapshot's name."""
    query = {"name": args["name"]}
    kept = context.client.request("POST", box_path(args["box"], "snapshots"), query=query, body={},
                                  timeout=None)  # fmt: skip
    if kept["frozen"]:
        shared = ", its blocks are shared" if kept["shared"] else ""
        note(f"{format_size(kept['size'])}{shared}; the box stood still "
             f"for {1000 * kept['frozen']:.0f} ms")  # fmt: skip
    say(kept["name"])
    return 0


def ls(context: Context, args: Args) -> int:
    """Print a box's snapshots."""
    found: list[dict[str, Any]] = context.client.request("GET", box_path(args["box"], "snapshots"))
    if args["json"]:
        say_json(found)
    else:
        from boxy_cli.render_files import snapshots

        sys.stdout.write(snapshots(found, time.time(), width=width()))
    return 0


def restore(context: Context, args: Args) -> int:
    """Bring a box's files back; print the box's name."""
    query = {"restart": args["restart"] or None}
    box = context.client.request("POST", _path(args, "restore"), query=query, body={}, timeout=None)
    say(escape(box["name"]))
    return 0


def rm(context: Context, args: Args) -> int:
    """Remove a snapshot; print its name."""
    context.client.request("DELETE", _path(args), timeout=None)
    say(escape(args["snapshot"]))
    return 0


COMMANDS = {
    "diff": Command(
        "diff",
        diff,
        description="Show what a box changed against its image: A added, C changed, D deleted.",
        options=(JSON,),
        arguments=(BOX,),
    ),
    "export": Command(
        "export",
        export,
        description="Write all of a box's own tree, without what is mounted in it, as a tar "
        "archive. A running box stands still for a moment, so the archive is of one moment.",
        options=(
            Option(
                "-o",
                "--output",
                metavar="FILE",
                kind="file",
                help="into this file and not to standard output",
            ),
        ),
        arguments=(BOX,),
        examples=(("boxy export web | ssh host tar -x -C /srv/web", "its tree elsewhere"),),
    ),
    "commit": Command(
        "commit",
        commit,
        description="Make an image of a box: its image with what the box changed on top. "
        "Volumes and mounts are not part of it. A running box stands still for a moment.",
        options=(
            Option(
                "-c",
                "--change",
                metavar="INSTRUCTION",
                many=True,
                help="alter the image: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, WORKDIR",
            ),
            Option("-m", "--message", metavar="TEXT", help="what was done, for the history"),
            Option("-a", "--author", metavar="NAME", help="who did it, for the history"),
            Option("-p", "--pause", help="accepted as in Docker: the box always stands still"),
        ),
        arguments=(
            BOX,
            Argument("NAME", "of the image, NAME[:TAG]; without it the box's", count="?"),
        ),
        examples=(
            ('boxy commit -c \'CMD ["httpd", "-f"]\' web site:2', "for boxes of this machine"),
            ("boxy push site:2 registry.example:5000/team/site:2", "and for others"),
        ),
    ),
    "clone": Command(
        "clone",
        clone,
        description="Make a box like another, with a copy of its files. Volumes and folders of the "
        "host are shared with it.",
        options=(Option("-s", "--start", help="start it, too"),),
        arguments=(BOX, Argument("NAME", "of the new box; without one it is made up", count="?")),
        examples=(("boxy clone db db-try", "try a migration on a copy"),),
    ),
    "snapshot": Group(
        "snapshot",
        (
            Command(
                "snapshot create",
                create,
                description="Keep what a box wrote, as it is at this moment. Volumes are not part "
                "of it. A running box stands still for a moment.",
                arguments=(BOX, Argument("NAME", "without one the time", count="?")),
                examples=(("boxy snapshot create db before-upgrade", "then change what you like"),),
            ),
            Command(
                "snapshot ls",
                ls,
                description="List the snapshots of a box.",
                options=(JSON,),
                arguments=(BOX,),
            ),
            Command(
                "snapshot restore",
                restore,
                description="Bring back what a box had written when the snapshot was made; what it "
                "wrote since is gone. The box must not run.",
                options=(Option("--restart", help="stop it for that, and start it again"),),
                arguments=(BOX, _SNAPSHOT),
            ),
            Command(
                "snapshot rm",
                rm,
                description="Remove a snapshot.",
                arguments=(BOX, _SNAPSHOT),
            ),
        ),
        description="Snapshots of what boxes wrote.",
    ),
}
