"""Several runs beside each other, row by row, without a verdict: what each measured, and in what they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from string import ascii_uppercase

from lnbench.chosen import NO_FILTER, fits
from lnbench.conditions import Circumstances
from lnbench.differing import Differing, differing_conditions, differing_settings
from lnbench.errors import UsageError
from lnbench.evidence import Evidence
from lnbench.record import Header, Run
from lnbench.row_summary import RowSummary
from lnbench.selection import Filter
from lnbench.view import RunView, TableRow, WorkloadTable, view_run
from lnbench.workload import Phase

NO_VERDICT = (
    "Side by side, and not judged. A speedup is a ratio from within its run and can be held beside another's; times of "
    "two runs differ by machine, versions, hour and process too. `lnbench compare` judges two runs."
)
"""What has to be understood before two columns are read."""

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class SideCell:
    """A row of one run; `is_fastest`: no other row of the reference's function there is known to be faster."""

    summary: RowSummary
    is_fastest: bool


@dataclass(frozen=True, slots=True)
class SideRow:
    """One implementation and phase; per run its cell, or None where the run never planned it."""

    title: str
    phase: Phase
    cells: tuple[SideCell | None, ...]


@dataclass(frozen=True, slots=True)
class SideTable:
    """A workload that more than one run has. `devices`: what each measured it on, "" where it did not plan it."""

    title: str
    caption: str
    devices: tuple[str, ...]
    rows: tuple[SideRow, ...]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of its rows, each once."""
        return tuple(dict.fromkeys(row.phase for row in self.rows))


@dataclass(frozen=True, slots=True)
class SideRun:
    """One of the runs: the letter that stands for it, and what tells it apart from the others, in a few words."""

    letter: str
    header: Header
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """All of it. `obstacles`: conditions in which rows differ, so that a comparison would not hold them to each other.

    `settings`: everything else that differs. `notes`: what is to be said beside the rows, one sentence each. `busy`: a
    line for the top for each run during which other processes kept its machine busy.
    """

    runs: tuple[SideRun, ...]
    tables: tuple[SideTable, ...]
    obstacles: tuple[Differing, ...]
    settings: tuple[Differing, ...]
    notes: tuple[str, ...]
    busy: tuple[str, ...] = ()


def side_by_side(runs: Sequence[Run], *, only: Filter = NO_FILTER) -> SideBySide:
    """Two runs or more, in the order given; `only`: the rows that are shown.

    Raises UsageError where a run stands twice, or no row matches.
    """
    check_that_all_differ([run.header for run in runs])
    views = [view_run(run) for run in runs]
    by_workload = _joined(views)
    tables = [
        table
        for name, found in by_workload.items()
        if sum(table is not None for table in found) > 1 and (table := _table(name, found, only)).rows
    ]
    if only and not tables:
        raise UsageError("--only: no row that more than one run has matches")
    evidence = [Evidence(run) for run in runs]
    headers = [run.header for run in runs]
    obstacles = differing_conditions(_circumstances(row, evidence) for table in tables for row in table.rows)
    letters = [letter(place) for place in range(len(runs))]
    return SideBySide(
        runs=tuple(map(SideRun, letters, headers, _marks(headers))),
        tables=tuple(tables),
        obstacles=obstacles,
        settings=differing_settings(headers, told={found.name for found in obstacles}),
        notes=tuple(chain(_alone(by_workload, letters), _run_notes(dict(zip(letters, views, strict=True))))),
        busy=tuple(f"{name}: {view.busy}" for name, view in zip(letters, views, strict=True) if view.busy),
    )


def check_that_all_differ(headers: Sequence[Header]) -> None:
    """Raise UsageError where a run stands twice."""
    seen: set[str] = set()
    for header in headers:
        if header.run_id in seen:
            raise UsageError(f"run {header.run_id} is named twice", hint="name each run once; a copy is the same run")
        seen.add(header.run_id)


def letter(place: int) -> str:
    """What stands for a run in tables: A, B, ..., and numbers past Z."""
    return ascii_uppercase[place] if place < len(ascii_uppercase) else f"R{place + 1}"


Found = Sequence[WorkloadTable | None]
"""A workload's table in each run, None where it has none."""


