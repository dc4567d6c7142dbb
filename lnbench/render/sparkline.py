"""A series of numbers as a line of blocks, as wide as asked."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = "·"


def sparkline(values: Sequence[float | None], *, width: int, least_span: float) -> str:
    """One block per value, higher for larger; a dot where there is none. More values than `width` share blocks.

    The blocks reach from the smallest to the largest value, and over `least_span` at least, so that noise looks flat.
    """
    shared = [_middle(values[start:stop]) for start, stop in buckets(len(values), width)]
    known = [value for value in shared if value is not None]
    if not known:
        return GAP * len(shared)
    middle = (min(known) + max(known)) / 2
    half = max(max(known) - min(known), least_span) / 2
    top = len(BLOCKS) - 1
    return "".join(GAP if it is None else BLOCKS[round(top * (it - middle + half) / (2 * half))] for it in shared)


def buckets(count: int, width: int) -> list[tuple[int, int]]:
    """Where each block's values begin and end: `count` values in at most `width` blocks of nearly equal length."""
    blocks = min(count, max(width, 1))
    edges = [number * count // blocks for number in range(blocks + 1)] if blocks else [0]
    return list(pairwise(edges))


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
