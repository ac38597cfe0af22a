"""`boxyd`: arguments, log, locks, socket; then serve until a signal says otherwise.

Constraint: in the foreground, like every service of today; who wants it in the background has
systemd or `&`.  What keeps it from starting is one sentence on stderr with what to do, and
status 1.  Boxes are not the daemon's children: its end, clean or not, leaves them running.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from boxy_core import __version__, systemd
from boxy_core.errors import BoxyError, Denied
from boxy_core.paths import Paths, as_root, beside, default_paths
from boxyd import instance, journal
from boxyd.house import House, open_house
from boxyd.network.networks import AUTO, Defaults
from boxyd.network.ports import LOOPBACK, check_address
from boxyd.server import Server
from boxyd.traffic import Settings

log = logging.getLogger("boxyd")

OpenHouse = Callable[[Paths], AbstractAsyncContextManager[House]]


def main(argv: list[str] | None = None) -> int:
    """Run the daemon; its exit status."""
    options = parse(sys.argv[1:] if argv is None else argv, os.environ)
    journal.set_up(options.log_format, options.log_level)
    try:
        paths = paths_of(options)
        check_address(options.publish_address)
        require_root()
        registries = Settings.of(options.default_registry, options.insecure_registry, os.environ)
        defaults = Defaults(options.default_network, options.publish_address)
        open_ = functools.partial(open_house, registries=registries, defaults=defaults)
        return run(paths, options, open_)
    except BoxyError as error:
        hint = f"; {error.hint}" if error.hint else ""
        sys.stderr.write(f"boxyd: {journal.printable(error.message + hint)}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def parse(argv: list[str], env: Mapping[str, str]) -> argparse.Namespace:
    """The options; the environment (BOXY_LOG_FORMAT, BOXY_LOG_LEVEL) gives defaults."""
    parser = argparse.ArgumentParser(
        prog="boxyd", description="The Boxy daemon: runs boxes and serves them on a Unix socket."
    )
    add = parser.add_argument
    add("--root", metavar="DIR", help="images and boxes (BOXY_ROOT, /var/lib/boxy)")
    add("--run", metavar="DIR", help="sockets and locks (BOXY_RUN, /run/boxy)")
    add("--socket", metavar="PATH", help="where to serve (BOXY_SOCKET, RUN/boxyd.sock)")
    add("--socket-group", metavar="GROUP", default=env.get("BOXY_SOCKET_GROUP", ""),
        help="who else may use the socket (BOXY_SOCKET_GROUP, boxy if it exists)")  # fmt: skip
    add("--registry-path", metavar="DIRS",
        help="image folders, separated by colons (BOXY_REGISTRY_PATH, ROOT/registry)")  # fmt: skip
    add("--default-registry", metavar="HOST", default=env.get("BOXY_DEFAULT_REGISTRY", ""),
        help="where images without a registry in their name are (BOXY_DEFAULT_REGISTRY, nowhere)",
    )  # fmt: skip
    add("--insecure-registry", metavar="HOSTS", default=env.get("BOXY_INSECURE_REGISTRY", ""),
        help="registries with plain http or an unknown certificate, separated by commas "
        "(BOXY_INSECURE_REGISTRY)")  # fmt: skip
    add("--cgroup", metavar="PATH",
        help="the boxes' cgroup, below each hierarchy (BOXY_CGROUP, boxy)")  # fmt: skip
    add("--default-network", metavar="NAME", default=env.get("BOXY_DEFAULT_NETWORK") or AUTO,
        help="network of boxes that name none: bridge, none, host, another's name, or auto: "
        "bridge where the machine can, else none (BOXY_DEFAULT_NETWORK, auto)")  # fmt: skip
    add("--publish-address", metavar="IP",
        default=env.get("BOXY_PUBLISH_ADDRESS") or LOOPBACK,
        help="where ports go without an address (BOXY_PUBLISH_ADDRESS, 127.0.0.1)")  # fmt: skip
    add("--log-format", choices=journal.FORMATS, default=env.get("BOXY_LOG_FORMAT", "text"))
    add("--log-level", choices=journal.LEVELS, default=env.get("BOXY_LOG_LEVEL", "info"))
    add("--stop-boxes", action="store_true", default=env.get("BOXY_STOP_BOXES", "") == "1",
        help="at the end, stop the boxes too (BOXY_STOP_BOXES=1)")  # fmt: skip
    add("--version", action="version", version=f"boxyd {__version__}")
    options = parser.parse_args(argv)
    # argparse does not check a default against the choices
    for name, allowed in (("log_format", journal.FORMATS), ("log_level", journal.LEVELS)):
        if getattr(options, name) not in allowed:
            parser.error(f"BOXY_{name.upper()} must be one of {', '.join(allowed)}")
    return options


def paths_of(options: argparse.Namespace) -> Paths:
    """Where things are, by options, environment, defaults."""
    return default_paths(
        root=options.root,
        run=options.run,
        socket=options.socket,
        registry=options.registry_path,
        cgroup=options.cgroup,
    )


def require_root() -> None:
    """Raises Denied without root: mounts, cgroups and id ranges are root's."""
    if os.geteuid() != 0:
        raise Denied(
            "boxyd makes mounts and cgroups and must run as root",
            hint=f"say: {as_root(beside('boxyd'))}",
        )


def run(paths: Paths, options: argparse.Namespace, open_: OpenHouse = open_house) -> int:
    """Lock, listen, serve.  Raises BoxyError if it cannot come to that."""
    os.chdir("/")
    _raise_file_limit()
    os.umask(0o022)
    passed = instance.passed_socket(os.environ)
    if passed is not None:
        paths = _served_at(paths, passed)
    instance.make_folders(paths)
    locks = instance.Locks(paths)
    try:
        sock = passed or instance.listen(paths.socket, options.socket_group)
        with sock:
            asyncio.run(_serve(paths, sock, options, open_))
        if passed is None:
            with contextlib.suppress(OSError):
                os.unlink(paths.socket)
    finally:
        locks.release()
    return 0


def _raise_file_limit() -> None:
    """Every box costs a dozen descriptors, mostly of counters; a shell gives 1,024 in all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _served_at(paths: Paths, sock: socket.socket) -> Paths:
    """The paths with the socket where systemd opened it."""
    return Paths(paths.root, paths.run, sock.getsockname(), paths.registry, paths.cgroup, paths.ids)


async def _serve(
    paths: Paths, sock: socket.socket, options: argparse.Namespace, open_: OpenHouse
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _asked_to_end, number, ended)
    async with open_(paths) as house:
        for notice in house.notices:
            log.warning("%s", notice)
        server = Server(house, sock)
        await server.start()
        gc.freeze()  # what was loaded stays: no collection needs to look at it again
        systemd.notify(os.environ, "READY=1")
        log.info(
            "boxyd %s serves %d boxes on %s (cgroups: %s)",
            __version__, len(house.shelf), paths.socket, house.cgroups.kind,
        )  # fmt: skip
        await ended.wait()
        systemd.notify(os.environ, "STOPPING=1")
        if options.stop_boxes:
            await house.lives.stop_all()
        await server.stop()
        living = sum(record.alive for record in house.shelf)
    log.info("boxyd has ended; %d boxes go on", living)


def _asked_to_end(number: int, ended: asyncio.Event) -> None:
    log.info("%s: ending", signal.Signals(number).name)
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
