"""Project quotas: what a folder and all that is made in it may take on its disk.

A project is a number on files; a folder hands it on to what is made in it.  ext4 (feature
`project`, mounted with prjquota) and XFS (pquota) count what bears it and refuse more than a
limit, to everyone without CAP_SYS_RESOURCE; overlayfs writes without that.  Sources:
quotactl(2), ioctl_xfs_fsgetxattr(2), Documentation/filesystems/quota.rst.

Constraint: quotactl_fd(2) takes any descriptor on the file system (Linux 5.14), so no device
need be known or be there.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from boxyd.runtime import syscalls as sys_

_GET_FLAGS, _SET_FLAGS = 0x801C581F, 0x401C5820  # FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR
_INHERIT = 0x200  # FS_XFLAG_PROJINHERIT
_ATTRIBUTES = struct.Struct("=IIIII8s")  # struct fsxattr
_PROJECT = 2  # PRJQUOTA
_Q_SETQUOTA, _Q_GETQUOTA = 0x800008, 0x800007
_QUOTACTL_FD = 443
_BLOCK = 1024  # QIF_DQBLKSIZE: limits are counted in these
_RECORD = struct.Struct("=8QI4x")  # struct if_dqblk
_LIMITS = 1 | 4  # QIF_BLIMITS | QIF_ILIMITS
_FILES_EACH = 4096
"""bytes of a limit for each file that may be made: empty files use up a disk, too"""
_FEWEST_FILES = 1024

_buffer = ctypes.create_string_buffer(_RECORD.size)
_call = sys_.raw_call(ctypes.c_int, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p)


def project_of(box_id: str) -> int:
    """The project number of a box: 30 bits of its id, above what people give by hand."""
    return 0x4000_0000 | int(box_id[:8], 16) & 0x3FFF_FFFF


def supported(folder: str) -> bool:
    """Whether the file system that holds `folder` counts and limits projects."""
    try:
        _quotactl(folder, _Q_GETQUOTA, 0)
    except OSError:
        return False
    return True


def mark(folder: str, project: int) -> None:
    """Have all that is made in `folder` from now on count for the project."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        data = bytearray(_ATTRIBUTES.size)
        fcntl.ioctl(fd, _GET_FLAGS, data)
        flags, extent, extents, _, rest, pad = _ATTRIBUTES.unpack(data)
        data = bytearray(_ATTRIBUTES.pack(flags | _INHERIT, extent, extents, project, rest, pad))
        fcntl.ioctl(fd, _SET_FLAGS, bytes(data))
    except OSError as error:
        raise OSError(error.errno, str(error.strerror), folder) from None
    finally:
        os.close(fd)


def limit(folder: str, project: int, size: int) -> None:
    """Let the project take `size` bytes (rounded up to KiB), and files in proportion; 0: all."""
    blocks = -(-size // _BLOCK)
    files = max(_FEWEST_FILES, size // _FILES_EACH) if size else 0
    ctypes.memmove(_buffer, _RECORD.pack(blocks, 0, 0, files, 0, 0, 0, 0, _LIMITS), _RECORD.size)
    _quotactl(folder, _Q_SETQUOTA, project)


def used(folder: str, project: int) -> int:
    """Bytes on the disk that count for the project."""
    _quotactl(folder, _Q_GETQUOTA, project)
    return int(_RECORD.unpack(_buffer.raw)[2])


def _quotactl(folder: str, command: int, project: int) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        where = ctypes.addressof(_buffer)
        if _call(_QUOTACTL_FD, fd, command << 8 | _PROJECT, project, where) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(fd)


def why_not(number: int) -> str:
    """The kernel's refusal of a quota in words."""
    if number == errno.ENOSYS:
        return "this kernel has no quotactl_fd(2), which Linux 5.14 brought"
    return "its file system counts no projects"
