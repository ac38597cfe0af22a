"""Flags about what a box shares with its host, and the small parsers behind them."""

from __future__ import annotations

from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Option
from boxy_core.units import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

LARGEST_PROFILE = 1 << 20
"""bytes of a seccomp profile; the daemon takes no larger request"""


def shared(text: str) -> str:
    """`private`, `host` or `box:NAME`; Docker's words for them are understood."""
    text = {"shareable": "private", "": "private"}.get(text, text)
    if text.startswith("container:"):
        text = "box:" + text.removeprefix("container:")
    if text in ("private", "host") or (text.startswith("box:") and text != "box:"):
        return text
    raise InvalidRequest(
        f"{text!r} is none of private, host, box:NAME", hint="boxy help run explains each"
    )


def tmpfs(text: str) -> dict[str, object]:
    """`/run:size=64m,mode=755,exec,ro` as a mount."""
    target, _, options = text.partition(":")
    if not target.startswith("/"):
        raise InvalidRequest(f"{text!r} names no folder", hint="write it like /run:size=64m")
    mount: dict[str, object] = {"type": "tmpfs", "target": target}
    for word in options.split(",") if options else ():
        name, _, value = word.partition("=")
        if name == "size" and value:
            mount["size"] = parse_size(value)
        elif name == "mode" and value and set(value) <= set("01234567"):
            mount["mode"] = int(value, 8)
        elif word in ("exec", "ro"):
            mount["exec" if word == "exec" else "read_only"] = True
        elif word not in ("rw", "noexec", "nosuid", "nodev"):  # as it is anyway
            raise InvalidRequest(
                f"{word!r} is no option of a tmpfs", hint="size=SIZE, mode=OCTAL, exec, ro"
            )
    return mount


def ulimit(text: str) -> tuple[str, dict[str, int]]:
    """`nofile=1024:4096`, `core=0`, `memlock=unlimited`."""
    name, equals, value = text.partition("=")
    soft, colon, hard = value.partition(":")
    if not name or not equals:
        raise InvalidRequest(f"{text!r} is not NAME=SOFT[:HARD]", hint="as in nofile=1024:4096")
    return name, {"soft": _number(soft), "hard": _number(hard if colon else soft)}


def _number(text: str) -> int:
    if text in ("unlimited", "-1"):
        return -1
    if not text.isdecimal():
        raise InvalidRequest(f"{text!r} is not a number", hint="or unlimited")
    return int(text)


def sysctl(text: str) -> tuple[str, str]:
    """`net.ipv4.ip_forward=1`."""
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise InvalidRequest(f"{text!r} is not NAME=VALUE", hint="as in net.ipv4.ip_forward=1")
    return name.strip(), value.strip()


def device(text: str) -> dict[str, str]:
    """`/dev/fuse`, `/dev/sda:/dev/xvda`, `/dev/kvm:rw`, `/dev/sda:/dev/xvda:r`."""
    source, *rest = text.split(":")
    access = rest.pop() if rest and not rest[-1].startswith("/") else "rwm"
    target = rest.pop() if rest else source
    if rest or not source.startswith("/") or not access or set(access) - set("rwm"):
        raise InvalidRequest(
            f"{text!r} is not DEVICE[:DEVICE-IN-BOX][:rwm]", hint="as in /dev/fuse:rw"
        )
    return {"source": source, "target": target, "access": access}


def rate(text: str) -> tuple[str, int]:
    """`/dev/vda:10m`: a device and bytes a second."""
    path, _, amount = text.rpartition(":")
    if not path:
        raise InvalidRequest(f"{text!r} is not DEVICE:RATE", hint="as in /dev/vda:10m")
    return path, parse_size(amount)


def count(text: str) -> tuple[str, int]:
    """`/dev/vda:100`: a device and operations a second."""
    path, _, amount = text.rpartition(":")
    if not path or not amount.isdecimal():
        raise InvalidRequest(f"{text!r} is not DEVICE:NUMBER", hint="as in /dev/vda:100")
    return path, int(amount)


def pages(text: str) -> tuple[str, int]:
    """`2MB=64m`: a size of huge pages and bytes of them."""
    size, equals, amount = text.partition("=")
    if not size or not equals:
        raise InvalidRequest(f"{text!r} is not PAGESIZE=SIZE", hint="as in 2MB=64m")
    return size, parse_size(amount)


