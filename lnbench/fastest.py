"""Which implementations of a function are the fastest on a workload, as far as that is known."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from lnbench.planned import Status
from lnbench.row_summary import RowSummary
from lnbench.workload import Phase

TELLING = 4.0
"""The ratio of an interval's bounds above which it tells nothing of who is fastest: its ends are as far apart as eager
and fused kernels are."""


def reference_row(rows: Iterable[RowSummary], row: RowSummary) -> RowSummary | None:
    """The row that a row of the same phase is compared with: the reference's, if it can be in the same norm mode."""
    found = [it for it in rows if it.implementation == row.reference and it.phase is row.phase]
    return next((it for it in found if it.norm_mode == row.norm_mode), next(iter(found), None))


def rivals(rows: Sequence[RowSummary], *, phase: Phase, function: str) -> dict[str, list[RowSummary]]:
    """The rows that can be the fastest, by norm mode: verified, stable, of that phase and function, with a speedup.

    Speedups of two norm modes are over two references, and so can't be held against each other.
    """
    found: dict[str, list[RowSummary]] = defaultdict(list)
    for row in rows:
        if row.phase is phase and row.function == function and row.status is Status.OK and row.speedup is not None:
            found[row.norm_mode].append(row)
    return found


def is_telling(row: RowSummary) -> bool:
    """True where a row's interval is known, and narrow enough to tell of who is fastest."""
    if row.speedup_low is None or row.speedup_high is None:
        return False
    return row.speedup_high <= TELLING * row.speedup_low


def not_told_apart(found: Sequence[RowSummary]) -> list[RowSummary]:
    """Of rivals in one norm mode those whose interval reaches the best one's, it among them.

    Empty where fewer than two can be compared, or the best one's own interval tells nothing. The best of a dozen equal
    ones is called the fastest alone once in 20 times at most: where only the reference stands beside it, whose speedup
    of 1 has no interval, as often as a 95 % interval is wrong, and with more rivals far less often, since two intervals
    that do not touch are stronger evidence (simulated with three processes).
    """
    if len(found) < 2:
        return []
    best = max(found, key=lambda row: row.speedup or 0.0)
    if not is_telling(best) or best.speedup_low is None:
        return []
    floor = best.speedup_low
    return [row for row in found if (row.speedup_high or row.speedup or 0.0) >= floor]


def fastest_cases(rows: Sequence[RowSummary], *, phase: Phase, function: str) -> set[int]:
    """The cases that a table marks: in each norm mode those not told apart from the best."""
    each = rivals(rows, phase=phase, function=function).values()
    return {row.case for found in each for row in not_told_apart(found)}
