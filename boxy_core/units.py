"""Sizes, CPU counts, durations, ages and times as people write them.  Pure, in pairs.

Constraint: on the start-up path of `boxy run` and `boxy ps`, so no `re` and no `datetime` until
a date is parsed.  Each `parse_` raises InvalidRequest with a hint that shows the form; each
`format_` gives what its `parse_` reads back.
"""

from __future__ import annotations

import time

from boxy_core.errors import InvalidRequest

SIZE_STEPS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGES = (
    ("year", 31536000), ("month", 2592000), ("week", 604800), ("day", 86400),
    ("hour", 3600), ("minute", 60), ("second", 1),
)  # fmt: skip
_MAX_BYTES = (1 << 63) - 1


def _split_number(text: str) -> tuple[str, str]:
    """The leading decimal number and what follows it."""
    end = 0
    while end < len(text) and text[end] in "0123456789.":
        end += 1
    return text[:end], text[end:]


def _number(text: str) -> float | None:
    """A plain non-negative decimal number, "1", "1.5", ".5"; None for anything else."""
    if not text.isascii() or text.count(".") > 1 or not text.replace(".", "").isdigit():
        return None
    return float(text)


def _whole(digits: str, factor: int) -> int | None:
    """`digits` times `factor`, exactly, rounded down to an int."""
    if _number(digits) is None:
        return None
    before, _, after = digits.partition(".")
    fraction: int = int(after or "0") * factor // 10 ** len(after)
    return int(before or "0") * factor + fraction


# ------------------------------------------------------------------ sizes


def parse_size(text: str) -> int:
    """Bytes of "512m", "1.5g", "64KiB", "1048576": steps of 1024, in either case."""
    digits, unit = _split_number(text.strip().lower())
    unit = unit.strip()
    letter = unit[:1] or "b"
    value = _whole(digits, SIZE_STEPS.get(letter, 0))
    plain = unit in ("", "b") or (letter in SIZE_STEPS and unit[1:] in ("", "b", "ib"))
    if value is None or letter not in SIZE_STEPS or not plain or value > _MAX_BYTES:
        raise InvalidRequest(f"{text!r} is not a size", hint="write it like 512m, 1.5g or 64KiB")
    return value


def format_size_exact(size: int) -> str:
    """The shortest form that `parse_size` reads back exactly: 536870912 -> "512m"."""
    for letter in "ptgmk":
        if size and size % SIZE_STEPS[letter] == 0:
            return f"{size // SIZE_STEPS[letter]}{letter}"
    return str(size)


def format_size(size: float) -> str:
    """Bytes for people, in about four characters and a unit: "12.5MiB", "980KiB", "0B"."""
    unit = "B"
    for step in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1023.5:
            break
        size, unit = size / 1024, step
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    number = f"{size:.{digits}f}"
    return (number.rstrip("0").rstrip(".") if "." in number else number) + unit


# ------------------------------------------------------------------ CPUs


def parse_cpus(text: str) -> float:
    """A number of CPUs: "2", "0.5"; more than 0."""
    value = _number(text.strip())
    if value is None or not 0.001 <= value <= 65536:
        raise InvalidRequest(
            f"{text!r} is not a number of CPUs", hint="write it like 2 or 0.5, above 0"
        )
    return value


def format_cpus(cpus: float) -> str:
    """The shortest form that reads back the same: 1.5 -> "1.5", 2.0 -> "2"."""
    return f"{cpus:.0f}" if cpus == int(cpus) else f"{cpus!r}"


# ------------------------------------------------------------------ durations


def parse_duration(text: str) -> float:
    """Seconds of "10", "10s", "1h30m", "500ms", "2d"."""
    rest = text.strip().lower()
    whole = _number(rest)
    if whole is not None:
        return whole
    total = 0.0
    while rest:
        digits, rest = _split_number(rest)
        unit = rest[: len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyz"))]
        rest = rest[len(unit) :]
        value = _number(digits)
        if value is None or unit not in SECONDS:
            break
        total += value * SECONDS[unit]
    else:
        if text.strip():
            return total
    raise InvalidRequest(f"{text!r} is not a duration", hint="write it like 10s, 1h30m or 500ms")


def format_duration(seconds: float) -> str:
    """Like "1h30m", "10s", "1s500ms"; exact to the millisecond."""
    left = round(max(0.0, seconds) * 1000)
    parts = []
    for unit, size in (("d", 86400000), ("h", 3600000), ("m", 60000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


# ------------------------------------------------------------------ ages


def format_age(seconds: float) -> str:
    """How long, in one unit, rounded down: "3 hours", "1 minute", "Less than a second"."""
    for name, size in _AGES:
        count = int(seconds // size)
        # Docker's habit: small numbers of a big unit are told in the smaller one.
        if count >= (2 if name in ("year", "month", "week") else 1):
            return f"{count} {name}" + ("s" if count > 1 else "")
    return "Less than a second"


def parse_age(text: str) -> float:
    """Seconds of "3 hours ago", "a minute ago", "1 hour 5 minutes"."""
    words = text.lower().replace(",", " ").split()
    if words and words[-1] == "ago":
        words.pop()
    if words == ["less", "than", "a", "second"]:
        return 0.0
    sizes = dict(_AGES)
    total = 0.0
    for count, unit in zip(words[::2], words[1::2], strict=False):
        value = 1.0 if count in ("a", "an", "one") else _number(count)
        size = sizes.get(unit) or sizes.get(unit.removesuffix("s"))
        if value is None or size is None:
            break
        total += value * size
    else:
        if words and len(words) % 2 == 0:
            return total
    raise InvalidRequest(f"{text!r} is not an age", hint="write it like: 3 hours ago")


# ------------------------------------------------------------------ points in time


def parse_time(text: str, now: float | None = None) -> float:
    """Seconds since the epoch of a point in time.

    Takes RFC 3339 ("2026-11-23T18:53:00.5Z"; without an offset it is local time, a date alone
    its midnight), seconds since the epoch ("1700000000.5"), or how long ago ("10m", "3 hours
    ago", "now").
    """
    now = time.time() if now is None else now
    stripped = text.strip()
    number = _number(stripped)
    if number is not None and number >= 10_000_000:
        return number
    if stripped == "now":
        return now
    for relative in (parse_duration, parse_age):
        try:
            return now - relative(stripped)
        except InvalidRequest:
            continue
    return _parse_date(text)


def _parse_date(text: str) -> float:
    from datetime import datetime  # 2 ms; only for dates

    date, dot, rest = text.strip().partition(".")
    if dot:  # nanoseconds are legal, and more than datetime takes
        digits, zone = _split_number(rest)
        rest = digits[:6].ljust(6, "0") + zone
    try:
        return datetime.fromisoformat(date + dot + rest).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{text!r} is not a point in time",
            hint="write it like 10m, 3 hours ago, 2026-11-23T18:53:00Z or 1700000000",
        ) from None


def format_time(seconds: float, digits: int = 0) -> str:
    """RFC 3339 in UTC with `digits` decimals: "2026-11-23T18:53:00.123Z"."""
    ticks = round(seconds * 10**digits)
    whole, fraction = divmod(ticks, 10**digits)
    tail = f".{fraction:0{digits}d}" if digits else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + tail + "Z"
