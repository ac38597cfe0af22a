"""What a box is made of, told live: the answer of `explain`.  Pure data.

Constraint: each fact bears the command that shows it by hand, so that a reader need not
believe us; CLI and console draw the same sections and know nothing of what is in them.
"""

from __future__ import annotations

from boxy_core.models import Model, Status


class Fact(Model, frozen=True, kw_only=True):
    """One true thing about a box."""

    what: str
    """what it is about: "net", "/proc", "memory.max" """
    value: str
    """how it is now"""
    note: str = ""
    """why it is so, or what of the user's asked for it"""
    by_hand: str = ""
    """a shell command that shows it on the host, "" where there is none"""


class Section(Model, frozen=True, kw_only=True):
    """The facts about one idea."""

    key: str
    """one word, for choosing: "namespaces", "cgroup" """
    title: str
    about: str
    """the idea in a sentence or two"""
    learn: str = ""
    """the page of the tutorial that builds it, as in "07-user-namespace" """
    facts: list[Fact]


class Explanation(Model, frozen=True, kw_only=True):
    """A box in sections; one that does not run has those that need no process."""

    id: str
    name: str
    status: Status
    sections: list[Section]