def storage(text: str) -> int:
    """`size=1g`: as Docker spells the limit of the writable layer."""
    name, _, value = text.partition("=")
    if name != "size" or not value:
        raise InvalidRequest(f"{text!r} is unknown", hint="size=1g is what there is")
    return parse_size(value)


SPACES = (
    Option("--pid", metavar="MODE", parse=shared,
           help="processes that it sees: private, host, or box:NAME for that box's"),
    Option("--ipc", metavar="MODE", parse=shared,
           help="shared memory and queues: private, host, or box:NAME"),
    Option("--uts", metavar="MODE", choices=("private", "host"), help="host: the host's name"),
    Option("--cgroupns", metavar="MODE", choices=("private", "host"),
           help="host: cgroups bear the host's names"),
    Option("--time", metavar="MODE", choices=("host", "private"),
           help="private: clocks that count from its start, the host's uptime unseen"),
)  # fmt: skip
CONFINEMENT = (
    Option("--tmpfs", metavar="FOLDER[:OPTIONS]", many=True, parse=tmpfs,
           help="memory as a folder; size=SIZE, mode=OCTAL, exec, ro"),
    Option("--shm-size", metavar="SIZE", parse=parse_size, help="size of /dev/shm (64m)"),
    Option("--ulimit", metavar="NAME=SOFT[:HARD]", many=True, parse=ulimit,
           help="limit of each process, as nofile, nproc, core"),
    Option("--sysctl", metavar="NAME=VALUE", many=True, parse=sysctl,
           help="kernel setting of its own namespaces, as net.ipv4.ip_forward=1"),
    Option("--device", metavar="DEVICE[:TARGET][:rwm]", many=True, parse=device, kind="file",
           help="a device of the host that it may read (r), write (w), make (m)"),
    Option("--device-cgroup-rule", metavar="RULE", many=True,
           help="devices it may use if it has a node for them: 'c 10:* rwm'"),
    Option("--privileged", help="all that its user namespace permits: every capability, no filter"),
)  # fmt: skip
SECURITY = Option(
    "--security", metavar="OPTION", many=True, aliases=("--security-opt",),
    help="seccomp=FILE|unconfined, no-new-privileges=false, systempaths=unconfined",
)  # fmt: skip


def fields(args: Args) -> dict[str, Any]:
    """The fields of the model BoxSpec that these flags give."""
    return {
        "pid": args["pid"],
        "ipc": args["ipc"],
        "uts": args["uts"],
        "cgroupns": args["cgroupns"],
        "timens": args["time"],
        "shm_size": args["shm_size"],
        "ulimits": dict(args["ulimit"]),
        "sysctls": dict(args["sysctl"]),
        "devices": args["device"],
        "device_rules": args["device_cgroup_rule"],
        "privileged": args["privileged"],
        **security(args["security"]),
    }


def security(given: list[str]) -> dict[str, Any]:
    """What `--security` says.  Raises InvalidRequest naming the option."""
    found: dict[str, Any] = {}
    for text in given:
        name, _, value = text.replace(":", "=", 1).partition("=")
        if name == "seccomp" and value in ("unconfined", "default", "builtin"):
            found["seccomp"] = "default" if value == "builtin" else value
        elif name == "seccomp" and value:
            found["seccomp_profile"] = _profile(value)
        elif name == "no-new-privileges" and value in ("", "true", "false"):
            found["no_new_privs"] = value != "false"
        elif name == "systempaths" and value == "unconfined":
            found["system_paths"] = value
        else:
            raise InvalidRequest(
                f"--security: {text!r} is unknown",
                hint="seccomp=FILE, seccomp=unconfined, no-new-privileges=false, "
                "systempaths=unconfined",
            )
    return found


def _profile(path: str) -> dict[str, Any]:
    """The seccomp profile in a file, which the daemon checks; here only that it is JSON."""
    from boxy_core import wirejson

    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_PROFILE)
        profile = wirejson.loads(data)
    except OSError as error:
        raise InvalidRequest(
            f"--security: {path}: {error.strerror}",
            hint="name a file of JSON that can be read; docs/reference/cli.md tells its fields",
        ) from None
    except ValueError as error:
        raise InvalidRequest(
            f"--security: {path} is not JSON: {error}",
            hint="docs/reference/cli.md tells its fields",
        ) from None
    if not isinstance(profile, dict):
        raise InvalidRequest(
            f"--security: {path} is not a JSON object",
            hint="docs/reference/cli.md tells its fields",
        )
    return profile
