"""What to use: per workload and phase the fastest implementation of the reference's function, and what it costs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lnbench.fastest import rivals
from lnbench.planned import Status
from lnbench.row_summary import RowSummary
from lnbench.units import format_significant
from lnbench.verdict import LEAST_PROCESSES
from lnbench.view import RunView, TableRow, WorkloadTable
from lnbench.workload import Phase

MOST_PLACES = 3
"""Workloads that a sentence names one by one."""


class Certainty(StrEnum):
    """How far the difference from the reference is known."""

    SIGNIFICANT = "significant"
    NOT_SIGNIFICANT = "not significant"
    FEW_PROCESSES = "too few processes"
    REFERENCE = "the reference itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to use on one workload in one phase.

    `use`: the title to take, empty where the measurements decide nothing; `why_not` then says why. `fastest`: all that
    are not told apart from the best, it among them. Of several, the reference is taken; else the one that needs least
    memory; else the first of the plan. `row`: the figures of what to use, its speedup among them. `runner_up`: the best
    of those that are known to be slower, and its figures. `memory_ratio`: the peak over the reference's. `left_out`:
    titles that can't be recommended, each with the reason.
    """

    workload: str
    title: str
    phase: Phase
    function: str
    reference: str
    use: str
    why_not: str
    fastest: tuple[str, ...]
    row: RowSummary | None
    certainty: Certainty | None
    runner_up: tuple[str, RowSummary] | None
    memory_ratio: float | None
    left_out: tuple[tuple[str, str], ...]

    @property
    def is_tie(self) -> bool:
        """True where several are not told apart."""
        return len(self.fastest) > 1


def recommend(view: RunView, *, phases: Sequence[Phase] | None = None) -> tuple[Recommendation, ...]:
    """A recommendation for every workload and each of these phases that was measured on it, in plan order.

    Without `phases`, a whole step (else the last phase of one that was measured) and inference.
    """
    found = []
    for table in view.tables:
        wanted = _phases_shown(table.phases) if phases is None else [it for it in table.phases if it in phases]
        found += [_recommended(table, phase) for phase in wanted if _was_tried(table, phase)]
    return tuple(found)


def sentences(recommendations: Sequence[Recommendation]) -> list[str]:
    """What the run comes to, in a few sentences for each phase; none where there is nothing to recommend."""
    by_phase: dict[tuple[Phase, str], list[Recommendation]] = defaultdict(list)
    for it in recommendations:
        by_phase[it.phase, it.function].append(it)
    decided = {key: found for key, found in by_phase.items() if any(it.use for it in found)}
    told = [sentence for (phase, function), found in decided.items() for sentence in _of_phase(phase, function, found)]
    used = [it for found in decided.values() for it in found if it.use]
    if any(it.row is not None and it.row.processes < LEAST_PROCESSES for it in used):
        told.append(
            f"Fewer than {LEAST_PROCESSES} processes measured this, and another process can differ by more than the "
            f"intervals say: see --processes before you rely on a few percent."
        )
    left_out = dict.fromkeys(
        f"{title} ({why})" for it in recommendations for title, why in it.left_out if why not in _NOT_WORTH_A_WORD
    )
    if left_out and used:
        told.append(f"Left out: {', '.join(left_out)}.")
    return told


def _was_tried(table: WorkloadTable, phase: Phase) -> bool:
    """True unless nothing of the workload could be measured here, as on a device that there is not."""
    never = {Status.SKIPPED, Status.UNSUPPORTED}
    return any(cell.status not in never for row in table.rows for cell in row.cells if cell.phase is phase)


def _phases_shown(phases: Sequence[Phase]) -> list[Phase]:
    step = [phase for phase in phases if phase is not Phase.INFERENCE][-1:]
    return step + [phase for phase in phases if phase is Phase.INFERENCE]


def _recommended(table: WorkloadTable, phase: Phase) -> Recommendation:
    rows = [(row, cell) for row in table.rows for cell in row.cells if cell.phase is phase]
    cells = [cell for _, cell in rows]
    titles = {cell.case: row.title for row, cell in rows}
    reference = next((cell for cell in cells if _is_reference(cell)), None)
    able = rivals(cells, phase=phase, function=table.function)
    fastest = [cell for row, cell in rows if phase in row.fastest]
    if not fastest and len(able) == 1:
        fastest = able
    slower = [cell for cell in able if cell not in fastest]
    following = max(slower, key=lambda cell: cell.speedup or 0) if fastest and slower else None
    chosen = min(fastest, key=lambda cell: (not _is_reference(cell), _peak(cell))) if fastest else None
    return Recommendation(
        workload=cells[0].workload,
        title=table.title,
        phase=phase,
        function=table.function,
        reference=cells[0].reference,
        use="" if chosen is None else titles[chosen.case],
        why_not="" if chosen is not None else _why_not(able, reference),
        fastest=tuple(titles[cell.case] for cell in fastest),
        row=chosen,
        certainty=None if chosen is None else _certainty(chosen),
        runner_up=None if following is None else (titles[following.case], following),
        memory_ratio=_memory_ratio(chosen, reference),
        left_out=tuple(_left_out(table, rows)),
    )


