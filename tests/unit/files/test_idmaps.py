"""Whose files are whose: the maps of id-mapped mounts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxyd.runtime import idmaps

NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 70_000), st.just(65_535))


def table(ranges: idmaps.Ranges) -> dict[int, int]:
    """Number on the disk -> number in the box."""
    return {disk + i: box + i for disk, box, count in ranges for i in range(count)}


@given(NUMBERS, st.integers(0, 65_535))
def test_a_map_is_one_to_one_and_the_owner_is_the_user(owner: int, user: int) -> None:
    ranges = idmaps.owners(owner, user)
    found = table(ranges)
    assert found[owner] == user
    assert len(set(found.values())) == len(found) == sum(count for _, _, count in ranges)
    assert all(0 <= box < idmaps.COUNT for box in found.values())
    assert len(ranges) <= 340  # what the kernel takes


@given(st.integers(1, 70_000), st.integers(0, 65_535))
def test_nobody_in_the_box_is_the_hosts_root_in_a_users_folder(owner: int, user: int) -> None:
    assert 0 not in table(idmaps.owners(owner, user))


def test_all_others_keep_their_numbers() -> None:
    found = table(idmaps.owners(1000, 0))
    assert found[999] == 999
    assert found[33] == 33
    assert 1000 not in found.values()  # two users of a box are never one owner
    assert table(idmaps.owners(1001, 1000))[1000] == 1001
    assert idmaps.owners(0, 0) == [(0, 0, 1), (1, 1, 65_535)]


def test_the_kernels_lines_lead_to_the_hosts_numbers() -> None:
    assert idmaps.text([(1000, 0, 1), (1, 1, 999)], 100_000) == "1000 100000 1\n1 100001 999\n"
