"""Whether a request for a box makes sense, beyond what its types say.  Pure.

Constraint: everything here comes from a stranger.  What passes may be written into files, put
on a command line and shown on terminals; so no NUL bytes, no control characters in names.
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Iterable, Mapping

from boxy_core.errors import InvalidRequest
from boxy_core.models import BoxSpec, ExecSpec, Image
from boxyd import isolation, mounts_check
from boxyd.isolation import wrong as _wrong
from boxyd.names import check_name

MAX_SIDE = 65535
MAX_ARGUMENT = 128 << 10
"""execve(2): MAX_ARG_STRLEN, bytes of one argument or variable with its closing zero"""
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_USER = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*\$?(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*\$?)?")
_LABEL = re.compile(r"[!-<>-~]+")  # printable ASCII without '=' and blanks


def check_spec(spec: BoxSpec) -> None:
    """Raises InvalidRequest naming the field that is wrong and what would be right."""
    if spec.name is not None:
        check_name(spec.name)
    if not spec.image:
        raise InvalidRequest("no image was named", hint="`boxy images` shows what there is")
    isolation.check(spec)
    if spec.hostname is not None:
        _check_hostname(spec.hostname)
    for label in spec.labels:
        if not _LABEL.fullmatch(label):
            raise _wrong("labels", label, "a label's name is printable ASCII without blanks or =")
    _check_words("entrypoint", spec.entrypoint or [])
    _check_process(spec)
    mounts_check.check(spec)
    if spec.stop_signal is not None:
        signal_number(spec.stop_signal)
    grace = spec.stop_timeout
    if grace is not None and not (math.isfinite(grace) and grace >= -1):
        raise _wrong("stop_timeout", grace, "it is a number of seconds, -1 waits for ever")


def check_exec(spec: ExecSpec) -> None:
    """Raises InvalidRequest naming the field that is wrong."""
    if not spec.command or not spec.command[0]:
        raise InvalidRequest("no command was given", hint="as in: boxy exec NAME ls -l")
    _check_process(spec)


def command_line(spec: BoxSpec, image: Image) -> list[str]:
    """What PID 1 runs: the entrypoint with the command behind it, as Docker resolves them.

    An entrypoint of the user's own puts the image's command out of force.  Raises
    InvalidRequest when nothing is left to run.
    """
    if spec.entrypoint is not None:
        line = [word for word in spec.entrypoint if word] + spec.command
    else:
        line = [*image.entrypoint, *(spec.command or image.cmd)]
    if not line:
        raise InvalidRequest(
            f"the image {image.name} has no command of its own",
            hint=f"give one: boxy run {image.name} COMMAND",
        )
    if not line[0]:
        raise InvalidRequest("the command is an empty word", hint="name a program to run")
    return line


def signal_number(text: str) -> int:
    """The number of a signal given as "TERM", "SIGTERM", "15" or "RTMIN+3".

    Raises InvalidRequest.  0 (which only asks) is no signal.
    """
    word = text.strip().upper().removeprefix("SIG")
    if word.isdecimal() and word.isascii():
        number = int(word[:9])
        if 1 <= number <= signal.SIGRTMAX:
            return number
    base, sign, offset = word.partition("+") if "+" in word else word.partition("-")
    named = getattr(signal.Signals, "SIG" + base, None)
    if isinstance(named, signal.Signals):
        if not sign:
            return int(named)
        if base in ("RTMIN", "RTMAX") and offset.isdecimal() and len(offset) < 3:
            number = named + int(sign + offset)
            if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
                return number
    raise InvalidRequest(f"there is no signal {text!r}", hint="`kill -l` lists them")


def _check_process(spec: BoxSpec | ExecSpec) -> None:
    _check_words("command", spec.command)
    _check_env(spec.env)
    if spec.workdir is not None and (not spec.workdir.startswith("/") or "\0" in spec.workdir):
        raise _wrong("workdir", spec.workdir, "it is an absolute path in the box")
    if spec.user is not None and spec.user and not _USER.fullmatch(spec.user):
        raise _wrong("user", spec.user, "it is a name or number, or both as user:group")
    if not (1 <= spec.rows <= MAX_SIDE and 1 <= spec.cols <= MAX_SIDE):
        raise _wrong("rows and cols", f"{spec.rows}x{spec.cols}", f"each is 1 to {MAX_SIDE}")


def _check_words(field: str, words: Iterable[str]) -> None:
    for word in words:
        _check_text(field, word)


def _check_env(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name:
            raise _wrong("env", name, "a variable's name is not empty and has no =")
        _check_text("env", name + "=" + value)


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise _wrong(field, text, "it must not hold a NUL character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _wrong(field, text, "it is no proper text") from None
    if size >= MAX_ARGUMENT:
        raise _wrong(field, text, f"the kernel takes at most {MAX_ARGUMENT} bytes for each")


def _check_hostname(name: str) -> None:
    labels = name.split(".")
    if len(name) > 64 or not all(_HOSTNAME.fullmatch(label) for label in labels):
        raise _wrong("hostname", name, "letters, digits and '-', up to 64 characters")
