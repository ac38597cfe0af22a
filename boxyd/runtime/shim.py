"""The shim: one process per box, its only parent, between the box's streams and the world.

Its midwife makes the box; it drains the output, keeps its log and history, serves clients and the
daemon's control connections, starts further commands, and at the end writes `exit.json`
before it tells anyone.  It outlives the daemon and the zygote.

Constraints: one thread, one epoll, no asyncio; little private memory; whatever a client or
the daemon sends is checked; it never waits for a viewer.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time

from boxy_core import wirejson
from boxy_core.errors import BoxyError, Conflict, InvalidRequest, NotFound, from_wire
from boxyd.runtime import birth, control, frames, report, talk
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.held import Held
from boxyd.runtime.join import Joining
from boxyd.runtime.log import Log
from boxyd.runtime.midwife import plan_of
from boxyd.runtime.notes import complain, remove, start_time, trace, write_file
from boxyd.runtime.poller import IN, Poller
from boxyd.runtime.requests import Visit, exec_spec, size
from boxyd.runtime.session import Nature, Outcome, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from boxyd.runtime.birth import Running
    from boxyd.runtime.control import Link
    from boxyd.runtime.steps import Step

MAIN = "main"
LINGER = 2.0
"""seconds that a viewer or a control connection has to take what is left at the end"""
IGNORED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTOU, signal.SIGTTIN, signal.SIGTSTP,
)  # fmt: skip


class Shim:
    """The life of one box."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.started = 0.0
        self._run, self._box = str(plan["run"]), str(plan["box"])
        self._poller = Poller()
        self._cgroup = birth.Cgroup(plan["cgroup"])
        self._steps: list[Step] = []
        self._sessions: dict[str, Session] = {}
        self._ending: list[Session] = []
        self._links: list[Link] = []
        self._listener: socket.socket | None = None
        self._log = Log(self._box + "/log", plan["log_limit"], plan["log_keep"])
        self._oom_before = 0
        self._execs = 0
        self._held = Held()
        self._deadline: float | None = None

    # -------------------------------------------------------------- the beginning

    def start(self, midwife: socket.socket) -> None:
        """Wait for what the midwife makes.  Raises StartFailed, and nothing is left."""
        self._oom_before = self._cgroup.oom_kills()
        remove(self._box + "/exit.json")
        self._listen()
        running = birth.Running(bool(self.plan["terminal"]))
        try:
            self._steps = birth.joining_steps(self.plan)
            self._take_over(midwife, running)
        except BaseException:
            self._conceal()
            if running.pidfd >= 0:
                birth.kill(running.pidfd)
                os.waitid(os.P_PIDFD, running.pidfd, os.WEXITED)
            running.close()
            raise
        self._sessions[MAIN] = self._session(MAIN, running, self.plan, self._log)

    def _take_over(self, midwife: socket.socket, running: Running) -> None:
        """Hear of the box's first process, then of its running command."""
        while True:
            word, fds = report.receive(midwife)
            if word[:4] == b"born":
                self.started = float(word[5:])
                running.pidfd = fds[0]
                running.pid = talk.pid_of(running.pidfd)
                for helper in fds[1:]:
                    os.waitid(os.P_PIDFD, helper, os.WEXITED)
                    os.close(helper)
                self._announce(running)
                midwife.send(b"found")
            elif word[:4] == b"runs":
                told = wirejson.loads(word[4:])
                for name, place in told["fds"].items():
                    setattr(running.host if name == "root" else running, name, fds[place])
                running.took, running.host.notices = told["took"], told["notices"]
                if told["rest"]:
                    self.reap_soon(told["rest"])
                return
            elif word[:1] == b"!":
                raise from_wire(wirejson.loads(word[1:]))
            else:
                text = "the process that makes the box was killed"
                raise report.step_failed("init", 0, text)

    def _session(
        self, name: str, running: Running, wanted: dict[str, Any], log: Log | None
    ) -> Session:
        size = wanted["rows"], wanted["cols"]
        nature = Nature(size, bool(wanted["stdin"]), self.plan["ring"], log)
        return Session(
            name, running, self._poller, nature, on_end=self._on_end, on_change=self._on_change
        )

    def _listen(self) -> None:
        self._listener = control.listen(self._run + "/shim.sock")
        self._poller.add(self._listener.fileno(), IN, self._accept)

    def _announce(self, running: Running) -> None:
        """Be found by `shim.json`, while the box is being made."""
        facts = {
            "pid": os.getpid(),
            "start_time": start_time(os.getpid()),
            "init": running.pid,
            "init_start_time": start_time(running.pid),
            "started": self.started,
        }
        write_file(self._run + "/shim.json", facts, durable=False)

    def _conceal(self) -> None:
        """Be found no more."""
        if self._listener:
            self._poller.remove(self._listener.fileno())
            self._listener.close()
            self._listener = None
            remove(self._run + "/shim.sock")
            remove(self._run + "/shim.json")

    @property
    def main(self) -> Session:
        """The main session."""
        return self._sessions[MAIN]

    def hello(self) -> dict[str, Any]:
        """What a control connection is told first."""
        running = self._sessions[MAIN].running
        return {
            "event": "started",
            "pid": running.pid,
            "shim_pid": os.getpid(),
            "started": self.started,
            "notices": running.host.notices,
            "took": running.took,
        }

    # -------------------------------------------------------------- control

    def add_link(self, sock: socket.socket, *, greet: bool = True) -> None:
        """Serve a control connection; it is greeted, unless the midwife has done so."""
        link = control.Link(sock, self._poller, self._serve, self._links.remove)
        self._links.append(link)
        if greet:
            link.tell(self.hello())

    def _accept(self, _: int) -> None:
        if self._listener is None:
            return
        try:
            sock, _peer = self._listener.accept()
        except OSError:
            return
        if control.peer_is_root(sock):
            self.add_link(sock)
        else:
            sock.close()

    def _serve(self, link: Link, request: dict[str, Any], fds: list[int]) -> None:
        op = request["op"]
        if not isinstance(op, str) or op not in _OPS:
            raise InvalidRequest(f"a shim knows no operation {op!r}")
        done = _OPS[op](self, link, request, fds)
        control.drop_fds(fds)
        if done is not None:
            link.tell({"id": request.get("id"), "ok": done})

    def _named(self, request: dict[str, Any]) -> Session:
        name = str(request.get("session", MAIN))
        session = self._sessions.get(name)
        if session is None or session.outcome is not None:
            raise NotFound(f"the box has no session {name}", hint="it may have ended")
        return session

    def _op_attach(self, _: Link, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self.attach(self._named(request), Visit(request), fds)
        return {}

    def attach(self, session: Session, visit: Visit, fds: list[int]) -> None:
        """Hand the connection that came along to a session.  Raises InvalidRequest."""
        if not fds:
            raise InvalidRequest("no connection came with the request")
        try:
            sock = socket.socket(fileno=fds[0])
        except OSError:
            raise InvalidRequest("what came with the request is not a connection") from None
        fds.pop(0)
        session.attach(sock, visit)

    def _op_exec(self, link: Link, request: dict[str, Any], fds: list[int]) -> None:
        """Start a further command; the answer comes once it runs."""
        if self._sessions[MAIN].outcome is not None:
            raise Conflict("the box has ended")
        spec, visit = exec_spec(request["spec"]), Visit(request)
        box = self._sessions[MAIN].running.pidfd
        joining = Joining(self.plan, self._steps, self._cgroup, box, spec)
        mine, fds[:] = list(fds), []

        def done(running: Running | BoxyError) -> None:
            self._joined(running, spec, visit, mine, lambda word: link.tell({"id": number, **word}))

        number = request.get("id")
        fd = joining.talk.sync.fileno()
        self._poller.add(fd, IN, lambda _: self._on_joining(joining, done))

    def _on_joining(self, joining: Joining, done: Callable[[Running | BoxyError], None]) -> None:
        try:
            joining.talk.hear()
        except BlockingIOError:
            return
        except OSError:
            joining.talk.ended = True
        if not joining.talk.ended:
            return
        self._poller.remove(joining.talk.sync.fileno())
        self._poller.add(joining.joiner, IN, lambda _: self._reap(joining))
        try:
            done(joining.finish())
        except BoxyError as error:
            done(error)

    def _reap(self, joining: Joining) -> None:
        self._poller.remove(joining.joiner)
        joining.reap()

    def _joined(
        self,
        running: Running | BoxyError,
        spec: dict[str, Any],
        visit: Visit,
        fds: list[int],
        answer: Callable[[dict[str, Any]], None],
    ) -> None:
        """The command runs, or it does not: answer, and let its client in."""
        if isinstance(running, BoxyError):
            control.drop_fds(fds)
            answer({"error": running.to_wire()})
            return
        self._execs += 1
        name = f"e{self._execs}"
        session = self._session(name, running, spec, None)
        self._sessions[name] = session
        answer({"ok": {"session": name, "pid": running.pid}})
        if fds:
            try:
                self.attach(session, visit, fds)
            except InvalidRequest:
                control.drop_fds(fds)

    def _op_signal(self, _: Link, request: dict[str, Any], __: list[int]) -> dict[str, Any]:
        self._named(request).signal(int(request["number"]))
        return {}

    def _op_resize(self, _: Link, request: dict[str, Any], __: list[int]) -> dict[str, Any]:
        self._named(request).resize(*size(request))
        return {}

    def _op_sessions(self, _: Link, __: dict[str, Any], ___: list[int]) -> dict[str, Any]:
        return {"sessions": [session.facts() for session in self._sessions.values()]}

    def _op_hold(self, _: Link, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        self._held.hold(list(request["names"]), fds)
        return {}

    def _op_let_go(self, _: Link, request: dict[str, Any], __: list[int]) -> dict[str, Any]:
        self._held.let_go(list(request["names"]))
        return {"held": self._held.names()}

    # -------------------------------------------------------------- changes and ends

    def _tell(self, event: dict[str, Any]) -> None:
        for link in list(self._links):
            link.tell(event)

    def _on_change(self, session: Session) -> None:
        self._tell({"event": "viewers", "session": session.name, **session.viewers()})

    def _on_end(self, session: Session, outcome: Outcome) -> None:
        ended = {"status": outcome.status, "signal": outcome.signal}
        if session.name == MAIN:
            ended["oom"] = self._cgroup.oom_kills() > self._oom_before
            self._record(ended)
            self._deadline = time.monotonic() + LINGER
        else:
            del self._sessions[session.name]
            self._tell({"event": "exec-exit", "session": session.name, **ended})
        last = frames.frame(frames.EXIT, wirejson.dumps({"oom": False, **ended}))
        session.dismiss(last)
        self._ending.append(session)

    def _record(self, ended: dict[str, Any]) -> None:
        """The end is on disk first; only then may anyone hear of it."""
        record = {
            **ended,
            "started": self.started,
            "finished": time.time(),
            "log_lost": self._log.lost,
        }
        try:  # a box that goes when it ends needs no disk to have it
            write_file(self._box + "/exit.json", record, durable=bool(self.plan["durable"]))
        except OSError:
            complain(self._box, "exit.json could not be written")
        self._conceal()
        self._held.let_go(self._held.names())  # before anyone starts the box again
        self._tell({"event": "exit", **record})

    def reap_soon(self, pid: int) -> None:
        """Wait for a helper that is about to end, when it has."""
        pidfd = os.pidfd_open(pid)

        def reap(_: int) -> None:
            self._poller.remove(pidfd)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)

        self._poller.add(pidfd, IN, reap)

    def run(self) -> None:
        """Until the box has ended and everyone who should has heard of it."""
        while not self._done():
            self._poller.once(self._next_look())
            self._ending = [session for session in self._ending if session.clients]

    def _next_look(self) -> float | None:
        if self._deadline is None:
            return None
        return max(self._deadline, time.monotonic() + 0.1)

    def _done(self) -> bool:
        """After the end: viewers and links have a little time, lossless owners all they need."""
        if self._deadline is None:
            return False
        late = time.monotonic() >= self._deadline
        if late:
            for session in self._ending:
                for client in [c for c in session.clients if not c.owner]:
                    client.drop()
        waiting = any(session.clients for session in self._ending)
        told = late or all(link.idle for link in self._links)
        return told and not waiting and (late or len(self._sessions) == 1)


_OPS = {
    "attach": Shim._op_attach,  # noqa: SLF001
    "exec": Shim._op_exec,  # noqa: SLF001
    "signal": Shim._op_signal,  # noqa: SLF001
    "resize": Shim._op_resize,  # noqa: SLF001
    "sessions": Shim._op_sessions,  # noqa: SLF001
    "hold": Shim._op_hold,  # noqa: SLF001
    "let_go": Shim._op_let_go,  # noqa: SLF001
}


def main(midwife: socket.socket, pid: int) -> NoReturn:
    """The rest of a shim's life: from the launch message, which its midwife (its child `pid`)
    hands on, to the box's end."""
    status = 1
    where = ""
    try:
        message, fds = report.receive(midwife)
        if not message:
            os._exit(0)
        sys_.prctl(sys_.PR_SET_PDEATHSIG, 0)
        request = wirejson.loads(message)
        link = socket.socket(fileno=fds.pop(0))
        plan = plan_of(request)
        where = plan["box"]
        sys_.set_title(f"boxy-shim {plan['name']}")
        status = _live(plan, request, link, fds, midwife, pid)
    except BaseException as error:  # noqa: BLE001 - the last resort of a process on its own
        complain(where, trace(error))
    os._exit(status)


def _live(
    plan: dict[str, Any],
    request: dict[str, Any],
    link: socket.socket,
    client: list[int],
    midwife: socket.socket,
    pid: int,
) -> int:
    try:
        shim = Shim(plan)
        shim.start(midwife)
    except BoxyError as error:
        link.send(wirejson.dumps({"error": error.to_wire()}))
        return 1
    shim.add_link(link, greet=False)
    if client:
        shim.attach(shim.main, Visit(request), client)
    midwife.close()
    shim.reap_soon(pid)
    shim.run()
    return 0


def settle() -> None:
    """Leave the zygote's session, hold nothing of the host busy, show a name in `ps`."""
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    for number in (1, 2):
        os.dup2(0, number)
    sys_.set_handler(signal.SIGCHLD, 0)
    sys_.set_name("boxy-shim")
    sys_.set_title("boxy-shim (spare)")
    gc.enable()
