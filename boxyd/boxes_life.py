"""What becomes of a box once it is made: start, stop, pause, the end, the removal.

Constraint: the kernel's state and ours must not part, whatever fails in between.  Every step
of a start registers its undo on the next line (ExitStack).  Whoever takes a box through
several steps holds its lock; the end of a box, which nobody decides, is one step without a
break and needs none, so that `stop` can hold still for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import Any

import msgspec

from boxy_core.errors import BoxyError, Conflict, NotFound, Timeout
from boxy_core.models import Box, ExitInfo, Status
from boxy_core.paths import Paths
from boxyd.boxes_mounts import Storage
from boxyd.boxes_rules import (
    grace_of,
    image_of,
    require_alive,
    require_group,
    require_paused,
    require_running,
    require_startable,
    sized,
    stop_signal,
)
from boxyd.boxes_rules import (
    removing as leaving,
)
from boxyd.boxes_share import joined
from boxyd.boxes_shelf import Record, Shelf
from boxyd.boxes_sweep import empty, remove_group
from boxyd.boxes_trace import Trace
from boxyd.cgroup.interface import Driver
from boxyd.errands import Errands
from boxyd.isolation import joined as joined_to
from boxyd.journal import about
from boxyd.plan_devices import rules as device_rules
from boxyd.ports import Joined, Launches, Link, Networks, Plan, Stats, Stream
from boxyd.state import AFTER_ANSWER, State
from boxyd.trees import remove_tree

KILLED_WITHIN = 15.0
"""seconds from SIGKILL to the end; longer only in uninterruptible sleep, on a dead disk"""
KILLED_GRACE = 0.5
"""seconds from the cgroup's kill to the signal that is to help where there is no cgroup"""
ENDING_WITHIN = 1.0
"""seconds in which the end of a box is heard of whose shim or cgroup has just vanished"""

log = logging.getLogger("boxyd.boxes")


