"""Which implementations of a function are the fastest on a workload, as far as that is known."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import stdtrit

from lnbench.planned import ProcessSpread, Status
from lnbench.row_summary import RowSummary
from lnbench.stats import LEVEL
from lnbench.workload import Phase

WIDEST = 4.0
"""The ratio of an interval's bounds above which it is too wide to determine which is fastest: its ends are as far apart
as eager and fused kernels are."""

LEAST_LEAD = 0.03
"""The lead that a single process has to show before it counts, where earlier runs show no larger spread: twice what
speedups vary by between processes in the published runs (standard deviation 1.5 and 1.9 %)."""

MOST_LEAD = 1.0
"""The lead that always counts. Processes that differ by more than twice are of a machine that was too busy to measure
on, and do not show that what is several times slower could be as fast."""

_MEASURED = frozenset({Status.OK, Status.UNSTABLE})


class Unknown(StrEnum):
    """Why too little is known of a rival."""

    UNSTABLE = "unstable"
    NOT_COMPARED = "no speedup"
    NO_INTERVAL = "no interval"
    TOO_WIDE = "interval too wide"


@dataclass(frozen=True, slots=True)
class Contest:
    """The rivals for the fastest implementation of one function in one phase and norm mode.

    `fastest`: the one that all others are known to be slower than, or those that tie with the best estimate; empty
    where that is undecided, and where there are no two rivals. `slower`: known to be slower than the best estimate.
    `unknown`: those that leave it undecided. `lead`: the relative lead that counts between rivals of a single process;
    None where every rival was measured in several.
    """

    rivals: tuple[RowSummary, ...]
    fastest: tuple[RowSummary, ...] = ()
    slower: tuple[RowSummary, ...] = ()
    unknown: tuple[tuple[RowSummary, Unknown], ...] = ()
    lead: float | None = None

    @property
    def is_single(self) -> bool:
        """True where only one implementation was measured, so that nothing can be faster than it or slower."""
        return len(self.rivals) == 1

    @property
    def has_speedups(self) -> bool:
        """True unless no rival could be compared with the reference, as where that failed."""
        return any(row.speedup is not None for row in self.rivals)


def reference_row(rows: Iterable[RowSummary], row: RowSummary) -> RowSummary | None:
    """The row that a row of the same phase is compared with: the reference's, if it can be in the same norm mode."""
    found = [it for it in rows if it.implementation == row.reference and it.phase is row.phase]
    return next((it for it in found if it.norm_mode == row.norm_mode), next(iter(found), None))


def contests(
    rows: Iterable[RowSummary], *, phase: Phase, function: str, spread: ProcessSpread | None = None
) -> dict[str, Contest]:
    """The contest of each norm mode: speedups of two norm modes are over two references, and so can't be compared.

    Rivals are all rows of that phase and function that were measured, unstable ones included. What failed is no rival.
    `spread`: how much processes of earlier runs on this machine varied.
    """
    found: dict[str, list[RowSummary]] = defaultdict(list)
    for row in rows:
        if row.phase is phase and row.function == function and row.status in _MEASURED:
            found[row.norm_mode].append(row)
    return {norm_mode: decide(rivals, spread=spread) for norm_mode, rivals in found.items()}


def decide(rivals: Sequence[RowSummary], *, spread: ProcessSpread | None = None) -> Contest:
    """Which of rivals in one norm mode are the fastest.

    A rival is slower where its interval lies wholly below that of the best estimate, and from a single process by more
    than processes differ. Otherwise it ties with the best, if both intervals are narrow enough; where one is not, or
    there is none, or a row is unstable, it could be the fastest or the slowest, and the contest is undecided.
    Simulated over three processes, the best of a dozen equal ones is called the fastest alone in less than one table of
    100, and one of them has no mark though another has in one of 10 (`benchmarks/stars.py`).
    """
    everyone = tuple(rivals)
    lead = lead_of_a_process(spread, rivals=len(everyone)) if any(map(_is_of_one_process, everyone)) else None
    if len(everyone) < 2:
        unstable = tuple((row, Unknown.UNSTABLE) for row in everyone if row.status is Status.UNSTABLE)
        return Contest(everyone, unknown=unstable)
    unknown = {row.case: why for row in everyone if (why := _why_unknown(row)) is not None}
    known = [row for row in everyone if row.case not in unknown]
    best = max(known, key=lambda row: row.speedup or 0.0, default=None)
    slower = () if best is None else tuple(row for row in known if _is_slower(row, best, lead))
    beaten = {row.case for row in slower}
    tied = tuple(row for row in known if row.case not in beaten)
    unknown |= {row.case: Unknown.TOO_WIDE for row in tied if len(tied) > 1 and not _is_narrow(row)}
    return Contest(
        everyone,
        fastest=() if unknown else tied,
        slower=slower,
        unknown=tuple((row, unknown[row.case]) for row in everyone if row.case in unknown),
        lead=lead,
    )


def lead_of_a_process(spread: ProcessSpread | None, *, rivals: int) -> float:
    """The relative lead within one process that is beyond what processes differ by: 0.03 for 3 %.

    Of so many equal rivals no two differ by more in 95 % of processes: a t quantile with Bonferroni's correction for
    all pairs, times the standard deviation of the difference of two rows. 3 % at least, and 100 % at most.
    """
    if spread is None or rivals < 2:
        return LEAST_LEAD
    pairs = rivals * (rivals - 1) / 2
    quantile = float(stdtrit(spread.freedom, 1 - (1 - LEVEL) / 2 / pairs))
    lead = math.expm1(min(math.sqrt(2) * spread.deviation * quantile, math.log1p(MOST_LEAD)))
    return max(LEAST_LEAD, lead)


def fastest_cases(found: Iterable[Contest]) -> set[int]:
    """The cases that a table marks: in each norm mode the fastest, or those that tie."""
    return {row.case for contest in found for row in contest.fastest}


def _is_of_one_process(row: RowSummary) -> bool:
    """True for what has no variance between processes in its interval. A reference's speedup of 1 needs none."""
    return row.speedup_processes == 1


def _why_unknown(row: RowSummary) -> Unknown | None:
    if row.status is Status.UNSTABLE:  # whatever figures it has
        return Unknown.UNSTABLE
    if row.speedup is None:
        return Unknown.NOT_COMPARED
    return Unknown.NO_INTERVAL if row.speedup_low is None or row.speedup_high is None else None


def _is_slower(row: RowSummary, best: RowSummary, lead: float | None) -> bool:
    assert row.speedup_high is not None  # both are known
    assert best.speedup_low is not None
    is_of_one = _is_of_one_process(row) or _is_of_one_process(best)
    return row.speedup_high * (1 + lead if lead is not None and is_of_one else 1) < best.speedup_low


def _is_narrow(row: RowSummary) -> bool:
    assert row.speedup_low is not None
    assert row.speedup_high is not None
    return row.speedup_high <= WIDEST * row.speedup_low
