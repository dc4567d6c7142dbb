"""What a slowdown amounts to: evidence and size together, among as many comparisons as there were.

A slowdown is head / base, judged in log. `slower` takes evidence (the 95 % interval lies wholly above 1, and so few
others look like it that it is not chance) and size (the slowdown is above 1 + margin). `faster` is the mirror.
`same`: the whole interval lies within the margin. Work that is slower by exactly the margin reads `slower` about half
of the time, and is confirmed half of those times.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from lnbench.across import Mean
from lnbench.multiplicity import Correction
from lnbench.stats import Interval
from lnbench.units import format_percent

WORDS = {1: "slower", -1: "faster"}

LEAST_PROCESSES = 3
"""With fewer processes a side too little is known of how much processes vary."""


class Verdict(StrEnum):
    """What is said of one row."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"
    MISSING = "missing"

    @property
    def is_decided(self) -> bool:
        """True for an answer; false where it stays open, or was never asked."""
        return self in {Verdict.SLOWER, Verdict.FASTER, Verdict.SAME}

    @property
    def is_compared(self) -> bool:
        """True where two times were held against each other, whatever came out."""
        return self not in {Verdict.NOT_COMPARABLE, Verdict.MISSING}


class Finding(NamedTuple):
    """A verdict with its reason."""

    verdict: Verdict
    reason: str


def judge(differences: Sequence[Mean], margins: Sequence[float], *, correction: Correction) -> list[Finding]:
    """The finding of each log slowdown among all of them.

    `margins`: the relative slowdown that each lets pass, above 0. The order of rows decides nothing.
    """
    slower = correction([difference.p_above_zero() for difference in differences])
    faster = correction([(-difference).p_above_zero() for difference in differences])
    return [
        _find(difference, margin, is_chosen=above or below, among=len(differences))
        for difference, margin, above, below in zip(differences, margins, slower, faster, strict=True)
    ]


def moved(interval: Interval, margin: float) -> int:
    """1 where an interval lies wholly above 0 and its estimate above the margin, -1 for the mirror, else 0."""
    bound = math.log1p(margin)
    if interval.low > 0 and interval.estimate > bound:
        return 1
    return -1 if interval.high < 0 and interval.estimate < -bound else 0


def is_within(interval: Interval, margin: float) -> bool:
    """True where the whole interval lies within the margin, on either side of 0."""
    bound = math.log1p(margin)
    return -bound <= interval.low and interval.high <= bound


def _find(difference: Mean, margin: float, *, is_chosen: bool, among: int) -> Finding:
    if difference.count < LEAST_PROCESSES:
        count = f"{difference.count} process{'es' if difference.count != 1 else ''}"
        return Finding(Verdict.INCONCLUSIVE, f"only {count} on a side: a verdict takes {LEAST_PROCESSES}")
    interval = difference.interval()
    direction = moved(interval, margin)
    size = format_percent(margin)
    if direction and is_chosen:
        verdict = Verdict.SLOWER if direction > 0 else Verdict.FASTER
        return Finding(verdict, f"more than the margin of {size}")
    if is_within(interval, margin):
        return Finding(Verdict.SAME, f"within the margin of {size}")
    if direction:
        return Finding(
            Verdict.INCONCLUSIVE, f"looks {WORDS[direction]}, but among {among} comparisons one can by chance"
        )
    if interval.low > 0 or interval.high < 0:
        return Finding(Verdict.INCONCLUSIVE, f"a difference, but perhaps not of more than the margin of {size}")
    return Finding(Verdict.INCONCLUSIVE, f"too wide an interval for a margin of {size}")
