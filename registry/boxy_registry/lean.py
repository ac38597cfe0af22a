"""aiohttp's server without aiohttp's client: a tenth of a serving process' memory.

Importing anything of aiohttp runs its package, which loads the client, its cookie jar and two
TLS contexts with all authorities of the system (4 MiB); a registry without mirrors or hooks never
asks anybody.  Here the package is put in place empty, and is run when somebody first wants a name
of it (`aiohttp.ClientSession`); its modules (`aiohttp.web`) are found without that.  An aiohttp
that is made otherwise is imported as usual.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_VERSION = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


class _Later(ModuleType):
    """A package that has not been run yet."""

    def __getattr__(self, name: str) -> object:
        spec = self.__spec__
        special = name.startswith("__")
        if special or spec is None or spec.loader is None or find_spec(f"{spec.name}.{name}"):
            raise AttributeError(name)  # a module: the import goes on and finds it
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def put_off_the_client() -> None:
    """Do that, unless aiohttp is loaded already."""
    if "aiohttp" in sys.modules:
        return
    spec = find_spec("aiohttp")
    version = _VERSION.search(_source(spec)) if spec is not None else None
    if spec is None or version is None:
        return
    package = module_from_spec(spec)
    package.__class__ = _Later
    package.__dict__["__version__"] = version[1]  # its modules want that
    sys.modules["aiohttp"] = package
    # in C++, whose library takes a megabyte; a list of a few entries is as quick in Python
    os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")


def _source(spec: ModuleSpec) -> str:
    try:
        with open(spec.origin or "", encoding="utf-8") as file:
            return file.read(4096)
    except OSError:
        return ""
