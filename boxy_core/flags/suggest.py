"""The known word that was probably meant.  Pure; loaded only when something is wrong."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def distance(left: str, right: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours that lead from one to the other.

    The optimal string alignment distance.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        before, previous, row = row, before, [i]
        for j, b in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
    return row[-1]


def nearest(word: str, known: Iterable[str]) -> str:
    """The closest of `known`, or "" if none is close: a third of the letters may be wrong.

    A word of which `word` is the beginning counts as close.
    """
    best, best_score = "", 1.0 + max(1, len(word.lstrip("-")) // 3)
    for candidate in known:
        score = float(distance(word.lower(), candidate.lower()))
        if len(word.lstrip("-")) > 1 and candidate.startswith(word):
            score = min(score, 0.5)
        if score < best_score:
            best, best_score = candidate, score
    return best
