"""The modules of the command line in one file, from which an installed `boxy` loads them.

A start loads about thirty small modules; for each of them the interpreter looks into every folder
of `sys.path`, at the source and at the compiled file.  The bundle is written at installation
(packaging/quicken), and is a cache as `__pycache__` is: a module whose source has changed since
is loaded in the ordinary way, and so is everything where the bundle is missing or another
interpreter's.

The file: the interpreter's magic number (as in a .pyc), the length of the head in four bytes,
the head, the modules.  The head is `marshal` data: this module's own code, which thus needs no
loading either, and for each module a tuple (source, is a package, modified in s, size in bytes,
where its code begins, how long it is); whole seconds, since packages keep no more.
"""

from __future__ import annotations

import posix
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Entry = tuple[str, bool, int, int, int, int]
else:
    ModuleSpec = type(sys.__spec__)  # `importlib.machinery` would have to be imported

FIXED = 8
"""bytes before the head"""


class Finder:
    """Finds and loads what the bundle has (importlib.abc.MetaPathFinder and Loader)."""

    def __init__(self, fd: int, start: int, table: dict[str, Entry]) -> None:
        self._fd = fd
        self._start = start
        self._table = table

    def find_spec(self, name: str, *_where: object) -> ModuleSpec | None:
        """The module, unless the bundle lacks it or its source is another by now."""
        if name not in self._table:
            return None
        source, package, modified, size, _, _ = self._table[name]
        try:
            now = posix.stat(source)
        except OSError:
            return None
        if int(now.st_mtime) != modified or now.st_size != size:
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=package)  # type: ignore[arg-type]
        spec.has_location = True
        if package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """It is an ordinary module."""
        return

    def exec_module(self, module: ModuleType) -> None:
        """Run its code."""
        _, _, _, _, offset, length = self._table[module.__name__]
        code = loads(posix.pread(self._fd, length, self._start + offset))  # noqa: S302 - our own
        exec(code, module.__dict__)  # noqa: S102 - as every import does


def use(fd: int, head: int, table: dict[str, Entry]) -> None:
    """Load modules from the bundle that is open as `fd`, whose head has `head` bytes; from now
    on, and unless it was cut off."""
    *_, offset, length = next(reversed(table.values()))
    if posix.fstat(fd).st_size != FIXED + head + offset + length:
        return
    sys.meta_path.insert(0, Finder(fd, FIXED + head, table))


# ------------------------------------------------------------------ writing it


def place() -> str:
    """Where the bundle is kept for this interpreter: beside the compiled modules."""
    folder = __file__.rpartition("/")[0]
    return f"{folder}/__pycache__/boxy.{sys.implementation.cache_tag}.bundle"


def modules() -> list[str]:
    """All of the command line, and of what it stands on."""
    import pkgutil

    import boxy_cli
    import boxy_core

    names = ["__future__"]
    for package in (boxy_core, boxy_cli):
        found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        names += [package.__name__, *(module.name for module in found)]
    return names


def write(file: str, names: Iterable[str], root: str = "") -> None:
    """Write the bundle of these modules, whole or not at all.  Raises OSError, ImportError.

    `root` is taken from the front of all paths in it: the folder from which a package is made.
    """
    import os
    import tempfile
    from importlib.util import MAGIC_NUMBER
    from marshal import dumps

    table: dict[str, Entry] = {}
    body = b""
    for name in names:
        source, package = _source(name)
        found = os.stat(source)
        there = source.removeprefix(root)
        code = dumps(_compiled(source, there))
        table[name] = (there, package, int(found.st_mtime), found.st_size, len(body), len(code))
        body += code
    own = _compiled(__file__, __file__.removeprefix(root))
    head = dumps((own, table))
    folder = os.path.dirname(file)
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as new:
        new.write(MAGIC_NUMBER + len(head).to_bytes(4, "little") + head + body)
    os.chmod(new.name, 0o644)
    os.replace(new.name, file)


def _source(name: str) -> tuple[str, bool]:
    from importlib.util import find_spec

    spec = find_spec(name)
    if spec is None or not spec.origin:
        raise ImportError(f"{name} has no source")
    return spec.origin, spec.submodule_search_locations is not None


def _compiled(source: str, named: str) -> Any:
    with open(source, "rb") as file:
        return compile(file.read(), named, "exec", dont_inherit=True)
