"""From a box, its image and the host's facts to the plan that the runtime executes.  Pure.

A plan is plain data that a person can read (`plan.json`, `boxy run --explain`): the list of
steps that make the box, in order, and how its command is run.  Nothing here touches the
machine, so a plan can be built for explanation only.
"""

from __future__ import annotations

import functools
import os
from typing import Any, NamedTuple, Protocol

import msgspec

from boxy_core.errors import InvalidRequest, StartFailed
from boxy_core.models import Box, Image, Mount
from boxy_core.paths import SHORT_ID, Paths
from boxyd import plan_mounts, plan_network, plan_spaces
from boxyd.host import HostFacts
from boxyd.ids import COUNT
from boxyd.isolation import kept_capabilities
from boxyd.ports import Joined, Setting
from boxyd.runtime import quota, seccomp, steps
from boxyd.state import PROFILE_FILE

VERSION = 1
LOG_LIMIT, LOG_KEEP = 8 << 20, 3
RING = 256 << 10
NOFILE_SOFT = 65536
"""where the limit of open files starts: some programs close every number up to it"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TERM = "xterm-256color"

RESERVED = ("/proc", "/sys", "/dev/pts", "/dev/mqueue")
"""where nothing of the user's may be mounted: the box's safety rests on what stands there"""


class CgroupPlan(Protocol):
    """How a process gets into the box's cgroup; see `boxyd.cgroup`."""

    @property
    def tasks(self) -> list[str]:
        """v1 `tasks` files."""

    @property
    def procs(self) -> list[str]:
        """`cgroup.procs` of every hierarchy."""

    @property
    def into(self) -> str:
        """The v2 folder, or ""."""

    @property
    def oom(self) -> str:
        """The file with the `oom_kill` counter, or ""."""


class NoCgroup(NamedTuple):
    """A plan for no cgroup at all."""

    tasks: list[str]
    procs: list[str]
    into: str
    oom: str


EMPTY_CGROUP: CgroupPlan = NoCgroup([], [], "", "")


def build(
    box: Box,
    image: Image,
    paths: Paths,
    cgroup: CgroupPlan,
    host: HostFacts,
    setting: Setting | None = None,
    joined: Joined | None = None,
) -> dict[str, Any]:
    """The plan of a box.  `box.args` and `box.id_base` are settled; raises InvalidRequest.

    `setting` is what the network has to say; None: there is none.  `joined` is whom the box
    shares namespaces with, if it does; without it a plan of such a box is for reading only.
    """
    spec = box.spec
    setting = setting or _unconnected(box)
    mapped = box.id_base > 0
    folder = paths.box(box.id)
    return {
        "version": VERSION,
        "id": box.id,
        "name": box.name,
        "terminal": spec.tty,
        "stdin": spec.stdin,
        "rows": spec.rows,
        "cols": spec.cols,
        "run": paths.box_run(box.id),
        "box": folder,
        "log_limit": LOG_LIMIT,
        "log_keep": LOG_KEEP,
        "durable": not spec.auto_remove,
        "ring": RING,
        "namespaces": plan_spaces.namespaces(spec, mapped, host),
        "join": plan_spaces.join(spec, joined, mapped),
        "id_map": [[0, box.id_base, COUNT]] if mapped else [],
        "network": plan_network.taken(setting),
        "cgroup": {
            "tasks": list(cgroup.tasks),
            "procs": list(cgroup.procs),
            "into": cgroup.into,
            "oom": cgroup.oom,
        },
        "rlimits": {"core": [0, 0], "nofile": [min(host.nofile, NOFILE_SOFT), host.nofile]},
        "ulimits": {name: [limit.soft, limit.hard] for name, limit in spec.ulimits.items()},
        "steps": [
            step.to_json() for step in _steps(box, image, paths, cgroup, host, setting, joined)
        ],
        "process": {
            "args": list(box.args),
            "env": _environment(box, image),
            "cwd": spec.workdir or image.workdir or "/",
            "init": spec.init,
        },
    }


