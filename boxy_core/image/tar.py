"""A reader of tar headers: ustar and pax (POSIX.1-2017, pax), GNU long names and sparse files.

Constraint: the archive may be hostile, and Python's own reader is too kind to it (its filters
have been escaped, its numbers may be negative, its headers are unbounded). So every number is
checked, every extended header bounded, names are bytes and stay as they are; who writes them
to a disk decides which are safe. What Docker's and GNU's readers accept in practice is
accepted; what is wrong raises BadArchive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from boxy_core.image.sparse import Extents, old_gnu_map, pax_map
from boxy_core.image.streams import BLOCK, BadArchive, Stream

FILE, DIRECTORY, LINK, SYMLINK, FIFO, CHARACTER, BLOCK_DEVICE = (
    "file", "directory", "link", "symlink", "fifo", "character device", "block device",
)  # fmt: skip

_KINDS = {
    b"\0": FILE, b"0": FILE, b"7": FILE, b"S": FILE, b"1": LINK, b"2": SYMLINK,
    b"3": CHARACTER, b"4": BLOCK_DEVICE, b"5": DIRECTORY, b"6": FIFO,
}  # fmt: skip
_EXTENDED = b"xXgLK"
_VOLUME_LABEL = b"V"
_MAX_ID = (1 << 32) - 2  # chown(2) takes the highest number as "leave it"
_MAX_SIZE = 1 << 62
_XATTR = b"SCHILY.xattr."
_DECIMAL = re.compile(rb"(-?)([0-9]{1,19})(?:\.([0-9]{0,64}))?")
_ZEROS = bytes(BLOCK)


class Entry(NamedTuple):
    """One member of an archive, as it is told there."""

    name: bytes
    kind: str
    """one of FILE, DIRECTORY, LINK, SYMLINK, FIFO, CHARACTER, BLOCK_DEVICE"""
    mode: int
    """permission bits, with set-uid, set-gid and sticky"""
    uid: int
    gid: int
    size: int
    """bytes of the file, holes and all; 0 for what is no file"""
    mtime_ns: int
    target: bytes
    """of a link or symlink"""
    xattrs: dict[bytes, bytes]
    extents: Extents | None
    """where the stored bytes of a sparse file belong; None: the file is stored whole"""
    stored: int
    """bytes of data that follow in the archive"""


class Reader:
    """The entries of an archive; the data of the latest is read by `data`.

    What of it is not read is passed over. After the last entry the stream has been read to
    its very end. Raises BadArchive.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._limits = stream.limits
        self._global: dict[bytes, bytes] = {}
        self._metadata = 0
        self._unread = 0
        self._padding = 0
        self._count = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            self._count += 1
            if self._count > self._limits.entries:
                raise BadArchive(f"it has more than {self._limits.entries} entries")
            yield entry

    def data(self, n: int) -> Iterator[memoryview]:
        """The next `n` stored bytes of the latest entry."""
        if n > self._unread:
            raise BadArchive("a sparse file's map asks for more than is stored")
        self._unread -= n
        return self._stream.pieces(n)

    def copy(self, n: int, fd: int) -> None:
        """Write the next `n` stored bytes of the latest entry to `fd`."""
        if n > self._unread:
            raise BadArchive("a sparse file's map asks for more than is stored")
        self._unread -= n
        self._stream.copy(n, fd)

    def _next(self) -> Entry | None:
        self._stream.skip(self._unread + self._padding)
        self._unread = self._padding = 0
        local: dict[bytes, bytes] = {}
        long_name = long_target = None
        while (header := self._header()) is not None:
            flag = header[156:157]
            if flag not in _EXTENDED:
                if flag == _VOLUME_LABEL:
                    self._stream.skip(_padded(_size(header)))
                    continue
                return self._entry(header, _merged(self._global, local), long_name, long_target)
            content = self._extended(header)
            if flag == b"L":
                long_name = _text(content)
            elif flag == b"K":
                long_target = _text(content)
            elif flag == b"g":
                self._global.update(_pax_records(content))
                self._check_global()
            else:
                local = _pax_records(content)
        if local or long_name is not None or long_target is not None:
            raise BadArchive("it ends after an extended header that belongs to no entry")
        return None

    def _header(self) -> bytes | None:
        """The next header, None at the end-of-archive mark, after which all is drained."""
        if self._stream.at_end():
            raise BadArchive("it is truncated (the end-of-archive mark is missing)")
        header = self._stream.take(BLOCK)
        if header == _ZEROS:
            self._stream.drain()
            return None
        stored = _number(header[148:156], "checksum")
        plain = 256 + sum(header[:148]) + sum(header[156:])
        if stored != plain:
            # Some old programs summed signed characters.
            high = sum(byte > 127 for byte in header[:148] + header[156:])
            if stored != plain - 256 * high:
                raise BadArchive("a header's checksum is wrong: it is damaged or no tar archive")
        return header

    def _extended(self, header: bytes) -> bytes:
        """The content of an extended header."""
        size = _size(header)
        if size > self._limits.metadata:
            raise BadArchive(
                f"an extended header of {size} bytes is past the limit of {self._limits.metadata}"
            )
        self._charge(size)
        content = self._stream.take(size)
        self._stream.skip(-size % BLOCK)
        return content

    def _charge(self, n: int) -> None:
        self._metadata += n
        if self._metadata > self._limits.all_metadata:
            raise BadArchive(
                f"its names and headers are past the limit of {self._limits.all_metadata} bytes"
            )

    def _check_global(self) -> None:
        if sum(len(k) + len(v) for k, v in self._global.items()) > self._limits.metadata:
            raise BadArchive("its global headers together are too big")

    def _entry(
        self,
        header: bytes,
        pax: dict[bytes, bytes],
        long_name: bytes | None,
        long_target: bytes | None,
    ) -> Entry:
        flag = header[156:157]
        kind = _KINDS.get(flag)
        if kind is None:
            raise BadArchive(f"it has an entry of the unknown type {flag!r}")
        name, target = _names(header, pax, long_name, long_target)
        if kind == FILE and name.endswith(b"/") and flag == b"\0":
            kind = DIRECTORY  # before ustar, the slash alone told
        stored = _pax_number(pax, b"size", _MAX_SIZE) if b"size" in pax else _size(header)
        if kind != FILE:
            stored = 0  # old programs write a link's size without its data
        self._charge(len(name) + len(target))
        self._unread, self._padding = stored, -stored % BLOCK
        size, extents = stored, None
        if kind == FILE:
            name, size, extents = self._sparse(header, pax, name, stored)
        return Entry(
            _checked(name, "name"),
            kind,
            _number(header[100:108], "mode") & 0o7777,
            _identity(header[108:116], pax, b"uid"),
            _identity(header[116:124], pax, b"gid"),
            size,
            _mtime(header, pax),
            _checked(target, "link target") if kind in (LINK, SYMLINK) else b"",
            {k[len(_XATTR) :]: v for k, v in pax.items() if k.startswith(_XATTR)},
            extents,
            self._unread,
        )

    def _sparse(
        self, header: bytes, pax: dict[bytes, bytes], name: bytes, stored: int
    ) -> tuple[bytes, int, Extents | None]:
        """Name, full size and map of a file that may be sparse."""
        if header[156:157] == b"S":
            size, extents = old_gnu_map(header, self._stream, _number)
        elif any(key.startswith(b"GNU.sparse.") for key in pax):
            size, extents, used = pax_map(pax, self._stream, stored)
            self._unread -= used
            name = pax.get(b"GNU.sparse.name", name)
        else:
            return name, stored, None
        if sum(length for _, length in extents) != self._unread:
            raise BadArchive("a sparse file's map does not fit its data")
        return name, size, extents


