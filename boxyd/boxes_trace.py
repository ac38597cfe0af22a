"""Where the time of a start went: a waterfall, kept as trace.json in the box's folder.  Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec


class Trace:
    """Marks on the way of one start; each ends the step before it."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self._at = time.time()
        self._steps: list[dict[str, object]] = []

    def mark(self, step: str, inner: Mapping[str, float] | None = None) -> None:
        """`step` is done; `inner` says how many milliseconds its own parts took."""
        now = time.perf_counter()
        line: dict[str, object] = {"step": step, "ms": _ms(now - self._last)}
        if inner:
            line["inner"] = {name: round(ms, 3) for name, ms in inner.items()}
        self._steps.append(line)
        self._last = now

    def to_json(self) -> bytes:
        """The object {"at", "total_ms", "steps": [{"step", "ms", "inner"}]}, readable."""
        return msgspec.json.format(msgspec.json.encode(self._data()), indent=1) + b"\n"

    def _data(self) -> dict[str, object]:
        return {"at": self._at, "total_ms": _ms(self._last - self._began), "steps": self._steps}

    def __str__(self) -> str:
        parts = ", ".join(f"{step['step']} {step['ms']}" for step in self._steps)
        return f"{_ms(self._last - self._began)} ms ({parts})"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
