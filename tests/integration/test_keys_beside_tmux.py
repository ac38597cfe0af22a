"""What keys send, beside tmux: each by its name, with every modifier, in the modes there are.

tmux types each key into a program that keeps what it reads; ours has to give the same bytes.  Any
tmux will do (3.3a to 3.7c were tried); what an old one cannot be asked, a newer one is.
"""

from __future__ import annotations

import itertools
import os
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

from boxy_tui.terminal.keys import Modes, encode_key
from tests.conftest import Workspace
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

READER = r"""
import os, sys, tty
tty.setraw(0)
os.write(1, bytes.fromhex(sys.argv[2]) + b"\x1b]2;ready\x1b\\")
with open(sys.argv[1], "wb", buffering=0) as out:
    while True:
        out.write(os.read(0, 65536))
"""
BETWEEN = "<~>"
WITHIN = 45.0
TITLE = "#{pane_title}"

NAMES = {
    "Up": "up", "Down": "down", "Left": "left", "Right": "right", "Home": "home", "End": "end",
    "PgUp": "pageup", "PgDn": "pagedown", "IC": "insert", "DC": "delete",
    **{f"F{n}": f"f{n}" for n in range(1, 13)},
    "Enter": "enter", "Tab": "tab", "BSpace": "backspace", "Escape": "escape", "Space": "space",
}  # fmt: skip
"""tmux's names and ours."""
PLAIN = {
    **{f"KP{n}": f"kp_{n}" for n in range(10)}, "KP/": "kp_divide", "KP*": "kp_multiply",
    "KP-": "kp_minus", "KP+": "kp_plus", "KP.": "kp_decimal", "KPEnter": "kp_enter",
    "BTab": "shift+tab",
}  # fmt: skip
MODIFIERS = {"S": "shift", "M": "alt", "C": "ctrl"}
TYPED = string.ascii_lowercase + "@[\\]^_?/ "

DIFFERS = {
    "home": "tmux is a TERM=tmux, whose Home is CSI 1 ~; ours is an xterm, whose Home is CSI H",
    "end": "the same: CSI 4 ~ and CSI F",
    "kp_enter": "tmux sends LF in the numeric keypad; the VT100 and xterm what Enter sends",
}
DIFFERS_AMONG_OTHER_KEYS = {
    "shift+space": "tmux reports it in modifyOtherKeys 1; xterm types a blank, which it is",
    "shift+tab": "tmux reports it in modifyOtherKeys 2; CSI Z is what every program understands",
}
"""What is meant to differ, and why.  A key that tmux cannot send is not compared: it types the
key's name then, or nothing, where xterm sends what the key does without the modifier."""


def _combined(name: str, ours: str) -> list[tuple[str, str]]:
    """The key with every set of modifiers."""
    found = []
    for count in range(len(MODIFIERS) + 1):
        for chosen in itertools.combinations("CMS", count):
            if name == "Tab" and "S" in chosen:
                continue  # no terminal sends it: the key is BTab; tmux's S-Tab is Tab since 3.5
            theirs = "".join(f"{letter}-" for letter in chosen) + name
            words = [MODIFIERS[letter] for letter in "SMC" if letter in chosen]
            found.append((theirs, "+".join([*sorted(words, key="ctrl shift alt".find), ours])))
    return found


