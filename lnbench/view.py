"""The people's view of a run: per workload a table of times and speedups, with a caption and numbered footnotes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lnbench.chosen import NO_FILTER, fits, what_there_is
from lnbench.errors import UsageError
from lnbench.events import Resumed, WorkloadFinished
from lnbench.evidence import Evidence
from lnbench.fastest import Contest, contests, fastest_cases
from lnbench.planned import Notice, PlannedWorkload, Status
from lnbench.record import Header, Run
from lnbench.row_notices import BYTES_CODES, GRAPH_CODES
from lnbench.row_summary import RowSummary
from lnbench.selection import Filter
from lnbench.speedups import Speedups
from lnbench.summaries import summarize_evidence
from lnbench.units import format_percent, format_significant
from lnbench.workload import Allocator, Clock, Phase, Workload

EXTENDED = 1.5
"""Timed rounds that took so many times the budget went on past it; one long round alone does not."""

HOW_TO_READ = (
    "Time: the median, ± half the width of its 95 % interval. Speedup: reference time / time, from turns taken in the "
    "same rounds; above 1 is better. Each phase has a median of its own, and medians do not add."
)
"""What every table of the run needs to be understood."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One case: a summary per phase, a status of its own where no phase has a time, and the numbers of its footnotes.

    `fastest`: the phases in which it is the fastest of the reference's function, or ties with the fastest.
    `every_clock`: its rows on all clocks, of which `cells` are those on the one that decides.
    """

    title: str
    status: Status
    cells: tuple[RowSummary, ...]
    fastest: frozenset[Phase]
    footnotes: tuple[int, ...]
    every_clock: tuple[RowSummary, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkloadTable:
    """One workload's cases. The caption also holds what was noticed about the workload as a whole.

    Footnotes are counted from 1, in the order in which rows mention them. `lead`: the relative lead up to which rivals
    of a single process tie; None where all were measured in several.
    """

    title: str
    caption: tuple[str, ...]
    phases: tuple[Phase, ...]
    clock: Clock
    function: str
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...]
    lead: float | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as people read it: how it was set up, its tables, and what was noticed about it as a whole.

    `busy`: one line for the top, where other processes kept the machine busy; else "".
    """

    header: Header
    tables: tuple[WorkloadTable, ...]
    notices: tuple[Notice, ...]
    completed: bool
    finished: tuple[WorkloadFinished, ...]
    busy: str = ""


def view_run(run: Run, only: Filter = NO_FILTER) -> RunView:
    """The view of a run, on the device's clock for CUDA workloads and on the wall clock for all others.

    `only`: the rows that are shown; what is fastest, and every figure, stays what it is among all.
    Raises UsageError where none matches.
    """
    evidence = Evidence(run)
    by_heap: dict[Workload, dict[str, Sequence[RowSummary]]] = defaultdict(dict)
    by_workload: dict[int, list[RowSummary]] = {number: [] for number in range(len(run.header.workloads))}
    for summary in summarize_evidence(evidence, Speedups(evidence)):
        by_workload[run.header.cases[summary.case].workload].append(summary)
    for number, rows in by_workload.items():
        planned = run.header.workloads[number]
        by_heap[_but_for_the_heap(planned)][planned.workload.allocator] = rows
    end = evidence.run_finished
    tables = tuple(
        _workload_table(evidence, number, found, only=only, by_heap=by_heap)
        for number, found in by_workload.items()
        if any(fits(row, only) for row in found)
    )
    if only and not tables:
        every = [row for found in by_workload.values() for row in found]
        raise UsageError("--only: no row of the run matches", hint=what_there_is(every))
    return RunView(
        header=run.header,
        tables=tables,
        notices=(*evidence.workload_notices(None), *map(_resumption, evidence.resumed)),
        completed=end is not None and not end.interrupted,
        finished=tuple(event for found in evidence.finished.values() for event in found),
        busy=evidence.busy_line,
    )


def _resumption(event: Resumed) -> Notice:
    spite = f", although these had changed: {'; '.join(event.differences)}" if event.differences else ""
    return Notice(code="resumed", text=f"the run was interrupted, and resumed at {event.at}{spite}")


