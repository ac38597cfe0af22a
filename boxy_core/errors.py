"""The errors that Boxy raises, one tree for daemon, CLI and console.

Constraint: on the start-up path of every `boxy` command, so it imports nothing.

    BoxyError
     +-- NotFound           no such box, image, session ...
     +-- Conflict           the thing exists, but its state or name forbids the request
     +-- InvalidRequest     the request itself is wrong: a field, a flag, a value
     +-- ImageError         an image's folder, manifest or archive is unusable
     +-- StartFailed        the kernel refused a step of making a box (carries step and errno)
     |    +-- CommandNotFound       the command does not exist in the box (exit status 127)
     |    +-- CommandNotExecutable  it exists but cannot be executed (exit status 126)
     +-- Unsupported        this machine lacks something that the request needs
     +-- Denied             the peer may not do this
     +-- Timeout            something did not happen in time
     +-- DaemonUnreachable  nobody answers on the socket
     +-- ProtocolError      the other side broke the wire's rules
     +-- Internal           a bug of ours: the log has the traceback

An error is one sentence that names the thing, a hint with the next step, and plain data
`details`.  It travels as JSON (`to_wire`) and is rebuilt in the client (`from_wire`).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class BoxyError(Exception):
    """Base of all of Boxy's errors.

    `message` one sentence naming the thing, `hint` what to do next ("" if there is nothing),
    `details` JSON-able data for programs.  Class attributes: `code` the stable name on the
    wire, `http_status` (RFC 9110), `exit_status` what `boxy run` and `boxy exec` exit with,
    `usual_hint` what to do next about any error of its kind.
    """

    code = "error"
    http_status = 500
    exit_status = 125
    usual_hint = ""

    def __init__(self, message: str, *, hint: str = "", **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.details: dict[str, object] = details

    def __str__(self) -> str:
        return self.message

    def to_wire(self) -> dict[str, object]:
        """The JSON form: `{"code", "message", "hint", "details"}`."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


class NotFound(BoxyError):
    """No box, image, session or path of that name."""

    code = "not-found"
    http_status = 404


class Conflict(BoxyError):
    """The thing's present state or name forbids what was asked."""

    code = "conflict"
    http_status = 409


class InvalidRequest(BoxyError):
    """The request is malformed: an unknown field, a bad value, flags that contradict."""

    code = "invalid-request"
    http_status = 400


class ImageError(BoxyError):
    """An image's folder, image.json, manifest or archive cannot be used."""

    code = "image-error"
    http_status = 422


class StartFailed(BoxyError):
    """A step of making a box failed; `step` names it, `errno` is the kernel's answer (0: none)."""

    code = "start-failed"
    http_status = 500
    usual_hint = "the log of the daemon says more: journalctl -u boxyd, or where it was started"

    def __init__(
        self, message: str, *, hint: str = "", step: str = "", errno: int = 0, **details: object
    ) -> None:
        super().__init__(message, hint=hint, step=step, errno=errno, **details)
        self.step = step
        self.errno = errno


class CommandNotFound(StartFailed):
    """The command does not exist in the box's file system (exit status 127, as in a shell)."""

    code = "command-not-found"
    http_status = 400
    exit_status = 127


class CommandNotExecutable(StartFailed):
    """The command exists but execve(2) refused it (exit status 126, as in a shell)."""

    code = "command-not-executable"
    http_status = 400
    exit_status = 126


class Unsupported(BoxyError):
    """This machine or its kernel lacks what the request needs."""

    code = "unsupported"
    http_status = 501
    usual_hint = "boxy info shows what this machine lacks"


class Denied(BoxyError):
    """The peer's credentials do not permit the request."""

    code = "denied"
    http_status = 403


class Timeout(BoxyError):
    """Something that was waited for did not happen in time."""

    code = "timeout"
    http_status = 504


class DaemonUnreachable(BoxyError):
    """No daemon answers on the socket."""

    code = "daemon-unreachable"
    http_status = 503
    usual_hint = "is it running? systemctl status boxyd, or start it: sudo boxyd"


class ProtocolError(BoxyError):
    """The other side of a connection broke the protocol's rules."""

    code = "protocol-error"
    http_status = 400
    usual_hint = "daemon and client may be of different versions: boxy version shows both"


class Internal(BoxyError):
    """A bug in Boxy; the daemon's log has the traceback."""

    code = "internal"
    http_status = 500
    usual_hint = "this is a bug of Boxy; the log of the daemon has more: journalctl -u boxyd"


def _all_classes(base: type[BoxyError]) -> list[type[BoxyError]]:
    found = [base]
    for sub in base.__subclasses__():
        found += _all_classes(sub)
    return found


BY_CODE: dict[str, type[BoxyError]] = {cls.code: cls for cls in _all_classes(BoxyError)}


def from_wire(data: Mapping[str, object]) -> BoxyError:
    """Rebuild the error that `to_wire` described; an unknown code gives a plain `BoxyError`."""
    cls = BY_CODE.get(str(data.get("code", "")), BoxyError)
    details = data.get("details")
    extra = {str(k): v for k, v in details.items()} if isinstance(details, dict) else {}
    for parameter in ("self", "message", "hint"):
        extra.pop(parameter, None)
    message = str(data.get("message") or "the daemon gave no reason")
    hint = str(data.get("hint") or "")
    if issubclass(cls, StartFailed):
        errno = extra.pop("errno", 0)
        step = str(extra.pop("step", ""))
        number = errno if isinstance(errno, int) else 0
        return cls(message, hint=hint, step=step, errno=number, **extra)
    return cls(message, hint=hint, **extra)