def describe(plan: dict[str, Any]) -> list[str]:
    """The plan in sentences, one for each step."""
    names = ", ".join(plan["namespaces"])
    lines = [f"fork a process with namespaces of its own: {names}"]
    if plan["join"]:
        names = ", ".join(plan["join"]["namespaces"])
        lines.append(f"have it enter those of the process {plan['join']['pid']}: {names}")
    if plan["id_map"]:
        base = plan["id_map"][0][1]
        lines.append(f"map its users 0 to {COUNT - 1} to the host's {base} and up")
    if plan["cgroup"]["procs"] or plan["cgroup"]["into"]:
        lines.append("put it into a cgroup of its own, where limits apply")
    for name, (soft, hard) in plan["ulimits"].items():
        lines.append(f"limit each process: {name} to {soft}, {hard} at most (setrlimit)")
    lines += [steps.from_json(step).describe() for step in plan["steps"]]
    process = plan["process"]
    reaper = " below a PID 1 of Boxy's that reaps orphans" if process["init"] else " as PID 1"
    return [*lines, f"run {' '.join(process['args'])} in {process['cwd']}{reaper}"]


# ------------------------------------------------------------------------ the steps


def _steps(
    box: Box,
    image: Image,
    paths: Paths,
    cgroup: CgroupPlan,
    host: HostFacts,
    setting: Setting,
    joined: Joined | None,
) -> list[steps.Step]:
    return [
        *_filesystems(box, image, paths, cgroup, host, joined),
        *plan_spaces.scratch(box.spec),
        *_mounts(box, image, paths),
        *_files(box, paths, setting),
        *_confinement(box, host, setting),
        *_privileges(box, image, paths, host),
    ]


def _filesystems(
    box: Box,
    image: Image,
    paths: Paths,
    cgroup: CgroupPlan,
    host: HostFacts,
    joined: Joined | None,
) -> list[steps.Step]:
    """The layers, and the kernel's own file systems."""
    folder = paths.box(box.id)
    made: list[steps.Step] = [
        steps.Overlay(
            lowers=list(box.layers or image.layers),
            upper=folder + "/upper",
            work=folder + "/work",
            volatile=box.spec.auto_remove,
            by_path=not host.fd_layers,
            project=quota.project_of(box.id) if host.project_quota else 0,
            limit=box.spec.limits.disk or 0,
        ),
        *plan_spaces.kernel_filesystems(box.spec, joined, box.id_base > 0, host),
    ]
    folders = cgroup_folders(cgroup, host.cgroup_mount)
    if folders:
        made.append(steps.Cgroupfs(folders=folders, read_only=not box.spec.privileged))
    return made


def cgroup_folders(cgroup: CgroupPlan, mount: str) -> dict[str, str]:
    """The box's cgroup in each hierarchy, by its place below /sys/fs/cgroup."""
    folders = [os.path.dirname(path) for path in cgroup.tasks]
    if not folders:
        return {"": cgroup.into} if cgroup.into else {}
    if cgroup.into:
        folders.append(cgroup.into)
    return {folder.removeprefix(mount + "/").split("/")[0]: folder for folder in folders}


def _mounts(box: Box, image: Image, paths: Paths) -> list[steps.Step]:
    """The image's parts of the host, whose files belong to nobody, then the user's own."""
    made: list[steps.Step] = [
        steps.Bind(
            source=mount.source,
            target=mount.target,
            read_only=mount.read_only,
            optional=True,
            map_ids=not mount.read_only,
        )
        for mount in _sorted(image.mounts)
    ]
    for mount in _sorted(box.spec.mounts):
        check_target(mount.target)
        made.append(plan_mounts.step(mount, _user(box, image), paths))
    return made


def _user(box: Box, image: Image) -> str:
    """Who runs the command: as asked for, or as the image has it."""
    return box.spec.user if box.spec.user is not None else image.user


def _sorted(mounts: list[Mount]) -> list[Mount]:
    """Outer targets before inner ones."""
    return sorted(mounts, key=lambda mount: os.path.normpath(mount.target).count("/"))


