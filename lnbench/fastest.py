"""Which implementations of a function are the fastest on a workload, as far as that is known."""

from collections.abc import Sequence

from lnbench.planned import Status
from lnbench.row_summary import RowSummary
from lnbench.workload import Phase

TELLING = 4.0
"""The ratio of an interval's bounds above which it tells nothing of who is fastest: its ends are as far apart as eager
and fused kernels are."""


def rivals(rows: Sequence[RowSummary], *, phase: Phase, function: str) -> list[RowSummary]:
    """The rows that can be the fastest: verified, stable, of that phase and function, and with a speedup."""
    return [
        row
        for row in rows
        if row.phase is phase and row.function == function and row.status is Status.OK and row.speedup is not None
    ]


def fastest_cases(rows: Sequence[RowSummary], *, phase: Phase, function: str) -> set[int]:
    """The cases whose speedup is the best of all rivals, or whose interval reaches the best one's.

    Two 95 % intervals of equal things lie apart once in about 170 times, so that among a dozen rivals the one that
    happens to be best is called the fastest alone no more often than once in 15 times where all are equal.
    Empty where fewer than two can be compared, or the best one's own interval is unknown or so wide that nothing is.
    """
    found = [(row, row.speedup) for row in rivals(rows, phase=phase, function=function) if row.speedup is not None]
    if len(found) < 2:
        return set()
    best, _ = max(found, key=lambda rival: rival[1])
    if best.speedup_low is None or best.speedup_high is None or best.speedup_high > TELLING * best.speedup_low:
        return set()
    floor = best.speedup_low
    return {row.case for row, value in found if (row.speedup_high or value) >= floor}
