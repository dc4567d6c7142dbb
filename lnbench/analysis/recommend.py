"""What to use: per workload and phase the fastest implementation of the reference's function, and what it costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log

from scipy.special import stdtrit

from lnbench.chosen import NO_FILTER, fits
from lnbench.fastest import Contest, Unknown, contests, reference_row
from lnbench.planned import Notice, Status
from lnbench.record import Header
from lnbench.row_summary import RowSummary
from lnbench.selection import CASE_COLUMNS, Filter
from lnbench.verdict import LEAST_PROCESSES
from lnbench.view import RunView, WorkloadTable
from lnbench.workload import Clock, Phase, main_phase

LESS_MEMORY = 0.95
"""Of several that are as fast, one that needs less memory than this share of the best one's is taken instead."""

CAVEATS = ("launch-bound", "inaccurate", "coarse-gradient", "graph-break", "page-fault-bound")
"""Codes of notices that whoever takes a recommendation has to know of."""

_UNDECIDED = {
    Unknown.UNSTABLE: "some rows are unstable, so it is not known which is the fastest",
    Unknown.NOT_COMPARED: "some rows took no turn beside the reference",
    Unknown.NO_INTERVAL: "too few rounds for an interval",
    Unknown.TOO_WIDE: "intervals too wide to determine which is fastest",
}
"""Why nothing is recommended; where rivals have several reasons, the first of these."""


class Certainty(StrEnum):
    """How far the difference from the reference is known."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    FEW_PROCESSES = "too few processes"
    REFERENCE = "the reference itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to use on one workload in one phase (and norm mode, where the function has them).

    `use`: the title to take, empty where the measurements decide nothing; `why_not` then says why. `fastest`: the
    fastest, or all that tie with it, empty where it is undecided or only one was measured; of these the reference is
    taken, else one that needs clearly less memory, else the best estimate. `unclear`: titles of which too little is
    known, each with the reason; with any of these it is undecided. `is_only_one`: nothing else was measured. `row`: the
    figures of what to use. `runner_up`: the best of those that are known to be slower, and its figures.
    `memory_ratio`: the peak over the reference's. `left_out`: titles that can't be recommended, each with the reason.
    `caveats`: notices about what is recommended.
    """

    workload: str
    title: str
    phase: Phase
    clock: Clock
    function: str
    norm_mode: str
    reference: str
    use: str
    why_not: str
    fastest: tuple[str, ...]
    unclear: tuple[tuple[str, Unknown], ...]
    is_only_one: bool
    row: RowSummary | None
    certainty: Certainty | None
    runner_up: tuple[str, RowSummary] | None
    memory_ratio: float | None
    left_out: tuple[tuple[str, str], ...]
    caveats: tuple[Notice, ...]

    @property
    def is_tie(self) -> bool:
        """True where several are not told apart."""
        return len(self.fastest) > 1


def recommend(
    view: RunView, *, phases: Sequence[Phase] | None = None, only: Filter = NO_FILTER
) -> tuple[Recommendation, ...]:
    """A recommendation for every workload and each of these phases that was measured on it, in plan order.

    `view`: of the whole run, since who is fastest is decided among all. `only`: the workloads and phases to tell of.
    Without `phases`, a whole step (else the last phase of one that was measured) and inference.
    """
    places = {column: patterns for column, patterns in only.items() if column not in CASE_COLUMNS}
    found: list[Recommendation] = []
    for table in view.tables:
        wanted = _phases_shown(table.phases) if phases is None else [it for it in table.phases if it in phases]
        for phase in wanted:
            cells = [cell for row in table.rows for cell in row.cells if cell.phase is phase]
            if _were_tried(cells) and any(fits(cell, places) for cell in cells):
                found += _recommended(view.header, table, cells)
    return tuple(found)


def _were_tried(cells: Sequence[RowSummary]) -> bool:
    """True unless nothing of the workload could be measured here, as on a device that there is not."""
    return any(cell.status not in {Status.SKIPPED, Status.UNSUPPORTED} for cell in cells)


def _phases_shown(phases: Sequence[Phase]) -> list[Phase]:
    step = main_phase(phases)
    return list(dict.fromkeys(phase for phase in (step, Phase.INFERENCE) if phase in phases))


