"""Two kinds of import contract that import-linter lacks.

Its own kinds name what is forbidden, so a new module or library slips past until someone adds
it to a list. These name what is allowed: everything else is a broken contract.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def _within(module: str, packages: Iterable[str]) -> bool:
    """Whether ``module`` is one of ``packages`` or inside one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def _members(graph: ImportGraph, package: str) -> list[str]:
    """``package`` and everything in it; a package that is gone is an error, not a pass."""
    if package not in graph.modules:
        raise ValueError(f"The contract speaks of {package}, which does not exist.")
    return sorted(module for module in graph.modules if _within(module, [package]))


class _Listing(Contract):
    """A contract whose breaches are single imports, told as `importer -> imported`."""

    def breaches(self, graph: ImportGraph) -> list[tuple[str, str]]:
        """Every import that breaks the contract."""
        raise NotImplementedError

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Import-linter's entrance."""
        found = self.breaches(graph)
        output.verbose_print(verbose, f"{len(found)} imports break this contract.")
        return ContractCheck(kept=not found, metadata={"breaches": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each breach on a line of its own."""
        metadata: dict[str, Any] = dict(check.metadata)
        for importer, imported in metadata["breaches"]:
            output.print_error(f"{importer} -> {imported}")

    @staticmethod
    def _names(field: Any) -> set[str]:
        return {str(name) for name in field or ()}


class ReachOnly(_Listing):
    """Of our own packages ``source`` imports only ``allowed`` and itself.

    With ``stdlib_only`` it imports no third-party package either; ``banned`` names parts of
    the standard library that it must do without.
    """

    type_name = "reach_only"

    source: Any = fields.StringField()
    allowed: Any = fields.SetField(subfield=fields.StringField(), required=False)
    stdlib_only: Any = fields.BooleanField(required=False, default=False)
    banned: Any = fields.SetField(subfield=fields.StringField(), required=False)

    def breaches(self, graph: ImportGraph) -> list[tuple[str, str]]:
        """Imports out of ``source`` that no list allows."""
        source = str(self.source)
        allowed = {source, *self._names(self.allowed)}
        return [
            (importer, imported)
            for importer in _members(graph, source)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._permitted(imported, allowed, graph)
        ]

    def _permitted(self, imported: str, allowed: set[str], graph: ImportGraph) -> bool:
        if not graph.is_module_squashed(imported):
            return _within(imported, allowed)
        if self.stdlib_only and imported not in sys.stdlib_module_names:
            return False
        return not _within(imported, self._names(self.banned))


class KnownOnlyTo(_Listing):
    """``modules`` are imported by ``importers`` alone."""

    type_name = "known_only_to"

    modules: Any = fields.SetField(subfield=fields.StringField())
    importers: Any = fields.SetField(subfield=fields.StringField())

    def breaches(self, graph: ImportGraph) -> list[tuple[str, str]]:
        """Imports of ``modules`` from outside ``importers``."""
        importers = self._names(self.importers)
        modules = self._names(self.modules)
        return [
            (importer, module)
            for module in sorted(modules)
            if module in graph.modules
            for importer in sorted(graph.find_modules_that_directly_import(module))
            if not _within(importer, importers) and not _within(importer, [module])
        ]
