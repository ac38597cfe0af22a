"""What a short `boxy` command needs of `os`, without its import, which takes 2 ms of about 20.

`os` builds abstract classes and loads four more modules; under it lies the C module `posix`,
whose functions the command line's hot modules call directly.  Only what `os` itself adds to it
is here.  Where `os` is loaded (in the daemon, in tests), its `environ` is the one in force.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT, _FOLDER, _FILE = 0o170000, 0o040000, 0o100000  # inode(7)
_decoded: dict[str, str] = {}


def environ() -> Mapping[str, str]:
    """The environment, as os.environ has it."""
    if "os" in sys.modules:
        return sys.modules["os"].environ  # type: ignore[no-any-return]  # it may have been changed
    if not _decoded:
        code = sys.getfilesystemencoding()
        for name, value in posix.environ.items():
            _decoded[name.decode(code, "surrogateescape")] = value.decode(code, "surrogateescape")
    return _decoded


def absolute(path: str) -> str:
    """`os.path.abspath`; free for a path that is absolute and plain."""
    whole = path + "/"
    if path.startswith("/") and not ("//" in whole or "/./" in whole or "/../" in whole):
        return path
    from os.path import abspath

    return abspath(path)


def parent(path: str) -> str:
    """`os.path.dirname` of an absolute plain path other than the root."""
    return path.rpartition("/")[0] or "/"


def exists(path: str) -> bool:
    """`os.path.exists`."""
    return _format(path) != 0


def is_folder(path: str) -> bool:
    """`os.path.isdir`."""
    return _format(path) == _FOLDER


def is_file(path: str) -> bool:
    """`os.path.isfile`."""
    return _format(path) == _FILE


def _format(path: str) -> int:
    """The kind of file in the bits of inode(7), links followed; 0 where there is none."""
    try:
        return posix.stat(path).st_mode & _FORMAT
    except (OSError, ValueError):  # ValueError: a null character in it
        return 0
