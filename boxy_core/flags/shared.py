"""Flags that several commands share, and the small parsers behind them."""

from __future__ import annotations

from boxy_core.errors import InvalidRequest
from boxy_core.flags.isolation import count, pages, rate, storage
from boxy_core.flags.options import Argument, Option
from boxy_core.lean import environ
from boxy_core.units import parse_cpus, parse_duration, parse_size

BOX = Argument("BOX", "id, unique beginning of an id, or name", kind="box")
BOXES = Argument("BOX", "id, unique beginning of an id, or name", count="+", kind="box")

DETACH_KEYS = Option(
    "--detach-keys",
    metavar="KEYS",
    help="keys that leave the box running (ctrl-p,ctrl-q; none; BOXY_DETACH_KEYS)",
)
SIG_PROXY = Option("--no-sig-proxy", help="without a terminal: keep signals for boxy itself")
JSON = Option("--json", help="print JSON")
ENVIRONMENT = (
    Option("-e", "--env", metavar="NAME=VALUE", many=True,
           help="set a variable; NAME alone takes it from here"),
    Option("--env-file", metavar="FILE", many=True, kind="file",
           help="read variables from a file, one NAME=VALUE per line"),
)  # fmt: skip


def _pids(text: str) -> int:
    if text == "-1" or (text.isdecimal() and int(text) > 0):
        return int(text)
    raise InvalidRequest(f"{text!r} is not a number of processes", hint="-1 takes the limit away")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise InvalidRequest(f"{text!r} is not a whole number", hint="as in 0, 1, 20")
    return int(text)


def _cpus(text: str) -> float:
    return parse_cpus(text)


def _swap(text: str) -> int:
    return -1 if text == "-1" else parse_size(text)


LIMITS = (
    Option("-m", "--memory", metavar="SIZE", parse=parse_size,
           help="memory at most: 512m, 1.5g"),
    Option("--memory-swap", metavar="SIZE", parse=_swap,
           help="memory and swap together at most, -1: any; without it no swap"),
    Option("--memory-reservation", metavar="SIZE", parse=parse_size,
           help="memory that is taken from it last when the host runs short"),
    Option("--cpus", metavar="N", parse=_cpus, help="CPUs at most: 2, 0.5"),
    Option("-c", "--cpu-shares", metavar="N", parse=_number,
           help="weight against other boxes, 2 to 262144, usually 1024"),
    Option("--cpuset-cpus", metavar="LIST", help="only these CPUs: 0-1,3", aliases=("--cpuset",)),
    Option("--pids-limit", metavar="N", parse=_pids, help="processes at most; -1 for no limit"),
    Option("--io-weight", metavar="N", parse=_number, aliases=("--blkio-weight",),
           help="weight of its disk accesses, 10 to 1000"),
    Option("--device-read-bps", metavar="DEVICE:RATE", many=True, parse=rate,
           help="bytes a second that it reads from a disk at most: /dev/vda:10m"),
    Option("--device-write-bps", metavar="DEVICE:RATE", many=True, parse=rate,
           help="bytes a second that it writes at most"),
    Option("--device-read-iops", metavar="DEVICE:N", many=True, parse=count,
           help="reads a second at most"),
    Option("--device-write-iops", metavar="DEVICE:N", many=True, parse=count,
           help="writes a second at most"),
    Option("--hugetlb", metavar="PAGESIZE=SIZE", many=True, parse=pages,
           help="huge pages at most: 2MB=64m"),
    Option("--disk", metavar="SIZE", parse=parse_size,
           help="size of its writable layer at most (ext4 or XFS with project quota)"),
    Option("--storage-opt", metavar="size=SIZE", parse=storage,
           help="the same, in Docker's words"),
)  # fmt: skip
_LIMIT_KEYS = {
    "memory": "memory", "memory_swap": "memory_swap", "cpus": "cpus", "cpu_shares": "cpu_shares",
    "cpuset_cpus": "cpuset", "pids_limit": "pids", "io_weight": "io_weight",
    "memory_reservation": "memory_reservation", "storage_opt": "disk", "disk": "disk",
    "device_read_bps": "io_read_bps", "device_write_bps": "io_write_bps",
    "device_read_iops": "io_read_iops", "device_write_iops": "io_write_iops",
    "hugetlb": "hugetlb",
}  # fmt: skip


def limits(values: dict[str, object]) -> dict[str, object]:
    """The model Limits of what was given."""
    given = {
        field: values[key] for key, field in _LIMIT_KEYS.items() if values[key] not in (None, [])
    }
    return {
        field: dict(value) if isinstance(value, list) else value for field, value in given.items()
    }


def seconds(text: str) -> float:
    """A grace period; -1 is for ever, as in Docker."""
    return 1e9 if text == "-1" else parse_duration(text)


def pairs(flag: str, given: list[str]) -> dict[str, str]:
    """`NAME=VALUE` words as a dict; NAME alone has an empty value."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name:
            raise InvalidRequest(f"{flag}: {text!r} has no name", hint=f"write {flag} NAME=VALUE")
        found[name] = value
    return found


def environment(given: list[str], files: list[str]) -> dict[str, str]:
    """The variables of `--env-file` and then `--env`; what is not set here either is left out."""
    lines: list[tuple[str, str]] = []
    for path in files:
        lines += [("--env-file", line) for line in _read_lines(path)]
    lines += [("--env", text) for text in given]
    env: dict[str, str] = {}
    for flag, text in lines:
        name, equals, value = text.partition("=")
        if not name or " " in name:
            raise InvalidRequest(
                f"{flag}: {text!r} is not NAME=VALUE",
                hint="as in COLOR=blue; a name alone takes its value from here",
            )
        if equals:
            env[name] = value
        elif name in environ():
            env[name] = environ()[name]
    return env


def _read_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        raise InvalidRequest(
            f"--env-file {path}: {error.strerror}",
            hint="name a file with a NAME=VALUE in each line",
        ) from None
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]
