"""Every path that Boxy touches, in one frozen object.

Constraint: on the start-up path of every `boxy` command; imports no more than
`boxy_core.lean`.  Every path can be
moved by one option or one variable (BOXY_ROOT, BOXY_RUN, BOXY_SOCKET, BOXY_REGISTRY_PATH,
BOXY_CGROUP, BOXY_IDS), so that tests and several daemons live side by side.  Without root the
defaults follow the XDG Base Directory Specification.
"""

from __future__ import annotations

import sys
from posix import geteuid

from boxy_core.lean import absolute, environ, exists, is_file, is_folder, parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT_ID = 12
"""Folders, sockets and cgroups of a box bear this many digits of its id (sun_path has 108)."""


class Paths:
    """Where things are.

    Attributes are absolute paths, except `cgroup`, which is relative to each hierarchy.
    """

    __slots__ = ("cgroup", "ids", "registry", "root", "run", "socket")

    def __init__(
        self,
        root: str,
        run: str,
        socket: str,
        registry: tuple[str, ...],
        cgroup: str,
        ids: str = "",
    ) -> None:
        set_ = object.__setattr__
        set_(self, "root", absolute(root))
        set_(self, "run", absolute(run))
        set_(self, "socket", absolute(socket))
        set_(self, "registry", tuple(absolute(folder) for folder in registry))
        set_(self, "cgroup", cgroup.strip("/"))
        set_(self, "ids", absolute(ids or run + "/ids"))

    root: str
    run: str
    socket: str
    registry: tuple[str, ...]
    cgroup: str
    ids: str
    """where daemons side by side write down which ids their boxes have"""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Paths is frozen")

    @property
    def layers(self) -> str:
        """Unpacked layers by digest, shared by all boxes."""
        return self.root + "/layers"

    @property
    def images(self) -> str:
        """Records of the images that have been unpacked."""
        return self.root + "/images"

    @property
    def boxes(self) -> str:
        """One folder for each box."""
        return self.root + "/boxes"

    @property
    def volumes(self) -> str:
        """One folder for each volume."""
        return self.root + "/volumes"

    def volume(self, name: str) -> str:
        """A volume's own folder: volume.json, and data/ with its files."""
        return f"{self.volumes}/{name}"

    def box(self, box_id: str) -> str:
        """The box's own folder: box.json, exit.json, log, upper/, work/."""
        return f"{self.boxes}/{box_id[:SHORT_ID]}"

    def box_run(self, box_id: str) -> str:
        """What lives only while the box does: shim.sock, shim.json, plan.json."""
        return f"{self.run}/boxes/{box_id[:SHORT_ID]}"

    def shim_socket(self, box_id: str) -> str:
        """The control socket of the box's shim."""
        return self.box_run(box_id) + "/shim.sock"

    def box_cgroup(self, box_id: str) -> str:
        """The box's cgroup, relative to each hierarchy."""
        return f"{self.cgroup}/{box_id[:SHORT_ID]}"


def shipped_registry() -> str:
    """The registry folder that came with this installation (in a checkout: `registry/`)."""
    here = parent(parent(absolute(__file__)))
    checkout = here + "/registry"
    if is_folder(checkout):
        return checkout
    # In an installed one we lie in PREFIX/lib/python3.x/site-packages; sys.prefix says another
    # prefix where `boxy` was started without `site`.
    return absolute(here + "/../../../share/boxy/registry")


SYSTEM_SOCKET = "/run/boxy/boxyd.sock"

VARIABLES = (
    "BOXY_ROOT", "BOXY_RUN", "BOXY_SOCKET", "BOXY_REGISTRY_PATH", "BOXY_CGROUP", "BOXY_IDS",
)  # fmt: skip
"""what moves a path; sudo(8) drops all of them"""


def start_hint(env: Mapping[str, str] | None = None) -> str:
    """How to start the daemon that `env` means."""
    env = environ() if env is None else env
    moved = [name for name in VARIABLES if env.get(name)]
    program = beside("boxyd")
    if geteuid() == 0:
        return f"start it with: {program} & (or `make run` in a checkout)"
    if moved:
        return f"start it with: {as_root(program, env)} & (sudo alone drops {', '.join(moved)})"
    return f"start it with: {as_root(program, env)} & (or `make run` in a checkout)"


def beside(program: str) -> str:
    """The program as sudo(8) finds it, which has a PATH of its own: in full where it lies beside
    the one that runs in a folder of its own, as in a checkout's .venv."""
    here = parent(absolute(sys.argv[0]))
    path = f"{here}/{program}"
    known = here in ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin")
    return path if not known and is_file(path) else program


def as_root(command: str, env: Mapping[str, str] | None = None) -> str:
    """The command behind sudo(8), which drops the variables that move paths: they are repeated."""
    env = environ() if env is None else env
    given = "".join(f" {name}={_quoted(env[name])}" for name in VARIABLES if env.get(name))
    return f"sudo env{given} {command}" if given else f"sudo {command}"


def _quoted(text: str) -> str:
    """A word for a shell; `shlex` costs an import."""
    if text.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum():
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def client_paths(
    *, socket: str | None = None, run: str | None = None, env: Mapping[str, str] | None = None
) -> Paths:
    """`default_paths` for who asks a daemon.

    Where nothing names one and the user has none of his own, root's is meant, if it is there:
    the group `boxy` may use it, and others are told so.
    """
    env = environ() if env is None else env
    paths = default_paths(socket=socket, run=run, env=env)
    named = socket or run or env.get("BOXY_SOCKET") or env.get("BOXY_RUN")
    if named or exists(paths.socket) or not exists(SYSTEM_SOCKET):
        return paths
    return default_paths(socket=SYSTEM_SOCKET, env=env)


def default_paths(
    *,
    root: str | None = None,
    run: str | None = None,
    socket: str | None = None,
    registry: str | None = None,
    cgroup: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Paths:
    """The paths in force: an argument wins over the environment, that over the default.

    `registry` is colon-separated; the shipped registry folder is always searched last.
    """
    env = environ() if env is None else env
    if geteuid() == 0:
        data, runtime = "/var/lib/boxy", "/run/boxy"
    else:
        home = env.get("HOME") or "/"
        data = (env.get("XDG_DATA_HOME") or home + "/.local/share") + "/boxy"
        runtime = (env.get("XDG_RUNTIME_DIR") or f"/run/user/{geteuid()}") + "/boxy"
    root = root or env.get("BOXY_ROOT") or data
    run = run or env.get("BOXY_RUN") or runtime
    socket = socket or env.get("BOXY_SOCKET") or run + "/boxyd.sock"
    listed = registry or env.get("BOXY_REGISTRY_PATH") or root + "/registry"
    folders = [folder for folder in listed.split(":") if folder]
    shipped = shipped_registry()
    if shipped not in folders:
        folders.append(shipped)
    group = cgroup or env.get("BOXY_CGROUP") or "boxy"
    ids = env.get("BOXY_IDS") or ("/run/boxy-ids" if geteuid() == 0 else run + "/ids")
    return Paths(root, run, socket, tuple(folders), group, ids)