def shown(name: bytes) -> str:
    """A name from an archive as a message may show it: quoted, shortened, no control bytes."""
    return repr(name[:200].decode("utf-8", "backslashreplace"))


def _merged(first: dict[bytes, bytes], second: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Global and local pax records; an empty value takes a key back (POSIX.1-2017, pax)."""
    if not first and not second:
        return second
    both = {**first, **second}
    return {key: value for key, value in both.items() if value or key.startswith(_XATTR)}


def _text(field: bytes) -> bytes:
    """A field's bytes up to the first NUL."""
    return field.split(b"\0", 1)[0]


def _padded(n: int) -> int:
    return n + -n % BLOCK


def _number(field: bytes, what: str) -> int:
    """An octal number, or GNU's base-256 form, which alone can be negative."""
    if field[0] & 0x80:
        number = int.from_bytes(field[:1], "big") & 0x7F
        number = number << 8 * (len(field) - 1) | int.from_bytes(field[1:], "big")
        if field[0] & 0x40:
            number -= 1 << 8 * len(field) - 1
        return number
    digits = field.split(b"\0", 1)[0].strip(b" ") or field.strip(b"\0 ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise BadArchive(f"a header's {what} is no number: {field!r}")
    return int(digits, 8)


def _size(header: bytes) -> int:
    size = _number(header[124:136], "size")
    if not 0 <= size <= _MAX_SIZE:
        raise BadArchive(f"an entry's size is impossible: {size}")
    return size


def _pax_number(pax: dict[bytes, bytes], key: bytes, highest: int) -> int:
    value = pax[key]
    if not value.isdigit() or len(value) > 20 or int(value) > highest:
        raise BadArchive(f"a pax header's {key.decode()} is impossible: {value[:40]!r}")
    return int(value)


def _identity(field: bytes, pax: dict[bytes, bytes], key: bytes) -> int:
    """A user or group number."""
    number = _pax_number(pax, key, _MAX_ID) if key in pax else _number(field, key.decode())
    if not 0 <= number <= _MAX_ID:
        raise BadArchive(f"an entry's {key.decode()} is impossible: {number}")
    return number


def _mtime(header: bytes, pax: dict[bytes, bytes]) -> int:
    """Nanoseconds since the epoch, held to the years that file systems know (1901 to 2446)."""
    if b"mtime" in pax:
        match = _DECIMAL.fullmatch(pax[b"mtime"])
        if match is None:
            raise BadArchive(f"a pax header's mtime is no number: {pax[b'mtime'][:40]!r}")
        sign, whole, fraction = match.groups()
        number = int(whole) * 10**9 + int((fraction or b"")[:9].ljust(9, b"0"))
        number = -number if sign else number
    else:
        number = _number(header[136:148], "time") * 10**9
    return max(-(1 << 31) * 10**9, min(number, 15_000_000_000 * 10**9))


def _names(
    header: bytes, pax: dict[bytes, bytes], long_name: bytes | None, long_target: bytes | None
) -> tuple[bytes, bytes]:
    """Name and link target: pax wins over GNU's long names, those over the header."""
    name, target = _text(header[:100]), _text(header[157:257])
    if header[257:263] == b"ustar\0" and (prefix := _text(header[345:500])):
        name = prefix + b"/" + name
    name = long_name if long_name is not None else name
    target = long_target if long_target is not None else target
    return pax.get(b"path", name), pax.get(b"linkpath", target)


def _checked(name: bytes, what: str) -> bytes:
    if not name:
        raise BadArchive(f"an entry's {what} is empty")
    if b"\0" in name:
        raise BadArchive(f"an entry's {what} holds a NUL byte: {shown(name)}")
    return name


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """The lines `LENGTH KEY=VALUE` of a pax header; sparse lists are joined by commas."""
    records: dict[bytes, bytes] = {}
    lists: dict[bytes, list[bytes]] = {}
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 21)
        digits = content[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise BadArchive(f"a pax record's length is no number: {content[at : at + 20]!r}")
        end = at + int(digits)
        if end > len(content) or end < space + 3 or content[end - 1 : end] != b"\n":
            raise BadArchive(f"a pax record's length is wrong: {digits.decode()}")
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise BadArchive("a pax record has no key")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            lists.setdefault(key, []).append(value)
        else:
            records[key] = value
        at = end
    return records | {key: b",".join(values) for key, values in lists.items()}
