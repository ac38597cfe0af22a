"""What a service tells systemd of itself (sd_notify(3)), without its library."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


def notify(env: Mapping[str, str], message: str) -> None:
    """Tell systemd how we are, as in READY=1; nothing without NOTIFY_SOCKET."""
    address = env.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.sendto(message.encode(), address)