def _recommended(header: Header, table: WorkloadTable, cells: Sequence[RowSummary]) -> Iterator[Recommendation]:
    titles = {cell.case: row.title for row in table.rows for cell in row.cells}
    first = cells[0]
    spread = header.spread_on(first.device_name)
    found = contests(cells, phase=first.phase, function=table.function, spread=spread)
    for norm_mode, contest in (found or {"": Contest(())}).items():
        chosen = _choose(contest.fastest, cells) or _only_one(contest)
        reference = None if chosen is None else reference_row(cells, chosen)
        following = max(contest.slower, key=lambda row: row.speedup or 0.0, default=None)
        yield Recommendation(
            workload=first.workload,
            title=table.title,
            phase=first.phase,
            clock=table.clock,
            function=table.function,
            norm_mode=norm_mode,
            reference=first.reference,
            use="" if chosen is None else titles[chosen.case],
            why_not="" if chosen is not None else _why_not(contest, reference_row(cells, first)),
            fastest=tuple(titles[row.case] for row in contest.fastest),
            unclear=tuple((titles[row.case], why) for row, why in contest.unknown),
            is_only_one=chosen is not None and contest.is_single,
            row=chosen,
            certainty=None if chosen is None else _certainty(chosen, reference, choices=len(contest.rivals) - 1),
            runner_up=None if chosen is None or following is None else (titles[following.case], following),
            memory_ratio=_memory_ratio(chosen, reference),
            left_out=tuple((titles[cell.case], why) for cell, why in _left_out(table, cells)),
            caveats=() if chosen is None else _caveats(chosen),
        )


def _choose(tied: Sequence[RowSummary], cells: Sequence[RowSummary]) -> RowSummary | None:
    """What to take of those that are as fast as each other."""
    if not tied:
        return None
    own = next((row for row in tied if reference_row(cells, row) is row), None)
    if own is not None:
        return own
    best = max(tied, key=lambda row: row.speedup or 0.0)
    frugal = min(tied, key=lambda row: row.peak_memory_bytes or float("inf"))
    if frugal.peak_memory_bytes and best.peak_memory_bytes:
        beats_too = (frugal.speedup_low or 0.0) > 1 or (best.speedup_low or 0.0) <= 1
        if beats_too and frugal.peak_memory_bytes < LESS_MEMORY * best.peak_memory_bytes:
            return frugal
    return best


def _only_one(contest: Contest) -> RowSummary | None:
    """What alone was measured, unless it is unstable or the reference that it needs failed."""
    is_usable = contest.is_single and contest.has_speedups and not contest.unknown
    return contest.rivals[0] if is_usable else None


def _memory_ratio(chosen: RowSummary | None, reference: RowSummary | None) -> float | None:
    if chosen is None or reference is None or chosen is reference or not reference.peak_memory_bytes:
        return None
    return None if chosen.peak_memory_bytes is None else chosen.peak_memory_bytes / reference.peak_memory_bytes


def _why_not(contest: Contest, reference: RowSummary | None) -> str:
    if reference is None:
        return "the reference is not part of the plan, so nothing can be compared"
    if contest.has_speedups and contest.unknown:
        return _UNDECIDED[min(contest.unknown, key=lambda it: list(_UNDECIDED).index(it[1]))[1]]
    if reference.status is not Status.OK:
        return f"the reference ended as {reference.status}, so nothing can be compared"
    return "nothing could be compared"


def _certainty(chosen: RowSummary, reference: RowSummary | None, *, choices: int) -> Certainty:
    """What is known of the difference, the choice of the best among so many rivals reckoned in.

    The interval is widened to the level 1 - 5 % / choices (Bonferroni), with one degree of freedom less than there are
    processes, which is less than its own variance has: equal ones are called significant too seldom, never too often.
    """
    if chosen is reference:
        return Certainty.REFERENCE
    processes = chosen.speedup_processes or 0
    if processes < LEAST_PROCESSES or chosen.speedup_low is None or chosen.speedup_high is None:
        return Certainty.FEW_PROCESSES
    wider = stdtrit(processes - 1, 1 - 0.025 / max(choices, 1)) / stdtrit(processes - 1, 0.975)
    half = wider * log(chosen.speedup_high / chosen.speedup_low) / 2
    is_apart = exp(abs(log(chosen.speedup or 1.0)) - half) > 1
    return Certainty.SIGNIFICANT if is_apart else Certainty.NOT_SIGNIFICANT


def _left_out(table: WorkloadTable, cells: Sequence[RowSummary]) -> Iterator[tuple[RowSummary, str]]:
    for cell in cells:
        if cell.status is Status.UNSTABLE and cell.function == table.function:
            continue  # a rival of which too little is known
        if cell.status is not Status.OK:
            if not table.function or cell.function == table.function:
                yield cell, cell.status.value
        elif table.function and cell.function != table.function:
            yield cell, f"computes {cell.function}"


def _caveats(chosen: RowSummary) -> tuple[Notice, ...]:
    return tuple(notice for notice in chosen.notices if notice.code in CAVEATS)
