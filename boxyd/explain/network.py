"""The way of a packet from the box to the outside.  Pure."""

from __future__ import annotations

from boxy_core.explanation import Fact, Section
from boxyd.explain.seen import Seen

LEARN = "10_network"


def network(seen: Seen) -> Section:
    """What the box's network namespace has."""
    mode = seen.box.spec.network
    names = ", ".join(seen.interfaces) or "none"
    abouts = {
        "none": "The box has a network of its own with nothing but itself in it.",
        "host": "The box shares the host's network: every address and port of the machine.",
    }
    facts = [
        Fact(
            what="interfaces", value=names, note="as its processes see them",
            by_hand=f"cat /proc/{seen.pid}/net/dev",
        )
    ]  # fmt: skip
    about = abouts.get(mode, "The box has a network of its own, joined to others by a bridge.")
    return Section(key="network", title="Network", about=about, learn=LEARN, facts=facts)
