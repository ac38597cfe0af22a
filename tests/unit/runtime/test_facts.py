"""Ids, host facts, capabilities, requests: what plans and shims are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import BoxyError, Conflict, InvalidRequest
from boxyd import host, ids
from boxyd.runtime import capabilities, requests


def files(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "sub").write_text(text)
    return {"subuid": str(tmp_path / "sub"), "subgid": str(tmp_path / "sub")}


@given(st.lists(st.integers(0, 40), max_size=40))
def test_ranges_never_overlap(taken: list[int]) -> None:
    bases = [ids.FIRST + n * ids.COUNT for n in taken]
    base = ids.allocate(bases, subuid="/nonexistent", subgid="/nonexistent")
    assert base not in bases
    assert base % ids.COUNT == 0
    assert ids.FIRST <= base < ids.LAST


def test_a_freed_range_is_used_again() -> None:
    def allocate(taken: list[int]) -> int:
        return ids.allocate(taken, subuid="/nonexistent", subgid="/nonexistent")

    first = allocate([])
    second = allocate([first])
    assert allocate([second]) == first


@given(st.lists(st.integers(0, 40), max_size=40), st.integers(0, 50))
def test_ranges_are_given_in_turn_and_then_from_the_start(taken: list[int], last: int) -> None:
    bases = [ids.FIRST + n * ids.COUNT for n in taken]
    after = ids.FIRST + last * ids.COUNT
    base = ids.allocate(bases, after, subuid="/nonexistent", subgid="/nonexistent")
    assert base == min(
        one for n in range(100) if (one := ids.FIRST + n * ids.COUNT) > after and one not in bases
    )
    end = ids.LAST - ids.COUNT
    around = ids.allocate(bases, end, subuid="/nonexistent", subgid="/nonexistent")
    assert around == ids.allocate(bases, subuid="/nonexistent", subgid="/nonexistent")


def test_ids_that_belong_to_others_are_left_to_them(tmp_path: Path) -> None:
    text = f"alice:{ids.FIRST + 10}:65536\nnonsense\nbob:x:y\n"
    base = ids.allocate([], **files(tmp_path, text))
    assert base >= ids.FIRST + 10 + 65536


def test_ids_given_to_boxy_are_the_only_ones(tmp_path: Path) -> None:
    given_ids = files(tmp_path, "boxy:231072:131072\n")
    base = ids.allocate([], **given_ids)
    assert base == 262144
    with pytest.raises(Conflict, match="in use"):
        ids.allocate([base], **given_ids)


@pytest.mark.parametrize(
    ("release", "expected"),
    [("6.18.44-fc-v657", (6, 18)), ("5.10.0-28-amd64", (5, 10)), ("6.1", (6, 1)),
     ("6.6-rc1", (6, 6)), ("weird", (0, 0)), ("a.b", (0, 0))],
)  # fmt: skip
def test_kernel_versions(release: str, expected: tuple[int, int]) -> None:
    assert host.version(release) == expected


def test_this_machine_can_be_looked_at() -> None:
    facts = host.probe()
    assert facts.kernel > (3, 0)
    assert all(sentence.endswith(".") for sentence in facts.problems + facts.notices)
    assert facts.features["user namespaces"] == ("user" in facts.namespaces)


def test_an_empty_proc_means_no_namespaces_and_says_so(tmp_path: Path) -> None:
    facts = host.probe(str(tmp_path))
    assert not facts.id_maps
    assert any("overlayfs" in sentence for sentence in facts.problems)
    assert any("pid" in sentence for sentence in facts.problems)
    assert any("root outside" in sentence for sentence in facts.notices)


DEFAULT = sorted(capabilities.DEFAULT)


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ([], [], DEFAULT),
        (["CAP_NET_ADMIN"], [], sorted([*DEFAULT, "net_admin"])),
        ([], ["mknod", "NET_RAW"], [c for c in DEFAULT if c not in {"mknod", "net_raw"}]),
        (["net_bind_service"], ["ALL"], ["net_bind_service"]),
        (["all"], [], sorted(capabilities.NAMES)),
        (["all"], ["sys_admin"], sorted(set(capabilities.NAMES) - {"sys_admin"})),
        (["chown"], ["chown"], DEFAULT),
    ],
)
def test_capabilities_are_chosen_as_in_docker(
    add: list[str], drop: list[str], expected: list[str]
) -> None:
    assert capabilities.selected(add, drop) == expected


def test_an_unknown_capability_is_named() -> None:
    with pytest.raises(ValueError, match="fly"):
        capabilities.selected(["cap_fly"], [])


def test_masks_are_the_kernels() -> None:
    assert capabilities.mask(["chown", "setuid"]) == 1 << 0 | 1 << 7
    assert capabilities.mask(list(capabilities.DEFAULT)) == 0x800405FB
    assert len(capabilities.NAMES) == 41


VISIT = {"preamble": "HTTP {session}\r\n", "early": "\xff", "owner": True, "stdin": False,
         "replay": True, "rows": 24, "cols": 80}  # fmt: skip
SPEC: dict[str, Any] = {"command": ["ls"], "env": {}, "workdir": None, "user": "", "tty": True,
                        "stdin": True, "rows": 24, "cols": 80}  # fmt: skip


def test_a_visit_is_read() -> None:
    visit = requests.Visit(VISIT)
    assert visit.greeting("e7") == b"HTTP e7\r\n"
    assert visit.early == b"\xff"
    assert visit.size == (24, 80)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(VISIT)), JSON)
def test_a_malformed_visit_is_refused(field: str, value: Any) -> None:
    try:
        requests.Visit({**VISIT, field: value})
    except (BoxyError, KeyError, TypeError, ValueError):
        return


@given(st.sampled_from(sorted(SPEC)), JSON)
def test_a_malformed_command_is_refused(field: str, value: Any) -> None:
    try:
        spec = requests.exec_spec({**SPEC, field: value})
    except (BoxyError, KeyError, TypeError, ValueError):
        return
    assert all(isinstance(word, str) for word in spec["command"])
    assert all(isinstance(word, str) for word in spec["env"].values())


@pytest.mark.parametrize("field", sorted(SPEC))
def test_a_command_needs_each_field(field: str) -> None:
    with pytest.raises((KeyError, InvalidRequest)):
        requests.exec_spec({key: value for key, value in SPEC.items() if key != field})


@pytest.mark.parametrize("command", [[], [""], "ls", [1], None, ["ls", None]])
def test_a_command_is_a_list_of_words(command: Any) -> None:
    with pytest.raises(InvalidRequest):
        requests.exec_spec({**SPEC, "command": command})
