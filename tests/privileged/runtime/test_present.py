"""Who comes later sees the screen as it is: told by a viewer that parses, else drawn anew."""

from __future__ import annotations

import json
import struct

from boxy_core import protocol
from boxyd.plan import RING
from tests.privileged.runtime.rig import Client, Rig

FULL_SCREEN = """
trap 'printf "\\033[Hdrawn anew "; stty size' WINCH
printf '\\033[?1049h\\033[?1000h'
seq 1 60000
echo ready
while :; do read -t 0.05 x && echo "got $x"; done
"""
"""It fills the history, so that nothing of how it began is left there."""


def of_kind(client: Client, kind: int) -> list[bytes]:
    return [payload for got, payload in client.frames if got == kind]


def position(client: Client) -> int:
    return int(struct.unpack(">Q", of_kind(client, protocol.REPLAY_END)[-1])[0])


async def test_a_newcomer_is_shown_what_a_viewer_tells_and_then_only_what_is_new(rig: Rig) -> None:
    link, pane = await rig.launch(rig.plan("sh", "-c", FULL_SCREEN, tty=True, stdin=True))
    await pane.until(b"ready")
    first = position(pane)
    assert first == 0
    await pane.send(protocol.frame(protocol.STATE))
    newcomer = await rig.attach(link, stdin=False)
    asked = await pane.until_kind(protocol.STATE_WANTED)
    (at,) = struct.unpack(">Q", asked)
    assert at == len(pane.output())
    await pane.send(protocol.frame(protocol.STATE, asked + b"<the screen>"))
    await newcomer.until_kind(protocol.REPLAY_END)
    assert newcomer.output() == b"<the screen>"
    assert position(newcomer) == at
    await pane.type(b"more\n")
    await newcomer.until(b"got more")
    await pane.until(b"got more")

    # A watcher could not have drawn on the screen by typing, so it may not tell either.
    await newcomer.send(protocol.frame(protocol.STATE, struct.pack(">Q", at) + b"<forged>"))
    # The pane tells once more before it leaves, for who comes then.
    now = len(pane.output())
    await pane.send(protocol.frame(protocol.STATE, struct.pack(">Q", now) + b"<as it was left>"))
    pane.close()
    last = await rig.attach(link)
    await last.until_kind(protocol.REPLAY_END)
    assert last.output().startswith(b"<as it was left>")


async def test_a_viewer_that_does_not_answer_holds_nobody_up(rig: Rig) -> None:
    link, pane = await rig.launch(rig.plan("sh", "-c", "echo ready; read x", tty=True, stdin=True))
    await pane.until(b"ready")
    await pane.send(protocol.frame(protocol.STATE))
    newcomer = await rig.attach(link)
    await newcomer.until_kind(protocol.REPLAY_END)
    assert newcomer.output() == b"ready\r\n"


async def test_a_full_screen_program_that_nobody_can_tell_of_draws_itself_anew(rig: Rig) -> None:
    link, owner = await rig.launch(rig.plan("sh", "-c", FULL_SCREEN, tty=True, stdin=True))
    await owner.until(b"ready")
    newcomer = await rig.attach(link, rows=24, cols=80)
    told = json.loads((await newcomer.until_kind(protocol.VIEWERS)).decode())
    assert (told["rows"], told["cols"]) == (24, 80)
    await newcomer.until_kind(protocol.REPLAY_END)
    replay = newcomer.output()
    assert replay.startswith(b"\x1b[?1049h\x1b[?1000h")
    assert b"seq" not in replay
    assert len(replay) < RING + (64 << 10)  # and what came after the newcomer
    await newcomer.until(b"drawn anew 24 80")
