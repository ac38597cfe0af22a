"""What a running box is made of, read from the kernel at the moment of asking.

`seen` reads (/proc, cgroup files), `sections` and its neighbours tell (pure).  The rule: only
what was read just now is told as a fact; what the plan says serves for the reasons.
"""

from __future__ import annotations

from boxy_core.explanation import Explanation
from boxyd.explain import sections
from boxyd.explain.seen import Seen, look

__all__ = ["Seen", "explain", "look"]


def explain(seen: Seen) -> Explanation:
    """The sections of what was seen."""
    box = seen.box
    return Explanation(id=box.id, name=box.name, status=box.status, sections=sections.of(seen))