def check_target(target: str) -> None:
    """Raises InvalidRequest for a place where nothing may be mounted."""
    clean = os.path.normpath("/" + target.lstrip("/"))  # "//x" would keep both
    taken = [p for p in RESERVED if clean == p or clean.startswith(p + "/")]
    if clean in {"/", "/dev"} or taken:
        raise InvalidRequest(
            f"nothing can be mounted at {target}",
            hint="that place belongs to the box itself: choose another target",
        )


def _unconnected(box: Box) -> Setting:
    """What a box reads that is on no network."""
    local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    return Setting("# This box has no network.\n", f"{local}127.0.1.1\t{hostname(box)}\n")


def _files(box: Box, paths: Paths, setting: Setting) -> list[steps.Step]:
    """/etc/hostname, hosts and resolv.conf, unless the user mounts something of his there."""
    folder = paths.box(box.id) + "/etc/"
    texts = {
        "hostname": hostname(box) + "\n",
        "hosts": setting.hosts,
        "resolv.conf": setting.resolv,
    }
    taken = {os.path.normpath("/" + mount.target.lstrip("/")) for mount in box.spec.mounts}
    made: list[steps.Step] = []
    for file, text in texts.items():
        target = "/etc/" + file
        if target not in taken:
            made.append(plan_network.file(file, folder, text, setting))
    return made


def hostname(box: Box) -> str:
    """As asked for, or the host's if that is shared, or the first digits of the id."""
    if box.spec.uts == "host":
        return os.uname().nodename
    return box.spec.hostname or box.id[:SHORT_ID]


def _confinement(box: Box, host: HostFacts, setting: Setting) -> list[steps.Step]:
    """What is done last inside the tree, and the tree becomes the root."""
    spec = box.spec
    made: list[steps.Step] = []
    if spec.tty:
        made.append(steps.Console())
    made += plan_spaces.settings(spec, host)
    if spec.uts != "host":
        made.append(steps.Hostname(name=hostname(box)))
    made += plan_spaces.hidden(spec)
    if spec.read_only:
        made.append(steps.ReadonlyRoot())
    return [*made, *plan_network.wait(setting), steps.Pivot()]


def _privileges(box: Box, image: Image, paths: Paths, host: HostFacts) -> list[steps.Step]:
    spec = box.spec
    kept = kept_capabilities(spec)
    made: list[steps.Step] = [
        steps.Keyring(),
        steps.Capabilities(keep=kept),
        steps.User(name=_user(box, image), keep=kept),
    ]
    if spec.no_new_privs and not spec.privileged:
        made.append(steps.NoNewPrivs())
    if host.seccomp and spec.seccomp != "unconfined" and not spec.privileged:
        made.append(_filter(box, paths, kept, host))
    return made


def _filter(box: Box, paths: Paths, kept: list[str], host: HostFacts) -> steps.Step:
    """The filter's compiled form, named by all that it depends on."""
    path, text = seccomp.DEFAULT_PROFILE, b""
    if box.spec.seccomp == "custom":
        path = f"{paths.box(box.id)}/{PROFILE_FILE}"
        if box.spec.seccomp_profile is not None:  # a box that is not made yet
            text = msgspec.json.encode(box.spec.seccomp_profile)
        else:
            text = _own_profile(path)
    name = seccomp.program_name(text or _default_profile(), kept, host.arch)
    program = f"{paths.root}/cache/seccomp/{name}"
    return steps.Seccomp(program=program, profile=path, capabilities=kept)


def _own_profile(path: str) -> bytes:
    """The profile that was given with the box.  Raises StartFailed."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise StartFailed(
            f"the box's own seccomp profile cannot be read: {error}", step="seccomp"
        ) from None


@functools.cache
def _default_profile() -> bytes:
    with open(seccomp.DEFAULT_PROFILE, "rb") as file:
        return file.read()


def _environment(box: Box, image: Image) -> dict[str, str]:
    """As Docker's: a PATH always, the image's, HOSTNAME, TERM with a terminal, the user's."""
    env = {"PATH": PATH, "HOSTNAME": hostname(box)}
    if box.spec.tty:
        env["TERM"] = TERM
    return {**env, **image.env, **box.spec.env}
