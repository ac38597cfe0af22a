"""Names of boxes: which are allowed, and friendly ones for boxes that were given none.  Pure."""

from __future__ import annotations

import random
import re
from collections.abc import Container

from boxy_core.errors import InvalidRequest

MAX_NAME = 128
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def _words(text: str) -> list[str]:
    return text.split()


ADJECTIVES = _words(
    "agile amber ample apt arctic azure bold bonny brave breezy bright brisk bubbly calm candid "
    "cheery chipper civil clear clever coral cosy crisp curious dapper daring deft dewy eager "
    "early earnest easy epic fair fancy fearless fleet fluffy fond frank fresh frosty gentle "
    "gifted glad gleaming golden grand hale handy happy hardy hearty helpful honest humble icy "
    "ideal jaunty jolly jovial keen kind large leafy light limber lively loyal lucid lucky lush "
    "mellow merry mighty mild minty misty modest mossy neat nimble noble open patient placid "
    "playful plucky polite prime proud prudent quick quiet rapid ready robust rosy round rustic "
    "sage sandy scarlet serene sharp shiny silent silver simple sleek smart smooth snug solar "
    "solid spry stable starry steady stout sturdy subtle sunny supple sure swift tender thrifty "
    "tidy tranquil trusty upbeat valiant velvet vivid warm wary whole wise witty zesty"
)

NOUNS = _words(
    "acorn alder anchor anvil aspen badger barge barrel basket beacon beaver bento birch bobbin "
    "bramble brook cabin cactus canoe canyon carton cedar chest clover comet copper coral cove "
    "cradle crane crate cricket cypress delta dingo dune falcon fern ferry finch fjord flask "
    "forge fossil fox galley gecko geyser glacier grove gull hamper harbor hatbox hawk hazel "
    "heron hopper ibex inlet island jasper jetty juniper kayak kestrel kettle lagoon lantern "
    "larch ledger lemur lichen linden locker lynx magpie mallet maple marmot marten meadow "
    "meerkat mesa moth nebula newt nutmeg oak oriole otter owl packet pantry parcel pebble "
    "pelican pepper pier pine plover pocket pond poplar puffin quail quarry quartz quiver rabbit "
    "raft raven reef ridge robin rook rowan saddle satchel seal shed shuttle sloop sparrow "
    "spindle spruce stoat stork summit swallow swan tapir teapot tern thicket thimble thrush "
    "tinder toucan trunk tulip tundra valley vessel vole walnut warbler wharf willow wombat wren"
)


def check_name(name: str) -> str:
    """The name, if a box may bear it.

    Raises InvalidRequest.  64 hexadecimal digits are an id's form and would shadow a box.
    """
    if len(name) > MAX_NAME:
        raise InvalidRequest(
            f"the name has {len(name)} characters, a box's name has at most {MAX_NAME}",
            hint="choose a shorter one",
        )
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot be a box's name",
            hint="a name begins with a letter or digit and goes on with those, '_', '.' and '-'",
        )
    if re.fullmatch(r"[0-9a-f]{64}", name):
        raise InvalidRequest(
            f"{name!r} cannot be a box's name, it has the form of an id", hint="choose another"
        )
    return name


def new_name(taken: Container[str]) -> str:
    """A friendly name that is not `taken`; after some bad luck it gets a number."""
    for attempt in range(1000):
        name = f"{random.choice(ADJECTIVES)}_{random.choice(NOUNS)}"
        if attempt >= 20:
            name += str(random.randint(2, 10 ** min(9, attempt // 10)))
        if name not in taken:
            return name
    raise InvalidRequest("every friendly name is taken", hint="give the box a name with --name")
