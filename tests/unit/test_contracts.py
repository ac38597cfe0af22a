"""The import contracts of our own kinds can be broken."""

from __future__ import annotations

import pytest
from grimp import ImportGraph

from tests.support.contracts import KnownOnlyTo, ReachOnly


def _graph(*imports: tuple[str, str], external: tuple[str, ...] = ()) -> ImportGraph:
    graph = ImportGraph()
    for package in external:
        graph.add_module(package, is_squashed=True)
    for importer, imported in imports:
        graph.add_import(importer=importer, imported=imported)
    return graph


def _reach_only(**options: object) -> ReachOnly:
    return ReachOnly(name="a test", session_options={}, contract_options=options)


def _known_only_to(**options: object) -> KnownOnlyTo:
    return KnownOnlyTo(name="a test", session_options={}, contract_options=options)


def test_what_is_allowed_and_itself_may_be_imported() -> None:
    graph = _graph(("kernel.shim", "core.errors"), ("kernel.shim", "kernel.steps"))
    graph.add_module("kernel")
    contract = _reach_only(source="kernel", allowed=["core.errors"])
    assert contract.check(graph, verbose=False).kept


def test_a_module_that_nobody_listed_breaks_the_contract() -> None:
    graph = _graph(("kernel.shim", "core.models"))
    graph.add_module("kernel")
    check = _reach_only(source="kernel", allowed=["core.errors"]).check(graph, verbose=False)
    assert check.metadata["breaches"] == [("kernel.shim", "core.models")]


def test_a_name_that_only_begins_like_an_allowed_one_is_not_allowed() -> None:
    graph = _graph(("kernel.shim", "core.errors_more"))
    graph.add_module("kernel")
    assert not _reach_only(source="kernel", allowed=["core.errors"]).check(graph, False).kept


@pytest.mark.parametrize("package", ["aiohttp", "asyncio"])
def test_third_party_and_banned_packages_break_a_stdlib_only_contract(package: str) -> None:
    graph = _graph(("kernel", package), external=(package,))
    contract = _reach_only(source="kernel", stdlib_only="true", banned=["asyncio"])
    assert not contract.check(graph, verbose=False).kept


def test_the_rest_of_the_standard_library_is_free() -> None:
    graph = _graph(("kernel", "json"), external=("json",))
    contract = _reach_only(source="kernel", stdlib_only="true", banned=["asyncio"])
    assert contract.check(graph, verbose=False).kept


def test_a_contract_on_a_module_that_is_gone_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not exist"):
        _reach_only(source="kernel").check(_graph(("core", "core.errors")), verbose=False)


def test_a_library_is_known_only_to_those_who_are_named() -> None:
    graph = _graph(("console.app", "textual"), ("daemon.main", "textual"), external=("textual",))
    contract = _known_only_to(modules=["textual"], importers=["console"])
    check = contract.check(graph, verbose=False)
    assert check.metadata["breaches"] == [("daemon.main", "textual")]
