"""Several runs beside each other for the terminal, with rich: a column a run, or a line where there is no room."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.text import Text

from lnbench.differing import grouped
from lnbench.render.busy import terminal_lines
from lnbench.render.cells import short_speedup_text, speedup_text, time_text
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.side_by_side import NO_VERDICT, SideBySide, SideCell, SideRow, SideRun, SideTable
from lnbench.view import HOW_TO_READ
from lnbench.workload import Phase

Layout = Literal["side by side", "stacked", "short", "lines"]
_LAYOUTS: tuple[Layout, ...] = ("side by side", "stacked", "short", "lines")
_UNLIMITED = 10_000
_TITLE_WIDTH = 22
_HEADING_WIDTHS: dict[Layout, int] = {"side by side": 36, "stacked": 22, "short": 14, "lines": 22}

NOTHING_SHARED = "No workload stands in more than one of these runs."


def render_side_by_side(found: SideBySide) -> RenderableType:
    """What the runs are, a table per workload, what differs, and that it is no verdict."""
    parts: list[RenderableType] = [
        *terminal_lines(found.busy),
        _legend(found.runs),
        Text(NO_VERDICT, style="dim"),
        Text(),
    ]
    for table in found.tables:
        parts += [Text(plain(table.title), style="bold"), Text(plain(table.caption), style="dim")]
        parts += [_Responsive(table, found.runs), Text()]
    if not found.tables:
        parts += [Text(NOTHING_SHARED, style="yellow"), Text()]
    parts += _differences(found)
    parts += [Text(f"note: {plain(note)}", style="yellow") for note in found.notes]
    if found.tables:
        parts.append(Text(f"{HOW_TO_READ} *: fastest of its run, or tied; –: not planned.", style="dim"))
    return Group(*parts)


def described(run: SideRun) -> str:
    """A run in a line: its id, machine, versions, processes and date."""
    header, environment = run.header, run.header.environment
    cores = f"{environment.physical_cores} core{'s' if environment.physical_cores != 1 else ''}"
    gpus = ", ".join(gpu.name for gpu in environment.gpus)
    processes = f"{header.sampling.processes} process{'es' if header.sampling.processes != 1 else ''}"
    versions = f"torch {environment.versions.get('torch', '?')}, lnbench {header.lnbench_version}"
    machine = f"{environment.cpu}, {cores}{f', {gpus}' if gpus else ''}"
    return f"{header.run_id}: {machine}; {versions}; {processes}; {header.created[:16].replace('T', ' ')}"


def heading(table: SideTable, run: SideRun, place: int) -> tuple[str, ...]:
    """What stands above a run's column: its letter, the device unless all have the same, and what tells it apart."""
    device = table.devices[place]
    return (run.letter, *([device] if device and len(set(table.devices)) > 1 else []), *run.marks)


def _legend(runs: Sequence[SideRun]) -> RenderableType:
    legend = WholeTable.grid(padding=(0, 1))
    for run in runs:
        legend.add_row(Text(run.letter, style="bold"), Text(plain(described(run))))
    return legend


def _differences(found: SideBySide) -> Iterator[RenderableType]:
    letters = [run.letter for run in found.runs]
    if found.obstacles:
        yield Text("differs, so that no comparison would hold these rows to each other:", style="yellow")
        yield from (Text(f"  {plain(grouped(difference, letters))}") for difference in found.obstacles)
    if found.settings:
        yield Text("differs too:" if found.obstacles else "differs:", style="dim")
        yield from (Text(f"  {plain(grouped(difference, letters))}", style="dim") for difference in found.settings)
    if not found.obstacles and not found.settings:
        yield Text("Machine, versions and settings are the same.", style="dim")


@dataclass(frozen=True, slots=True)
class _Responsive:
    """A table in the first layout that fits the width; the last one fits any."""

    table: SideTable
    runs: tuple[SideRun, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for layout in _LAYOUTS:
            built = _lines(self.table, self.runs) if layout == "lines" else _columns(self.table, self.runs, layout)
            needed = Measurement.get(console, options.update_width(_UNLIMITED), built).maximum
            if needed <= options.max_width:
                break
        yield built


def _columns(table: SideTable, runs: Sequence[SideRun], layout: Layout) -> WholeTable:
    grid = _grid(layout)
    texts = (_time_and_speedup(cell)[0] for row in table.rows for cell in row.cells)
    time_width = max((len(text) for text in texts), default=0) if layout == "side by side" else 0
    for place, run in enumerate(runs):
        lines = [line for part in heading(table, run, place) for line in _wrapped(plain(part), _HEADING_WIDTHS[layout])]
        grid.add_column("\n".join(lines), justify="left" if layout == "side by side" else "right", no_wrap=True)
    for phase, rows in _by_phase(table):
        grid.add_row(Text(phase.value, style="italic"), *("" for _ in runs))
        for row in rows:
            grid.add_row(f"  {plain(row.title)}", *(_cell(cell, layout, time_width=time_width) for cell in row.cells))
    return grid


def _lines(table: SideTable, runs: Sequence[SideRun]) -> WholeTable:
    grid = _grid("lines")
    grid.add_column("run")
    grid.add_column("time", no_wrap=True)
    grid.add_column("speedup", no_wrap=True)
    for phase, rows in _by_phase(table):
        grid.add_row(Text(phase.value, style="italic"), "", "", "")
        for row in rows:
            for place, (run, cell) in enumerate(zip(runs, row.cells, strict=True)):
                title = f"  {plain(row.title)}" if not place else ""
                grid.add_row(title, run.letter, *_time_and_speedup(cell))
    return grid


def _grid(layout: Layout) -> WholeTable:
    grid = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column("implementation", overflow="fold", max_width=None if layout == "side by side" else _TITLE_WIDTH)
    return grid


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]


def _by_phase(table: SideTable) -> Iterator[tuple[Phase, list[SideRow]]]:
    for phase in table.phases:
        yield phase, [row for row in table.rows if row.phase is phase]


def _cell(cell: SideCell | None, layout: Layout, *, time_width: int) -> Text:
    time, speedup = _time_and_speedup(cell, short=layout == "short")
    if not speedup.plain:
        return time
    gap = " " if layout == "side by side" else "\n"
    return Text(f"{time.plain:<{time_width}}{gap}{speedup.plain}", style=time.style)


def _time_and_speedup(cell: SideCell | None, *, short: bool = False) -> tuple[Text, Text]:
    """Both as text; where there is no time the status stands in the first."""
    if cell is None:
        return Text("–", style="dim"), Text()
    summary = cell.summary
    if summary.median_s is None:
        return Text(summary.status.value, style="red" if summary.status.is_failure else "dim"), Text()
    speedup = short_speedup_text(summary) if short else speedup_text(summary)
    status = "" if summary.status == "ok" else f" {summary.status}"
    style = "bold green" if cell.is_fastest else ""
    marked = f"* {speedup}" if cell.is_fastest else speedup
    return Text(time_text(summary), style=style), Text(f"{marked}{status}", style=style)
