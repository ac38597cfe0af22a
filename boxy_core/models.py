"""The nouns of Boxy as plain data, and the table of a box's states.  Pure.

Constraint: these structs *are* the wire format and the files on disk, so every field has a
default or is required for good reason, unknown fields are refused by name, and units are in
the docstrings.  The CLI does not import this module (it works on decoded JSON).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from boxy_core.errors import InvalidRequest
from boxy_core.models_network import Endpoint, Port, Published


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all models: immutable, keyword-only, strict about unknown fields."""


class Status(StrEnum):
    """Where a box is in its life; see `TRANSITIONS`."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    EXITED = "exited"
    LOST = "lost"
    REMOVING = "removing"


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset({Status.STARTING, Status.REMOVING}),
    Status.STARTING: frozenset({Status.RUNNING, Status.EXITED, Status.CREATED, Status.LOST}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.STOPPING, Status.EXITED, Status.LOST}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.STOPPING, Status.EXITED, Status.LOST}),
    Status.STOPPING: frozenset({Status.EXITED, Status.LOST}),
    Status.EXITED: frozenset({Status.STARTING, Status.REMOVING}),
    Status.LOST: frozenset({Status.STARTING, Status.REMOVING}),
    Status.REMOVING: frozenset(),
}
"""Every legal move of a box.  CREATED after STARTING: a start that failed is undone whole."""

ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPING})
"""The states in which a box has processes."""


class Limits(Model, frozen=True, kw_only=True):
    """Resource limits; `None` means no limit (for `pids`: the daemon's default, 4096)."""

    memory: int | None = None
    """bytes, at least 6 MiB"""
    memory_swap: int | None = None
    """bytes of memory plus swap; None: equal to `memory` (no swap); -1: swap without limit"""
    memory_reservation: int | None = None
    """bytes that are reclaimed last when the host runs short (a soft limit)"""
    cpus: float | None = None
    """number of CPUs, 1.5 is one and a half"""
    cpu_shares: int | None = None
    """relative weight, 2 to 262144, the kernel's default is 1024"""
    cpuset: str | None = None
    """CPU list as in cpuset(7), "0-1,3" """
    pids: int | None = None
    """number of tasks, -1: no limit"""
    io_weight: int | None = None
    """relative weight, 10 to 1000"""
    io_read_bps: dict[str, int] = {}
    io_write_bps: dict[str, int] = {}
    """bytes a second for each block device, {"/dev/vda": 10485760}; buffered writes count on
    cgroup v2 only"""
    io_read_iops: dict[str, int] = {}
    io_write_iops: dict[str, int] = {}
    """operations a second for each block device"""
    hugetlb: dict[str, int] = {}
    """bytes of huge pages for each page size, {"2MB": 4194304}"""
    disk: int | None = None
    """bytes that the box's own writable layer may take, at least 1 MiB"""


class Mount(Model, frozen=True, kw_only=True):
    """Something that a box has at a place of its tree, besides its image's files."""

    type: str = "bind"
    """"bind": a file or folder of the host; "volume": a volume of Boxy's; "tmpfs": memory, gone
    when the box ends; "image": the files of an image, read-only"""
    source: str = ""
    """bind: an absolute path on the host; volume: its name, "" for a new one without a name;
    image: the image's name"""
    target: str
    read_only: bool = False
    size: int | None = None
    """tmpfs: bytes at most; None: half of the host's memory (the box's own limit counts too)"""
    mode: int | None = None
    """tmpfs: the permission bits of its top; None: 0o1777, everyone's"""
    exec: bool = False
    """tmpfs: programs that lie on it may be run"""
    propagation: str = "rprivate"
    """bind: whether later mounts below it pass between host and box, mount_namespaces(7):
    private, slave, shared, or with an r before it for what is mounted below, too"""
    recursive: bool = True
    """bind: what is mounted below the source is shown as well"""
    create: bool = False
    """bind: a source that is not there is made, as a folder"""
    ids: str = "auto"
    """bind: whose its files are in the box; "owner": the source's owner is the box's user; "keep":
    the numbers of the host; "auto": "owner", but "keep" for what belongs to the host's root"""
    subpath: str = ""
    """volume, image: show only this folder or file of it"""
    copy: bool = True
    """volume: an empty one is filled with what the image has at the target"""
    labels: dict[str, str] = {}
    """volume: of one that is made for this"""
    layers: list[str] = []
    """image: its unpacked trees, lowest first; filled in when the box is made"""


class Device(Model, frozen=True, kw_only=True):
    """A device of the host that a box may use; a folder stands for all devices in it."""

    source: str
    """a path below /dev on the host"""
    target: str = ""
    """a path below /dev in the box; "": the same"""
    access: str = "rwm"
    """any of r (read), w (write), m (make nodes of it)"""


class Ulimit(Model, frozen=True, kw_only=True):
    """A limit of each process, setrlimit(2); -1: none."""

    soft: int
    hard: int


class Volume(Model, frozen=True, kw_only=True):
    """A folder that outlives boxes: ROOT/volumes/NAME/volume.json, its files beside it in data/."""

    name: str
    created: float = 0.0
    """seconds since the epoch"""
    labels: dict[str, str] = {}
    anonymous: bool = False
    """made without a name, for one box, and removed with it if that is asked for"""
    size: int | None = None
    """bytes of its files on the disk; None: not measured.  In answers only"""
    boxes: list[str] = []
    """names of the boxes that have it.  In answers only"""


class BoxSpec(Model, frozen=True, kw_only=True):
    """What the user asked for; kept as it was asked.  Empty or None: the image's own value."""

    image: str
    name: str | None = None
    command: list[str] = []
    entrypoint: list[str] | None = None
    env: dict[str, str] = {}
    workdir: str | None = None
    user: str | None = None
    hostname: str | None = None
    labels: dict[str, str] = {}
    tty: bool = False
    stdin: bool = False
    """keep the standard input open"""
    auto_remove: bool = False
    network: str = ""
    """a network's name; "none": only loopback; "host": the host's own; "box:" and a box: that
    one's; "": the daemon's default, which is written here when the box is made"""
    network_aliases: list[str] = []
    """further names that boxes on the network know it by"""
    ip: str = ""
    ip6: str = ""
    mac_address: str = ""
    """of its connection to the network; "": chosen"""
    ports: list[Port] = []
    """ports to publish at the host"""
    publish_all: bool = False
    """also the ports that the image names, each at a free port of the host"""
    dns: list[str] = []
    """resolvers to ask instead of the host's"""
    dns_search: list[str] = []
    dns_options: list[str] = []
    add_hosts: dict[str, str] = {}
    """name to address, for /etc/hosts; the address "host-gateway" is the host's"""
    limits: Limits = Limits()
    mounts: list[Mount] = []
    volumes_from: list[str] = []
    """boxes whose binds and volumes this one has, too; "NAME:ro" for reading only"""
    read_only: bool = False
    init: bool = False
    """run a reaping PID 1 of ours above the command"""
    cap_add: list[str] = []
    cap_drop: list[str] = []
    seccomp: str = "default"
    """"default", "unconfined", or "custom": `seccomp_profile`"""
    seccomp_profile: dict[str, Any] | None = None
    """a filter of the user's own in the OCI form; kept as seccomp.json in the box's folder,
    and left out of all answers"""
    no_new_privs: bool = True
    """programs gain no rights by being started: set-uid files have no effect"""
    system_paths: str = "default"
    """"default": what tells of the host is hidden in /proc and /sys; "unconfined": nothing is"""
    privileged: bool = False
    """all that the box's user namespace permits: every capability, no filter, no hidden paths"""
    userns: str = "private"
    """"private": an id range of its own; "host": none"""
    pid: str = "private"
    ipc: str = "private"
    """"private"; "host"; "box:" and a box: its processes; its queues and shared memory.  Who
    joins another box has that box's id range, too"""
    uts: str = "private"
    cgroupns: str = "private"
    """"private" or "host": host name; names of cgroups"""
    timens: str = "host"
    """"host", or "private": clocks that count from the start of the box"""
    shm_size: int | None = None
    """bytes of /dev/shm; None: 64 MiB"""
    ulimits: dict[str, Ulimit] = {}
    """by name without RLIMIT_, {"nofile": {"soft": 1024, "hard": 4096}}"""
    sysctls: dict[str, str] = {}
    """settings of the box's own namespaces: net.*, kernel.msg*, kernel.sem, kernel.shm*,
    fs.mqueue.*, kernel.domainname"""
    devices: list[Device] = []
    device_rules: list[str] = []
    """further devices that may be used if a node for them is made, "c 10:* rwm" """
    stop_signal: str | None = None
    stop_timeout: float | None = None
    """seconds between the stop signal and SIGKILL; None: 10"""
    rows: int = 24
    cols: int = 80


class Image(Model, frozen=True, kw_only=True):
    """A name for a configuration and a stack of layers, ready to run or known by its folder."""

    name: str
    id: str
    """sha256:... over the configuration and its layers; "" while not unpacked"""
    source: str
    """the registry folder it comes from"""
    layers: list[str] = []
    """paths of unpacked directory trees, lowest first"""
    env: dict[str, str] = {}
    cmd: list[str] = []
    entrypoint: list[str] = []
    workdir: str = "/"
    user: str = ""
    labels: dict[str, str] = {}
    stop_signal: str = "SIGTERM"
    ports: list[str] = []
    """ports that its programs listen on, "80/tcp": what `-P` publishes"""
    mounts: list[Mount] = []
    """parts of the host that belong to the image (the `host` image's /usr)"""
    size: int = 0
    """bytes on disk, 0 while not unpacked"""
    created: float = 0.0
    """seconds since the epoch"""
    ready: bool = False
    """unpacked: a start copies nothing"""
    description: str = ""
    problem: str = ""
    """why it cannot be used, "" if it can"""
    remedy: str = ""
    """with a `problem`: what makes the image usable, where nothing is wrong with it but that it
    has not been made yet"""
    digest: str = ""
    """what a registry calls it; "" for an image of a registry folder"""
    volumes: list[str] = []
    """folders that are meant to outlive a box"""


class ExitInfo(Model, frozen=True, kw_only=True):
    """How a box's main process ended; what the shim writes to exit.json."""

    status: int
    """0..255; 128 + signal if a signal ended it"""
    signal: int = 0
    oom: bool = False
    started: float = 0.0
    finished: float = 0.0
    """seconds since the epoch"""
    log_lost: int = 0
    """bytes of output that the log had no room for"""


class Box(Model, frozen=True, kw_only=True):
    """A box as the daemon tells of it: the answer of inspect, and an element of the list."""

    id: str
    """64 hexadecimal digits; folders and cgroups are named by the first 12"""
    name: str
    image: str
    image_id: str = ""
    spec: BoxSpec
    args: list[str] = []
    """the command line that PID 1 runs: entrypoint and command resolved"""
    status: Status = Status.CREATED
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    """seconds since the epoch, 0: not yet"""
    paused: float = 0.0
    """when it was paused last; 0 unless it is"""
    exit: ExitInfo | None = None
    error: str = ""
    """why the last start failed or why it is lost"""
    pid: int = 0
    """PID 1 of the box, as the host sees it; 0 when not alive"""
    shim_pid: int = 0
    restarts: int = 0
    id_base: int = 0
    """first host uid and gid of its 65536; 0: no user namespace"""
    layers: list[str] = []
    networks: list[Endpoint] = []
    """its connections"""
    ports: list[Published] = []
    """what is published at this moment"""
    notices: list[str] = []
    """what this host could not give it, one sentence each"""
    weakened: list[str] = []
    """what was asked for that gives part of its isolation away, one sentence each"""
    disk: int | None = None
    """bytes that its writable layer takes, measured a while ago; None: not yet.  In answers
    only"""


class ExecSpec(Model, frozen=True, kw_only=True):
    """A further command in a running box."""

    command: list[str]
    env: dict[str, str] = {}
    workdir: str | None = None
    user: str | None = None
    tty: bool = False
    stdin: bool = False
    rows: int = 24
    cols: int = 80


class Stats(Model, frozen=True, kw_only=True):
    """One sample of a box's resources.

    Counters grow; rates are the reader's arithmetic, except `cpu_percent`, worked out against
    the sample before (100.0 is one full core).
    """

    id: str
    time: float
    """seconds since the epoch"""
    cpu_percent: float = 0.0
    cpu_usec: int = 0
    """microseconds of CPU used since the start"""
    throttled_usec: int = 0
    memory: int = 0
    """bytes in use without reclaimable page cache"""
    memory_limit: int = 0
    """bytes, 0: none"""
    pids: int = 0
    pids_limit: int = 0
    io_read: int = 0
    io_write: int = 0
    """bytes since the start"""
    net_rx: int = 0
    net_tx: int = 0
    """bytes since the start, loopback not counted"""
    oom_kills: int = 0
    disk: int | None = None
    """bytes that the box's own layer takes, measured a while ago; None: not known (yet)"""
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    io_pressure: float | None = None
    """percent of the last ten seconds in which a task had to wait; None: not told by the kernel"""


class Process(Model, frozen=True, kw_only=True):
    """A line of `boxy top`."""

    pid: int
    """as the host sees it"""
    ppid: int
    uid: int
    """as the box sees it"""
    state: str
    cpu_seconds: float
    rss: int
    """bytes"""
    started: float
    command: str


class Event(Model, frozen=True, kw_only=True):
    """Something that changed.  `cursor` grows by one with each event of a daemon's life."""

    cursor: int
    time: float
    type: str
    """box.created, box.started, box.exited, ... : docs/reference/events.md"""
    id: str = ""
    name: str = ""
    data: dict[str, Any] = {}


T = TypeVar("T")


def decode(cls: type[T], data: bytes | str) -> T:
    """Decode JSON strictly into `cls`.  Raises InvalidRequest naming the field that is wrong."""
    try:
        return msgspec.json.decode(data, type=cls)
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            f"the request body is not what was expected: {error}",
            hint="docs/reference/wire-protocol.md lists each field",
        ) from None


def convert(cls: type[T], data: object) -> T:
    """Turn already decoded JSON into `cls`, as strictly as `decode`."""
    try:
        return msgspec.convert(data, type=cls)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"the data is not what was expected: {error}",
            hint="docs/reference/wire-protocol.md lists each field",
        ) from None


def encode(model: object) -> bytes:
    """The compact JSON of a model (or of a list or dict of models)."""
    return msgspec.json.encode(model)


def to_builtins(model: object) -> Any:
    """The model as dicts, lists, strings and numbers."""
    return msgspec.to_builtins(model)