class Lives:
    """Takes boxes through their lives; `Shelf.change` writes down each step."""

    def __init__(
        self,
        paths: Paths,
        shelf: Shelf,
        state: State,
        launches: Launches,
        cgroups: Driver,
        stats: Stats,
        networks: Networks,
        storage: Storage,
    ) -> None:
        self._paths = paths
        self._shelf = shelf
        self._state = state
        self._launches = launches
        self._cgroups = cgroups
        self._stats = stats
        self._networks = networks
        self._disk = storage.disk
        self._mounts = storage.mounts
        self._errands = Errands(log)

    # ------------------------------------------------------------------ start

    async def start(self, record: Record, stream: Stream | None = None) -> Box:
        """Start the box; with `stream`, attach that client from the first byte.

        Raises Conflict if it runs already, StartFailed and its kind, ImageError, Unsupported.
        A start that failed leaves the box as it was, with `error` saying why; a box that is to
        be removed at its end is removed.
        """
        async with record.lock:
            return await self._start(record, stream)

    async def _start(self, record: Record, stream: Stream | None) -> Box:
        previous = record.box
        require_startable(record)
        await self.swept(record)
        trace = Trace()
        self._shelf.change(
            record, "box.starting", write=False, status=Status.STARTING, error="", exit=None,
            started=0.0, finished=0.0,
        )  # fmt: skip
        record.new_run()
        try:
            link = await self._launch(record, stream, trace)
        except BaseException as error:
            self._start_failed(record, previous, error)
            raise
        box = self._running(record, link)
        trace.mark("noted")
        log.debug("started in %s", trace)
        loop = asyncio.get_running_loop()
        loop.call_later(AFTER_ANSWER, self._state.write_trace, box.id, trace.to_json())
        return box

    async def _launch(self, record: Record, stream: Stream | None, trace: Trace) -> Link:
        image = image_of(record)
        other = self._settle_ids(record)
        box = self._mounts.ready(record.box)
        folder = self._paths.box_run(box.id)
        where = self._paths.box_cgroup(box.id)
        rules = device_rules(box.spec, mapped=box.id_base > 0)
        took: dict[str, float] = {}
        with contextlib.ExitStack() as undo:

            def make_cgroup() -> None:
                # Before the command can run, the disk says so to a daemon that comes after us.
                self._shelf.write(record, strict=True)
                began = time.perf_counter()
                group = self._cgroups.create(where, box.spec.limits, rules)
                undo.callback(group.remove)
                undo.callback(setattr, record, "group", None)
                record.group = group
                took["cgroup"] = (time.perf_counter() - began) * 1000

            async with self._networks.starting(record) as network:
                trace.mark("network")
                place = self._cgroups.at(where)
                plan = self._launches.plan(sized(box, stream), image, place, network.setting, other)
                remove_tree(folder)  # of a run that ended without a daemon
                undo.callback(remove_tree, folder)
                self._state.forget_exit(box.id)
                trace.mark("plan")
                link = await self._launches.launch(plan, stream, network.wires, make_cgroup)
                trace.mark("launch", {**took, **link.took})
            undo.pop_all()
        record.network = network
        return link

    def _settle_ids(self, record: Record) -> Joined | None:
        """Whose namespaces the box shares, if it does, and with them the range of ids; another
        range for a box whose own was taken while it did not run.  Raises Conflict."""
        box = record.box
        found = joined(self._shelf, box)
        if found is not None:
            other, main = found
            base = other.box.id_base
        else:
            main, base = None, box.id_base
            if not self._launches.keep_id_base(base, box.id):
                taken = [one.box.id_base for one in self._shelf]
                base = self._launches.new_id_base(box.spec.userns, taken, box.id)
                log.warning(
                    "its ids from %d belong to another box now; it gets others", box.id_base
                )
        if base != box.id_base:
            record.box = msgspec.structs.replace(box, id_base=base)
        return main

    def _running(self, record: Record, link: Link) -> Box:
        """The box runs, behind this link: note it, and wait for its end."""
        group_notices = record.group.notices if record.group else []
        notices = list(dict.fromkeys([*record.box.notices, *group_notices, *link.notices]))
        record.link = link
        network, record.network = record.network, None
        networks, ports = record.box.networks, record.box.ports
        if network is not None:
            networks, ports = network.endpoints or networks, network.ports
            notices = list(dict.fromkeys([*notices, *network.notices]))
        box = self._shelf.change(
            record, "box.started", write=False, status=Status.RUNNING, pid=link.pid,
            shim_pid=link.shim_pid, started=link.started, notices=notices, networks=networks,
            ports=ports,
        )  # fmt: skip
        # Until then box.json says "starting", and the shim on its socket the rest.
        asyncio.get_running_loop().call_later(AFTER_ANSWER, self._shelf.write, record)
        if network is not None:
            self._networks.started(box, network, link)
        self._follow(record, link, new=True)
        return box

    def _follow(self, record: Record, link: Link, *, new: bool = False) -> None:
        box = record.box
        net_pid = link.pid if box.spec.network != "host" else 0
        if record.group is not None:
            self._stats.add(box.id, record.group, net_pid, new=new)
        link.subscribe(lambda event: self._heard(record, event))
        with about(box.id):
            record.task = asyncio.create_task(self._await_end(record, link))

    def _start_failed(self, record: Record, previous: Box, error: BaseException) -> None:
        message = str(error) or type(error).__name__
        code = error.code if isinstance(error, BoxyError) else "internal"
        self._shelf.change(
            record, "box.start_failed", data={"error": message, "code": code}, error=message,
            status=previous.status, exit=previous.exit, started=previous.started,
            finished=previous.finished,
        )  # fmt: skip
        if previous.spec.auto_remove:
            self._errands.send(self._remove_after(record))

    # ------------------------------------------------------------------ the end

    async def _await_end(self, record: Record, link: Link) -> None:
        try:
            info = await link.wait_exit()
        except BoxyError as error:
            self._ended(record, None, error.message)
        else:
            self._ended(record, info)
        if record.box.spec.auto_remove:
            await self._remove_after(record)

    def _ended(self, record: Record, info: ExitInfo | None, why: str = "") -> None:
        """The main process is no more (None: and nobody knows how it ended)."""
        link, record.link, record.task = record.link, None, None
        self._stats.remove(record.box.id)
        self._disk.soon(record.box.id)
        if link is not None:
            link.close()
        self._networks.ended(record.box)
        self._sweep(record)
        if info is not None:
            self.note_exit(record, info)
        else:
            self._shelf.change(
                record, "box.lost", status=Status.LOST, pid=0, shim_pid=0, error=why,
                finished=time.time(), ports=[],
            )  # fmt: skip
        if not record.exited.done():
            record.exited.set_result(info)

    def note_exit(self, record: Record, info: ExitInfo) -> None:
        """Write down how the box ended."""
        if info.oom and not record.oom_told:
            self._shelf.tell(record, "box.oom")
        data: dict[str, object] = {
            "exit_status": info.status, "signal": info.signal, "oom": info.oom,
        }  # fmt: skip
        self._shelf.change(
            record, "box.exited", data=data, status=Status.EXITED, pid=0, shim_pid=0,
            exit=info, finished=info.finished, ports=[],
        )  # fmt: skip

    def _sweep(self, record: Record) -> None:
        """Take away what a run leaves on the host: its cgroup and its run folder.

        With PID 1 the kernel has ended all of its pid namespace, so this is quick; where it is
        not, a thread does it, and the next start or the removal waits for it.
        """
        group, record.group = record.group, None
        if group is not None:
            if group.populated():
                record.sweeping = asyncio.create_task(asyncio.to_thread(remove_group, group))
            else:
                remove_group(group)
        try:
            remove_tree(self._paths.box_run(record.box.id))
        except OSError as error:
            log.warning("the run folder stays: %s", error)

    # ------------------------------------------------------------------ stop and kill

    async def stop(self, record: Record, grace: float | None = None) -> Box:
        """Send the stop signal, and SIGKILL after `grace` seconds (None: the box's own).

        A negative grace waits for ever.  Raises Conflict if the box does not run.
        """
        async with record.lock:
            await self._begin_stop(record)
        await self._finish_stop(record, grace_of(record.box, grace))
        return record.box

    async def _begin_stop(self, record: Record) -> None:
        require_alive(record, "stop")
        if record.box.status is Status.PAUSED:
            await self._thaw(record)
        if record.alive and record.box.status is not Status.STOPPING:
            number = stop_signal(record)
            data: dict[str, object] = {"signal": number}
            self._shelf.change(record, "box.stopping", status=Status.STOPPING, data=data)
            await self._signal(record, number)
            if record.box.spec.tty and record.box.spec.stop_signal is None:
                # A shell at a terminal ignores SIGTERM; its terminal going away ends it, as a
                # window's closing does (systemd.kill(5), SendSIGHUP=).
                await self._signal(record, signal.SIGHUP)

    async def _finish_stop(self, record: Record, grace: float) -> None:
        if not await _within(record.exited, grace):
            log.info("it did not end within %g s, killing it", grace)
            await self._kill_hard(record)

    async def _kill_hard(self, record: Record) -> None:
        """End every process of the box and wait for the shim's word.  Raises Timeout."""
        if record.group is not None:
            try:
                await asyncio.to_thread(record.group.kill)
            except (BoxyError, OSError) as error:
                # OSError: the box has ended, and its cgroup was removed under our eyes
                log.debug("killing by cgroup failed: %s", error)
        if not await _within(record.exited, KILLED_GRACE) and record.link is not None:
            with contextlib.suppress(BoxyError, OSError):
                await record.link.signal(signal.SIGKILL)
        if not await _within(record.exited, KILLED_WITHIN):
            raise Timeout(
                f"box {record.box.name} was killed but does not end",
                hint="a process hangs in the kernel, perhaps on a disk; `dmesg` may tell more",
            )

    async def _signal(self, record: Record, number: int) -> None:
        """Send a signal to the main process, which may be ending by itself at this moment."""
        link = record.link
        if link is None:
            return
        try:
            await link.signal(number)
        except (BoxyError, OSError):
            if not await _within(record.exited, ENDING_WITHIN):
                raise

    async def _thaw(self, record: Record) -> None:
        try:
            await asyncio.to_thread(require_group(record).thaw)
        except OSError:
            if not await _within(record.exited, ENDING_WITHIN):
                raise

    async def restart(self, record: Record, grace: float | None = None) -> Box:
        """Stop the box if it lives, and start it."""
        async with record.lock:
            if record.alive:
                await self._begin_stop(record)
                await self._finish_stop(record, grace_of(record.box, grace))
            await self._start(record, None)
            count = record.box.restarts + 1
            return self._shelf.change(record, "box.restarted", restarts=count)

    async def kill(self, record: Record, number: int) -> Box:
        """Send a signal to the main process; SIGKILL goes to all, also where they are paused."""
        async with record.lock:
            require_alive(record, "kill")
            if number == signal.SIGKILL and record.box.status is Status.PAUSED:
                await self._kill_hard(record)
            else:
                await self._signal(record, number)
        return record.box

    # ------------------------------------------------------------------ pause

    async def pause(self, record: Record) -> Box:
        """Freeze every process of the box.  Raises Conflict, Timeout, Unsupported."""
        async with record.lock:
            require_running(record, "pause")
            try:
                await asyncio.to_thread(require_group(record).freeze)
            except OSError:
                if not await _within(record.exited, ENDING_WITHIN):
                    raise
            require_running(record, "pause")  # it may have ended under our hands
            return self._shelf.change(
                record, "box.paused", status=Status.PAUSED, paused=time.time()
            )

    async def unpause(self, record: Record) -> Box:
        """Let a paused box go on.  Raises Conflict if it is not paused."""
        async with record.lock:
            require_paused(record)
            await self._thaw(record)
            require_paused(record)
            return self._shelf.change(record, "box.unpaused", status=Status.RUNNING, paused=0.0)

    # ------------------------------------------------------------------ the next start

    def plan(self, record: Record) -> Plan:
        """The steps of the box's next start.  Raises ImageError if its image is unusable."""
        setting = self._networks.preview(record.box)
        return self._launches.plan(record.box, image_of(record), None, setting)

    # ------------------------------------------------------------------ removal

    async def remove(self, record: Record, *, force: bool = False, volumes: bool = False) -> None:
        """Remove the box and all that is its own; `force`: kill it first if it lives;
        `volumes`: its anonymous volumes, too.

        Raises Conflict if it lives and is not to be forced, NotFound if somebody was faster.
        """
        async with record.lock:
            box = record.box
            if record.removed.done():
                raise NotFound(
                    f"box {box.name} is already removed",
                    hint="boxy ps -a lists those that are there",
                )
            if record.alive and not force:
                raise Conflict(
                    f"box {box.name} is {box.status}",
                    hint=f"stop it first: boxy stop {box.name}, or: boxy rm -f {box.name}",
                )
            if record.alive:
                await self._kill_hard(record)
            await self._remove(record, volumes=volumes or box.spec.auto_remove)

    async def _remove_after(self, record: Record) -> None:
        """Remove a box whose end was to be its removal, unless it was started again."""
        async with record.lock:
            if record.alive or record.removed.done():
                return
            await self._remove(record, volumes=record.box.spec.auto_remove)

    async def _remove(self, record: Record, *, volumes: bool) -> None:
        await self.swept(record)
        # Not written down: the folder's rename is what counts, and what survives a crash.
        record.box = leaving(record.box)
        trash = self._state.discard(record.box.id)
        if not joined_to(record.box.spec):
            self._launches.free_id_base(record.box.id_base, record.box.id)
        await empty(trash)
        with contextlib.suppress(OSError):
            remove_tree(self._paths.box_run(record.box.id))
        self._stats.forget(record.box.id)
        self._disk.forget(record.box)
        self._shelf.drop(record)
        if volumes:
            await self._mounts.forget(record.box)
        self._shelf.tell(record, "box.removed")
        record.removed.set_result(None)

    async def swept(self, record: Record) -> None:
        """Return when what the last run left on the host is gone."""
        if record.sweeping is not None:
            await record.sweeping
            record.sweeping = None

    # ------------------------------------------------------------------ the daemon's own

    def adopt(self, record: Record, link: Link) -> None:
        """Take up a box that an earlier daemon left running."""
        record.link = link
        self._networks.adopt(record.box, link)
        self._follow(record, link)

    def _heard(self, record: Record, event: dict[str, Any]) -> None:
        """The shim tells something; the end of the box comes by `wait_exit`."""
        if event.get("event") == "exec-exit":
            data = {"session": event.get("session"), "exit_status": event.get("status"),
                    "signal": event.get("signal")}  # fmt: skip
            record.execs.ended(lambda: self._shelf.tell(record, "box.exec_exited", **data))

    def started_unseen(self, record: Record, link: Link) -> None:
        """A start came through although the daemon that asked for it was killed meanwhile."""
        record.network = self._networks.unseen(record.box)
        self._networks.adopt(self._running(record, link), link)

    def finish_stopping(self, record: Record) -> None:
        """Go on with a stop that an earlier daemon had begun."""
        self._errands.send(self._finish_stop(record, grace_of(record.box, None)))

    def remove_soon(self, record: Record) -> None:
        """Remove a box that ended while no daemon ran, and was to be removed then."""
        self._errands.send(self._remove_after(record))

    async def stop_all(self) -> None:
        """Stop every box that lives, all at once; failures are logged."""

        async def stop_one(record: Record) -> None:
            with about(record.box.id):
                try:
                    await self.stop(record)
                except BoxyError as error:
                    log.warning("%s", error)

        living = [record for record in self._shelf if record.alive]
        await asyncio.gather(*(stop_one(record) for record in living))

    async def close(self) -> None:
        """Let go of the boxes; they go on."""
        for record in self._shelf:
            self._shelf.write(record)
            if record.task is not None:
                record.task.cancel()
            if record.link is not None:
                record.link.close()
            if record.group is not None:
                record.group.close()
        await self._errands.wait(KILLED_WITHIN)


async def _within(future: asyncio.Future[ExitInfo | None], seconds: float) -> bool:
    """Whether the future is done within so many seconds (negative: wait for ever)."""
    await asyncio.wait([future], timeout=None if seconds < 0 else seconds)
    return future.done()