def _joined(views: Sequence[RunView]) -> dict[str, list[WorkloadTable | None]]:
    """The tables of all runs by the workload's id, in the order in which they first come."""
    found: dict[str, list[WorkloadTable | None]] = {}
    for place, view in enumerate(views):
        for table in view.tables:
            name = table.rows[0].cells[0].workload
            found.setdefault(name, [None] * len(views))[place] = table
    return found


def _table(name: str, found: Found, only: Filter) -> SideTable:
    cells: dict[tuple[Phase, str], list[SideCell | None]] = {}
    phases = list(dict.fromkeys(phase for table in found if table is not None for phase in table.phases))
    for place, table in enumerate(found):
        for row, summary in _cells(table):
            if fits(summary, only):
                key = summary.phase, row.title
                cells.setdefault(key, [None] * len(found))[place] = SideCell(summary, summary.phase in row.fastest)
    label = next((label for table in found if table and (label := table.rows[0].cells[0].label)), "")
    ordered = sorted(cells, key=lambda key: phases.index(key[0]))  # stable: rows stay in the order of the plan
    return SideTable(
        title=f"{label}: {name}" if label else name,
        caption=_caption(found),
        devices=tuple(_device(table) for table in found),
        rows=tuple(SideRow(title, phase, tuple(cells[phase, title])) for phase, title in ordered),
    )


def _cells(table: WorkloadTable | None) -> Iterator[tuple[TableRow, RowSummary]]:
    for row in table.rows if table else ():
        yield from ((row, summary) for summary in row.cells)


def _caption(found: Found) -> str:
    """What speedups are over, and which clock they are of."""
    first = {place: table.rows[0].cells[0] for place, table in enumerate(found) if table is not None}
    names = {row.reference for row in first.values()}
    told = ", ".join(f"{row.reference} ({letter(place)})" for place, row in first.items())
    clock = next(iter(first.values())).clock
    return f"reference: {names.pop() if len(names) == 1 else told}; {clock} clock"


def _device(table: WorkloadTable | None) -> str:
    if table is None:
        return ""
    first = table.rows[0].cells[0]
    threads = f", {first.threads} thread{'s' if first.threads != 1 else ''}" if first.device == "cpu" else ""
    return f"{first.device_name or first.device}{threads}"


def _circumstances(row: SideRow, evidence: Sequence[Evidence]) -> list[Circumstances | None]:
    """Where each run measured a row."""
    found = zip(evidence, row.cells, strict=True)
    return [None if cell is None else Circumstances(known, cell.summary) for known, cell in found]


def _marks(headers: Sequence[Header]) -> list[tuple[str, ...]]:
    """For each run what is not the same in all: suite, versions, and when it was."""
    days = [header.created[:10] for header in headers]
    told = [
        [header.suite for header in headers],
        [f"torch {header.environment.versions.get('torch', '?')}" for header in headers],
        [f"lnbench {header.lnbench_version}" for header in headers],
        days if len(set(days)) == len(days) else [header.created[:16].replace("T", " ") for header in headers],
    ]
    differing = [values for values in told if len(set(values)) > 1]
    return [tuple(values[place] for values in differing) for place in range(len(headers))]


def _alone(by_workload: Mapping[str, Found], letters: Sequence[str]) -> Iterator[str]:
    """What only one run has."""
    for place, name in enumerate(letters):
        only = [
            workload
            for workload, found in by_workload.items()
            if [number for number, table in enumerate(found) if table is not None] == [place]
        ]
        if only:
            more = f" and {len(only) - MOST_NAMED} more" if len(only) > MOST_NAMED else ""
            yield f"only {name} planned {', '.join(only[:MOST_NAMED])}{more}"


def _run_notes(views: Mapping[str, RunView]) -> Iterator[str]:
    cut = [name for name, view in views.items() if not view.completed]
    if cut:
        yield f"{', '.join(cut)}: interrupted; what was measured before is shown"
    single = [name for name, view in views.items() if _most_processes(view) == 1]
    if single:
        yield f"{', '.join(single)}: one process; its intervals hold for that alone, and another one can differ"
    yield from (f"{name}: {notice.text}" for name, view in views.items() for notice in view.notices)


def _most_processes(view: RunView) -> int:
    return max((cell.processes for table in view.tables for _, cell in _cells(table)), default=0)
