"""What the life of boxes asks of its neighbours: image store, launcher, sampler.

Constraint: only shapes (typing.Protocol), no behaviour, so that the life of boxes can be
tested against small fakes which the type checker holds to the same shapes as the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from boxy_core.models import Box, BoxSpec, ExitInfo, Image
from boxy_core.models_network import Endpoint, Published
from boxyd.cgroup.interface import Cgroup

if TYPE_CHECKING:
    from boxyd.boxes_shelf import Record

Plan = dict[str, Any]
"""the plain data of a plan, as boxyd.plan builds it"""


class Stream(NamedTuple):
    """A client's connection on its way to a shim, and how it wants to be attached."""

    fd: int
    preamble: bytes
    """what the shim writes to it first: the head of the `101`"""
    stdin: bool = False
    replay: bool = True
    rows: int = 0
    cols: int = 0
    """0: unknown"""


class Wires(NamedTuple):
    """Descriptors that a shim needs for the network of its box; -1: none."""

    socket: int = -1
    """where it sends the network namespace, and its first process waits for the daemon's word"""
    netns: int = -1
    """the network namespace to join instead of a new one"""


class Joined(NamedTuple):
    """The main process of the box whose namespaces are shared; no pid is trusted without the
    time at which its process started."""

    pid: int
    start_time: int


class Link(Protocol):
    """The control connection to one shim: boxyd.launcher.ShimLink."""

    @property
    def pid(self) -> int:
        """PID 1 of the box, as the host sees it."""

    @property
    def shim_pid(self) -> int:
        """The shim's pid."""

    @property
    def started(self) -> float:
        """Seconds since the epoch."""

    @property
    def notices(self) -> list[str]:
        """What the box had to do without, one sentence each."""

    @property
    def took(self) -> dict[str, float]:
        """Milliseconds of each part of the start, as the shim measured them."""

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Have `callback` called with each of the shim's events."""

    async def signal(self, number: int, session: str = "main") -> None:
        """Send a signal to a session; returns when it is sent."""

    async def sessions(self) -> list[dict[str, Any]]:
        """The sessions that run: session, pid, tty, stdin, count (of clients), rows, cols."""

    async def wait_exit(self) -> ExitInfo:
        """The end of the main process; a BoxyError if the shim died without telling."""

    async def hold(self, sockets: Mapping[str, int]) -> None:
        """Have the shim keep these sockets (fds by name) as long as the box lives."""

    async def let_go(self, names: list[str]) -> None:
        """Have the shim close sockets that it keeps."""

    def close(self) -> None:
        """Forget the shim; it goes on."""


NO_WIRES = Wires()


class Setting(NamedTuple):
    """What the plan of a box must know of its network.  Plain, so that plans can be built for
    reading only."""

    resolv: str = ""
    hosts: str = ""
    """the texts; "": the host's own files are shown"""
    waits_for: tuple[str, ...] = ()
    """names of the networks that the box is to be connected to"""
    joins: str = ""
    """the folder of the box whose network it shares, or "" """
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Published, ...] = ()
    """what a start has taken: in the plan for a daemon that finds the box running unawares"""


class Starting(Protocol):
    """The network of a box that is being started: boxyd.network.attachment.Attachment."""

    setting: Setting
    endpoints: list[Endpoint]
    ports: list[Published]
    notices: list[str]

    @property
    def wires(self) -> Wires:
        """The descriptors that go to the shim with the launch."""


class Networks(Protocol):
    """What the life of boxes asks of boxyd.network.networks.Networks."""

    async def settled(self, spec: BoxSpec) -> tuple[BoxSpec, list[Endpoint], list[str]]:
        """The spec with its network settled, its connections, notices."""

    def preview(self, box: Box) -> Setting:
        """The setting for a plan that is only read."""

    def starting(self, record: Record) -> AbstractAsyncContextManager[Starting]:
        """Around the launch of a box: what it needs of the network, given back if it fails."""

    def started(self, box: Box, network: Starting, link: Link) -> None:
        """The box is noted as running."""

    def ended(self, box: Box) -> None:
        """The box is no more."""

    def unseen(self, box: Box) -> Starting:
        """What a start took that an earlier daemon began and did not see through."""

    def adopt(self, box: Box, link: Link) -> None:
        """A box that an earlier daemon left running."""

    def renamed(self, box: Box) -> None:
        """The box bears another name."""


class Launches(Protocol):
    """Making boxes run and reaching those that do: boxyd.boxes_launch.Launching."""

    def plan(
        self,
        box: Box,
        image: Image,
        group: Cgroup | None,
        setting: Setting | None = None,
        joined: Joined | None = None,
    ) -> Plan:
        """The steps that make the box; without a cgroup: for reading only."""

    def describe(self, plan: Plan) -> list[str]:
        """The plan in words."""

    def new_id_base(self, userns: str, taken: list[int], box_id: str = "") -> int:
        """The first host id of a new box's range, 0 for none; claimed for `box_id` if given."""

    def keep_id_base(self, base: int, box_id: str) -> bool:
        """Claim a range that the box had before; False if somebody else's box has it now."""

    def free_id_base(self, base: int, box_id: str) -> None:
        """The box is removed, and its range is anyone's."""

    async def launch(
        self,
        plan: Plan,
        stream: Stream | None,
        wires: Wires = NO_WIRES,
        meanwhile: Callable[[], None] | None = None,
    ) -> Link:
        """Make the box run; raises StartFailed and its kind, or what `meanwhile` raised, which
        makes the box's cgroup while its file systems are made."""

    async def reconnect(self, box_id: str) -> Link:
        """The link to a shim that an earlier daemon started, or NotFound."""

    async def attach(self, link: Link, stream: Stream, session: str) -> None:
        """Hand a client to a session, or NotFound."""

    async def exec(self, link: Link, spec: Mapping[str, object], stream: Stream | None) -> str:
        """Run a command; its session's id."""


class Stats(Protocol):
    """What the life of boxes feeds of boxyd.stats.Sampler."""

    def add(self, box_id: str, group: Cgroup, net_pid: int = 0, *, new: bool = False) -> None:
        """Sample this box from now on; `new`: its cgroup was made for this run."""

    def remove(self, box_id: str) -> None:
        """The box ended; its history stays."""

    def forget(self, box_id: str) -> None:
        """The box is removed."""
