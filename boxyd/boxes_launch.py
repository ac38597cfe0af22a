"""The runtime as the life of boxes sees it: plans, launches, links, in one face.

Constraint: no decision is taken here.  It holds what every plan needs (paths, the host's
facts) and turns a client's `Stream` into the arguments of launcher and link.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from boxy_core.models import Box, Image
from boxy_core.paths import Paths
from boxyd.cgroup.interface import Cgroup
from boxyd.claims import Claims
from boxyd.host import HostFacts
from boxyd.launcher import Launcher, ShimLink
from boxyd.plan import EMPTY_CGROUP, build, describe
from boxyd.ports import NO_WIRES, Joined, Link, Plan, Setting, Stream, Wires


class Launching:
    """Makes boxes run through one launcher, on a host with these facts."""

    def __init__(self, paths: Paths, facts: HostFacts, launcher: Launcher, claims: Claims) -> None:
        self._paths = paths
        self._claims = claims
        self._facts = facts
        self._launcher = launcher

    def plan(
        self,
        box: Box,
        image: Image,
        group: Cgroup | None,
        setting: Setting | None = None,
        joined: Joined | None = None,
    ) -> Plan:
        """The steps that make the box; without a cgroup: for reading only."""
        cgroup = group.plan() if group is not None else EMPTY_CGROUP
        return build(box, image, self._paths, cgroup, self._facts, setting, joined)

    def describe(self, steps: Plan) -> list[str]:
        """The plan in words, a line for each step."""
        return describe(steps)

    def new_id_base(self, userns: str, taken: list[int], box_id: str = "") -> int:
        """The first host id of a new box's range; 0: it gets no user namespace.

        With `box_id` it is claimed for that box.  Raises Conflict when every range is taken.
        """
        if userns == "host" or not self._facts.id_maps:
            return 0
        return self._claims.allocate(taken, box_id)

    def keep_id_base(self, base: int, box_id: str) -> bool:
        """Claim a range that the box had before; False if somebody else's box has it now."""
        return not base or self._claims.keep(base, box_id)

    def free_id_base(self, base: int, box_id: str) -> None:
        """The box is removed, and its range is anyone's."""
        self._claims.free(base, box_id)

    async def launch(
        self,
        steps: Plan,
        stream: Stream | None,
        wires: Wires = NO_WIRES,
        meanwhile: Callable[[], None] | None = None,
    ) -> Link:
        """Make the box run; raises StartFailed and its kind, with nothing left behind."""
        following = self._claims.following()
        if stream is None:
            return await self._launcher.launch(
                steps, wires=wires, meanwhile=meanwhile, following=following
            )
        return await self._launcher.launch(
            steps, client_fd=stream.fd, preamble=stream.preamble, owner=True, stdin=stream.stdin,
            wires=wires, meanwhile=meanwhile, following=following,
        )  # fmt: skip

    async def reconnect(self, box_id: str) -> Link:
        """The link to a shim that an earlier daemon started; raises NotFound if none lives."""
        return await ShimLink.connect(self._paths, box_id)

    async def attach(self, link: Link, stream: Stream, session: str) -> None:
        """Hand a client to a session; raises NotFound if there is none of that name."""
        await cast(ShimLink, link).attach(
            stream.fd, stream.preamble, stdin=stream.stdin, replay=stream.replay,
            rows=stream.rows, cols=stream.cols, session=session,
        )  # fmt: skip

    async def exec(self, link: Link, spec: Mapping[str, object], stream: Stream | None) -> str:
        """Run a command; its session's id.  Raises StartFailed and its kind."""
        shim = cast(ShimLink, link)
        if stream is None:
            return await shim.exec(dict(spec), None, b"")
        return await shim.exec(
            dict(spec), stream.fd, stream.preamble, rows=stream.rows, cols=stream.cols
        )