def _is_reference(cell: RowSummary) -> bool:
    return cell.implementation == cell.reference


def _peak(cell: RowSummary) -> float:
    return float("inf") if cell.peak_memory_bytes is None else cell.peak_memory_bytes


def _memory_ratio(chosen: RowSummary | None, reference: RowSummary | None) -> float | None:
    if chosen is None or reference is None or chosen is reference or not reference.peak_memory_bytes:
        return None
    return None if chosen.peak_memory_bytes is None else chosen.peak_memory_bytes / reference.peak_memory_bytes


def _why_not(able: Sequence[RowSummary], reference: RowSummary | None) -> str:
    if reference is None or reference.status is not Status.OK:
        return f"the reference is {'not there' if reference is None else reference.status}, so nothing can be compared"
    return "nothing could be compared" if not able else "the intervals are too wide to tell who is fastest"


def _certainty(chosen: RowSummary) -> Certainty:
    if _is_reference(chosen):
        return Certainty.REFERENCE
    if chosen.processes < LEAST_PROCESSES or chosen.speedup_low is None or chosen.speedup_high is None:
        return Certainty.FEW_PROCESSES
    is_apart = chosen.speedup_low > 1 or chosen.speedup_high < 1
    return Certainty.SIGNIFICANT if is_apart else Certainty.NOT_SIGNIFICANT


def _left_out(table: WorkloadTable, rows: Sequence[tuple[TableRow, RowSummary]]) -> Iterator[tuple[str, str]]:
    for row, cell in rows:
        if cell.function != table.function:
            if cell.median_s is not None:
                yield row.title, f"computes {cell.function}"
        elif cell.status is not Status.OK:
            yield row.title, cell.status.value


def _of_phase(phase: Phase, function: str, found: Sequence[Recommendation]) -> Iterator[str]:
    winners: dict[str, list[Recommendation]] = defaultdict(list)
    ties: dict[tuple[str, ...], list[Recommendation]] = defaultdict(list)
    for it in found:
        if it.is_tie:
            ties[it.fastest].append(it)
        elif it.use:
            winners[it.use].append(it)
    parts = []
    ordered = sorted(winners.items(), key=lambda item: -len(item[1]))
    for place, (title, won) in enumerate(ordered):
        everywhere = len(won) == len(found)
        where = f"on {_all_of(len(found))}"
        if place == 0:
            named = f" ({_places(won)})" if len(won) <= MOST_PLACES else ""
            shown = where if everywhere else f"on {len(won)} of {len(found)} workloads{named}"
            parts.append(f"{title} is the fastest {function} {shown}{_gains(won)}")
        else:
            parts.append(f"{title} at {_places(won)}{_gains(won)}")
    parts += [f"{_listed(titles)} are not told apart at {_places(tied)}" for titles, tied in ties.items()]
    open_ones = [it for it in found if not it.use]
    parts += [f"undecided at {_places(open_ones)}: {open_ones[0].why_not}"] if open_ones else []
    yield f"{_PHASE_WORDS[phase]}: {'; '.join(parts)}."


_NOT_WORTH_A_WORD = {Status.UNSUPPORTED.value, Status.SKIPPED.value}
"""Of these the tables tell, with the reason."""

_PHASE_WORDS = {
    Phase.FORWARD_BACKWARD: "A training step (forward_backward)",
    Phase.BACKWARD: "Backward",
    Phase.FORWARD: "Forward, as in training",
    Phase.INFERENCE: "Inference",
}


def _gains(won: Sequence[Recommendation]) -> str:
    """`, 1.2x to 1.8x as fast as fused`; nothing for the reference itself."""
    gained = sorted(it.row.speedup for it in won if it.row is not None and it.row.speedup is not None)
    if not gained or won[0].certainty is Certainty.REFERENCE:
        return ""
    least, most = (f"{format_significant(value, 3)}x" for value in (gained[0], gained[-1]))
    return f", {least if least == most else f'{least} to {most}'} as fast as {won[0].reference}"


def _places(found: Sequence[Recommendation]) -> str:
    names = [it.title for it in found[:MOST_PLACES]]
    rest = len(found) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def _all_of(count: int) -> str:
    return {1: "the only workload", 2: "both workloads"}.get(count, f"all {count} workloads")


def _listed(titles: Sequence[str]) -> str:
    return f"{', '.join(titles[:-1])} and {titles[-1]}"