def fastest_legend(table: WorkloadTable) -> str:
    """What the mark in a phase's cells says."""
    tied = f"fastest {table.function}, or statistically tied with it"
    if table.lead is None:
        return tied
    return f"{tied}; single process: leads up to {format_percent(table.lead)} count as ties"


def default_clock(planned: PlannedWorkload) -> Clock:
    """The clock that tables and verdicts use."""
    return planned.deciding_clock


ByHeap = Mapping[Workload, Mapping[str, Sequence[RowSummary]]]
"""Rows by their workload but for its allocator, and by the allocator."""


def _workload_table(
    evidence: Evidence, number: int, summaries: Sequence[RowSummary], *, only: Filter, by_heap: ByHeap
) -> WorkloadTable:
    planned = evidence.run.header.workloads[number]
    clock = default_clock(planned)
    shown = [summary for summary in summaries if summary.clock is clock]
    function = _reference_function(evidence, shown)
    spread = evidence.run.header.spread_on(shown[0].device_name)
    decided = {
        phase: tuple(contests(shown, phase=phase, function=function, spread=spread).values())
        for phase in planned.phases
    }
    fastest = {phase: fastest_cases(found) for phase, found in decided.items()}
    general = evidence.workload_notices(number)
    every, shown = shown, [summary for summary in shown if fits(summary, only)]
    phases = {summary.phase for summary in shown}
    on_all_clocks: dict[int, list[RowSummary]] = defaultdict(list)
    for summary in summaries:
        if fits(summary, only):
            on_all_clocks[summary.case].append(summary)
    footnotes: dict[str, int] = {}
    rows = []
    for case, found in groupby(shown, key=lambda summary: summary.case):
        cells = tuple(found)
        texts = [*_footnote_texts(cells, general), *_graph_texts(on_all_clocks[case], cells)]
        numbers = {footnotes.setdefault(text, len(footnotes) + 1) for text in texts}
        rows.append(
            TableRow(
                title=evidence.case(case).title,
                status=_case_status(cells),
                cells=cells,
                fastest=frozenset(phase for phase, cases in fastest.items() if case in cases),
                footnotes=tuple(sorted(numbers)),
                every_clock=tuple(on_all_clocks[case]),
            )
        )
    label = planned.workload.label
    return WorkloadTable(
        title=f"{label}: {planned.id}" if label else planned.id,
        caption=(
            *_caption(evidence, number, every),
            *(notice.text for notice in general),
            *_undecided(evidence, decided),
            *_default_heap(shown, by_heap.get(_but_for_the_heap(planned), {}).get(Allocator.RETAINED, ())),
        ),
        phases=tuple(phase for phase in planned.phases if phase in phases),
        clock=clock,
        function=function,
        rows=tuple(rows),
        footnotes=tuple(footnotes),
        lead=max((it.lead for found in decided.values() for it in found if it.lead is not None), default=None),
    )


def _undecided(evidence: Evidence, decided: Mapping[Phase, Iterable[Contest]]) -> Iterator[str]:
    """Why phases have no mark: the rows of which too little is known."""
    phases: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for phase, found in decided.items():
        open_ones = [it for it in found if not it.is_single and it.has_speedups]
        unknown = tuple(f"{evidence.case(row.case).title} ({why})" for it in open_ones for row, why in it.unknown)
        if unknown:
            phases[unknown].append(phase.value)
    for unknown, names in phases.items():
        yield f"fastest undecided in {', '.join(names)}: {', '.join(unknown)}"


def _but_for_the_heap(planned: PlannedWorkload) -> Workload:
    return replace(planned.workload, allocator=Allocator.RETAINED)


def _default_heap(shown: Sequence[RowSummary], retained: Sequence[RowSummary]) -> tuple[str, ...]:
    """What the system's own heap costs, where the same was measured on one that keeps its memory."""
    kept = {(row.implementation, row.norm_mode, row.phase, row.clock): row.median_s for row in retained}
    parts = []
    for row in shown:
        base_s = kept.get((row.implementation, row.norm_mode, row.phase, row.clock))
        is_whole = row.phase is Phase.FORWARD_BACKWARD or len({other.phase for other in shown}) == 1
        if row.allocator == Allocator.SYSTEM and is_whole and row.median_s and base_s:
            faults = f" with {row.faults_per_call:,.0f} page faults a call" if row.faults_per_call else ""
            parts.append(f"{row.implementation} {format_significant(row.median_s / base_s, 2)}x{faults}")
    if not parts:
        return ()
    return (f"the system's heap against the retained one, in other processes, so roughly: {', '.join(parts)}",)


