"""What root makes in a store belongs to the store's user.

An administrator imports, collects or verifies as root beside a server that runs as somebody else,
and must be able to read and remove all of it afterwards.
"""

from __future__ import annotations

import os


def give(made: str | int, folder: str) -> None:
    """Let a new file or folder (by path or descriptor) belong to whom `folder` belongs to."""
    if os.geteuid() != 0:
        return
    owner = os.stat(folder)
    if owner.st_uid or owner.st_gid:
        os.chown(made, owner.st_uid, owner.st_gid)
