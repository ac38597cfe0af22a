"""What the life of boxes asks of its neighbours: image store, launcher, sampler.

Constraint: only shapes (typing.Protocol), no behaviour, so that the life of boxes can be
tested against small fakes which the type checker holds to the same shapes as the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from boxy_core.models import Box, ExitInfo, Image
from boxyd.cgroup.interface import Cgroup

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

    def close(self) -> None:
        """Forget the shim; it goes on."""


class Launches(Protocol):
    """Making boxes run and reaching those that do: boxyd.boxes_launch.Launching."""

    def plan(self, box: Box, image: Image, group: Cgroup | None) -> Plan:
        """The steps that make the box; without a cgroup: for reading only."""

    def describe(self, plan: Plan) -> list[str]:
        """The plan in words."""

    def new_id_base(self, userns: str, taken: list[int]) -> int:
        """The first host id of a new box's range, 0 for none."""

    async def launch(self, plan: Plan, stream: Stream | None) -> Link:
        """Make the box run; raises StartFailed and its kind."""

    async def reconnect(self, box_id: str) -> Link:
        """The link to a shim that an earlier daemon started, or NotFound."""

    async def attach(self, link: Link, stream: Stream, session: str) -> None:
        """Hand a client to a session, or NotFound."""

    async def exec(self, link: Link, spec: Mapping[str, object], stream: Stream | None) -> str:
        """Run a command; its session's id."""


class Stats(Protocol):
    """What the life of boxes feeds of boxyd.stats.Sampler."""

    def add(self, box_id: str, group: Cgroup, net_pid: int = 0) -> None:
        """Sample this box from now on."""

    def remove(self, box_id: str) -> None:
        """The box ended; its history stays."""

    def forget(self, box_id: str) -> None:
        """The box is removed."""