def _reference_function(evidence: Evidence, shown: Sequence[RowSummary]) -> str:
    reference = evidence.reference(shown[0].case)
    return "" if reference is None else evidence.case(reference).function


def _case_status(cells: Sequence[RowSummary]) -> Status:
    """A phase's status stands for the case where all agree; where some phases have times, those count."""
    return next((cell.status for cell in cells if cell.status.has_times), cells[0].status)


def _footnote_texts(cells: Iterable[RowSummary], general: Sequence[Notice]) -> list[str]:
    """What is to be said of a row; what holds for the whole workload stands in the caption, bytes in results.csv."""
    found = []
    for cell in cells:
        if cell.reason:
            found.append(f"{cell.status}: {cell.reason}")
        own = (notice for notice in cell.notices if notice not in general)
        found += [notice.text for notice in own if notice.code not in BYTES_CODES]
    return found


def _graph_texts(every_clock: Iterable[RowSummary], cells: Sequence[RowSummary]) -> Iterator[str]:
    """What is to be said of the graph clock's rows of a case, where they are not those that are shown."""
    said = {cell.reason for cell in cells}
    for row in every_clock:
        if row.clock is Clock.GRAPH and row not in cells:
            if row.reason not in said and (row.status.is_failure or row.status is Status.UNSUPPORTED):
                yield f"graph clock: {row.status}: {row.reason}"
            yield from (f"graph clock: {notice.text}" for notice in row.notices if notice.code in GRAPH_CODES)


def _caption(evidence: Evidence, number: int, shown: Sequence[RowSummary]) -> tuple[str, ...]:
    """What the figures rest on: what they are compared with, where, how often, and why measuring stopped."""
    first = shown[0]
    is_graph = default_clock(evidence.run.header.workloads[number]) is Clock.GRAPH
    finished = [event for event in evidence.finished.get(number, []) if event.on_graph == is_graph]
    rounds = max((summary.rounds for summary in shown), default=0)
    processes = max((summary.processes for summary in shown), default=0)
    where = [first.device_name or first.device]
    if first.device == "cpu":
        where.append(f"{first.threads} thread{'s' if first.threads != 1 else ''}")
    where.append(f"{default_clock(evidence.run.header.workloads[number])} clock")
    compared = f"reference: {first.reference}; {', '.join(where)}"
    if not rounds:
        return (compared, "nothing was measured")
    measured = f"{rounds} round{'s' if rounds != 1 else ''} in {processes} process{'es' if processes != 1 else ''}"
    if not finished:
        return (compared, f"{measured}; the run ended before this workload was finished", *_single(processes))
    return (compared, f"{measured}; {stopping(finished, evidence.run.header)}", *_single(processes))


def stopping(finished: Sequence[WorkloadFinished], header: Header) -> str:
    """Why measuring stopped, in words; the precision counts as met only where every process met it."""
    reasons = {event.stopped_by for event in finished}
    asked = format_percent(header.sampling.precision)
    if reasons == {"precision"}:
        return f"stopped when every speedup was within ±{asked}"
    if reasons == {"nothing left"}:
        return "stopped because no case was left to measure"
    budget_s, longest_s = header.sampling.budget_s, max(event.rounds_s for event in finished)
    if longest_s > EXTENDED * budget_s:
        extra = f"{round(longest_s - budget_s, 1):g}"
        return f"hit the {budget_s:g} s budget and {extra} s of extra time (busy machine) before reaching ±{asked}"
    return f"stopped by the budget of {budget_s:g} s, before every speedup was within ±{asked}"


def _single(processes: int) -> tuple[str, ...]:
    if processes != 1:
        return ()
    return ("one process: intervals hold for it alone; another process can differ, see --processes",)
