r"""The keys that leave a box without ending anything: their notation, and a state machine.

Docker's notation: `ctrl-p,ctrl-q`, single characters or `ctrl-` and a letter or one of `@[\\]^_`.
A beginning of the sequence is held back until the next key or for `PATIENCE` seconds, so that
a program which uses ctrl-p itself still gets it.
"""

from __future__ import annotations

from boxy_core.errors import InvalidRequest
from boxy_core.lean import environ

DEFAULT = "ctrl-p,ctrl-q"
VARIABLE = "BOXY_DETACH_KEYS"
PATIENCE = 0.5
"""seconds that a begun sequence is held back"""


def parse_keys(text: str) -> tuple[bytes, ...]:
    """The keys of a sequence as the terminal sends them; none for "" and "none".

    Raises InvalidRequest.
    """
    if text in ("", "none"):
        return ()
    keys = []
    for name in text.split(","):
        modifier, _, letter = name.lower().rpartition("-")
        if len(name) == 1 and " " < name <= "~":
            keys.append(name.encode())
        elif modifier in ("ctrl", "c", "^") and len(letter) == 1 and "@" <= letter.upper() <= "_":
            keys.append(bytes([ord(letter.upper()) & 0x1F]))
        else:
            raise InvalidRequest(
                f"{name!r} is not a key", hint="write detach keys like ctrl-p,ctrl-q or ctrl-],d"
            )
    return tuple(keys)


def keys_in_force(flag: str | None) -> tuple[bytes, ...]:
    """The keys of the flag, else of the environment, else the default.  Raises InvalidRequest.

    Called before anything is started, so that a mistake starts nothing.
    """
    return parse_keys(environ().get(VARIABLE, DEFAULT) if flag is None else flag)


def describe_keys(keys: tuple[bytes, ...]) -> str:
    """How a person would say the sequence: "ctrl-p ctrl-q"."""
    return " ".join(
        key.decode() if key >= b" " else "ctrl-" + chr(key[0] | 0x40).lower() for key in keys
    )


def _spellings(key: bytes) -> tuple[bytes, ...]:
    """The ways in which terminals send a key, once a program asked for one of the newer ones."""
    if key >= b" ":
        return (key,)
    letter = ord(chr(key[0] | 0x40).lower())
    return key, b"\x1b[%d;5u" % letter, b"\x1b[27;5;%d~" % letter  # kitty, modifyOtherKeys


class DetachKeys:
    """Watches what is typed: `feed` says what to pass on; `detached` that the sequence came."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._keys = [_spellings(key) for key in keys]
        self._held = b""
        self._deadline = 0.0
        self.detached = False

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called (on the clock of `feed`'s `now`); None: never."""
        return self._deadline if self._held else None

    def feed(self, data: bytes, now: float) -> bytes:
        """What is to be passed on of the bytes typed; nothing behind a complete sequence."""
        if not self._keys:
            return data
        if not self._held and not any(key in data for key in self._keys[0]):
            return data
        data, self._held = self._held + data, b""
        for at in range(len(data)):
            matched, end = self._match(data, at)
            if matched == len(self._keys):
                self.detached = True
                return data[:at]
            if matched and end == len(data):
                self._held = data[at:]
                self._deadline = now + PATIENCE
                return data[:at]
        return data

    def expire(self) -> bytes:
        """The time is up: what was held back."""
        held, self._held = self._held, b""
        return held

    def _match(self, data: bytes, at: int) -> tuple[int, int]:
        """How many keys of the sequence stand at `at`, and where they end."""
        for count, spellings in enumerate(self._keys):
            key = next((key for key in spellings if data.startswith(key, at)), b"")
            if not key:
                return count, at
            at += len(key)
        return len(self._keys), at