def _typed_by_tmux(folder: Path, keys: list[str], modes: bytes) -> list[bytes]:
    """What a program reads when tmux sends these keys, one by one."""
    (folder / "reader.py").write_text(READER)
    out = folder / "read"
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"}
    call = ["tmux", "-S", str(folder / "s"), "-f", "/dev/null"]

    def tmux(*words: str) -> str:
        done = subprocess.run(
            [*call, *words], env=env, check=True, capture_output=True, text=True, timeout=WITHIN
        )
        return done.stdout.strip()

    reader = f"exec {sys.executable} -I -S {folder}/reader.py {out} '{modes.hex()}'"
    options = EXTENDED if b"\x1b[>4" in modes else ["start-server", ";"]
    tmux(*options, "new-session", "-d", "-x", "80", "-y", "24", reader)
    try:
        eventually(out.exists, what="the reader")
        # tmux reads the modes when it comes to it, and the title after them
        eventually(lambda: tmux("display-message", "-p", TITLE) == "ready", what="the modes")
        for some in (keys[at : at + 50] for at in range(0, len(keys), 50)):
            words: list[str] = []
            for key in some:
                words += ["send-keys", key, ";", "send-keys", "-l", BETWEEN, ";"]
            tmux(*words[:-1])
        eventually(lambda: out.read_bytes().count(BETWEEN.encode()) >= len(keys), what="all keys")
        return out.read_bytes().split(BETWEEN.encode())[:-1]
    finally:
        tmux("kill-server")


def _is_meant(key: str, modes: Modes) -> bool:
    """Whether it is known to differ; alt alone keeps its old form always, `keys.py` says why."""
    if modes.modify_other_keys and (key in DIFFERS_AMONG_OTHER_KEYS or key.startswith("alt+")):
        return True
    return key in DIFFERS


def _differing(folder: Path, table: list[tuple[str, str]], name: str) -> dict[str, str]:
    """What differs, of a table of tmux's names and ours, in one of `MODES`."""
    set_modes, modes = MODES[name]
    typed = _typed_by_tmux(folder, [theirs for theirs, _ in table], set_modes)
    found, compared = {}, 0
    for (key, ours), theirs in zip(table, typed, strict=True):
        if not theirs or (len(key) > 1 and theirs.lstrip(b"\x1b") == key.encode()):
            continue
        compared += 1
        mine = encode_key(ours, None, modes)
        if mine != theirs and not _is_meant(ours, modes):
            found[ours] = f"{mine!r}, tmux {theirs!r}"
    assert compared > len(table) // 2
    return found


EXTENDED = ["start-server", ";", "set-option", "-s", "extended-keys", "on", ";",
            "set-option", "-s", "extended-keys-format", "xterm", ";"]  # fmt: skip


MODES = {
    "plain": (b"", Modes()),
    "application": (b"\x1b[?1h\x1b=", Modes(application_cursor=True, application_keypad=True)),
    "other keys 1": (b"\x1b[>4;1m", Modes(modify_other_keys=1)),
    "other keys 2": (b"\x1b[>4;2m", Modes(modify_other_keys=2)),
}


def _needs_its_form(name: str) -> None:
    """Skip unless this tmux can be asked for xterm's form of what modifyOtherKeys reports."""
    if not MODES[name][1].modify_other_keys:
        return
    call = ["tmux", "-L", f"bx-{os.getpid()}", "-f", "/dev/null"]
    done = subprocess.run([*call, *EXTENDED[:-1]], check=False, capture_output=True, timeout=WITHIN)
    if done.returncode:
        pytest.skip("needs tmux 3.5: an older one reports modified keys in a form of its own")


@pytest.mark.parametrize("name", MODES)
def test_a_key_with_any_modifiers_sends_what_tmux_sends(name: str, workspace: Workspace) -> None:
    _needs_its_form(name)
    table = [pair for names in NAMES.items() for pair in _combined(*names)]
    table += PLAIN.items()
    assert _differing(workspace.folder, table, name) == {}


@pytest.mark.parametrize("name", MODES)
def test_letters_and_signs_with_ctrl_and_alt_send_what_tmux_sends(
    name: str, workspace: Workspace
) -> None:
    _needs_its_form(name)
    table = [
        (prefix + sign, words + sign)
        for sign in TYPED
        for prefix, words in {"": "", "M-": "alt+", "C-": "ctrl+", "C-M-": "ctrl+alt+"}.items()
    ]
    assert _differing(workspace.folder, table, name) == {}
