"""The flags that say what a box is to be, and the BoxSpec that they mean.

For `boxy run`, `boxy create` and the console's form: one table, one reading.
"""

from __future__ import annotations

from boxy_core.flags.isolation import CONFINEMENT, SECURITY, SPACES
from boxy_core.flags.isolation import fields as isolation
from boxy_core.flags.mounts import MOUNTS, mounts_spec
from boxy_core.flags.network import NETWORK, network_spec
from boxy_core.flags.options import Option
from boxy_core.flags.shared import ENVIRONMENT, LIMITS, environment, limits, pairs, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

BOX_FLAGS = (
    Option("-i", "--interactive", help="keep standard input open"),
    Option("-t", "--tty", help="give it a terminal"),
    Option("--name", metavar="NAME", help="name of the box; without it one is made up"),
    Option("--rm", help="remove the box when it ends"),
    Option("-h", "--hostname", metavar="NAME", help="its host name (usually the short id)"),
    *ENVIRONMENT,
    Option("-w", "--workdir", metavar="FOLDER", help="folder that the command starts in"),
    Option("-u", "--user", metavar="USER[:GROUP]", help="name or number of who runs the command"),
    Option("--entrypoint", metavar="COMMAND", help="replace the image's entrypoint"),
    Option("-l", "--label", metavar="NAME=VALUE", many=True, help="attach a label"),
    *MOUNTS,
    *LIMITS,
    Option("--pull", metavar="WHEN", choices=("missing", "always", "never"),
           help="whether to ask the registry: missing (if it is not here), always, never"),
    *CONFINEMENT,
    Option("--read-only", help="nothing outside of /dev, /run, /tmp and volumes can be written"),
    Option("--init", help="reap processes by a small PID 1 above the command"),
    Option("--cap-add", metavar="CAPABILITY", many=True, help="give a capability, or ALL"),
    Option("--cap-drop", metavar="CAPABILITY", many=True, help="take a capability, or ALL"),
    SECURITY,
    Option("--userns", metavar="MODE", choices=("private", "host"),
           help="private: root in the box is nobody outside; host: it is root"),
    *NETWORK,
    *SPACES,
    Option("--stop-signal", metavar="SIGNAL", kind="signal", help="what boxy stop sends"),
    Option("--stop-timeout", metavar="TIME", parse=seconds,
           help="grace period between stop and kill (10s)"),
)  # fmt: skip


def box_spec(args: Args) -> dict[str, Any]:
    """The fields of the model BoxSpec that the flags mean; only what was given."""
    given: dict[str, Any] = {
        "name": args["name"],
        "entrypoint": _entrypoint(args["entrypoint"]),
        "env": environment(args["env"], args["env_file"]),
        "workdir": args["workdir"],
        "user": args["user"],
        "hostname": args["hostname"],
        "labels": pairs("--label", args["label"]),
        "tty": args["tty"],
        "stdin": args["interactive"],
        "auto_remove": args["rm"],
        **network_spec(args.values),
        "limits": limits(args.values),
        **mounts_spec(args.values),
        "read_only": args["read_only"],
        "init": args["init"],
        "cap_add": args["cap_add"],
        "cap_drop": args["cap_drop"],
        "userns": args["userns"],
        **isolation(args),
        "stop_signal": args["stop_signal"],
        "stop_timeout": args["stop_timeout"],
    }
    wanted = {
        key: value
        for key, value in given.items()
        if value or isinstance(value, float) or (key == "no_new_privs" and value is False)
    }
    if args["entrypoint"] == "":
        wanted["entrypoint"] = []  # the image's is taken away
    return wanted


def _entrypoint(text: str | None) -> list[str] | None:
    return [text] if text else None
