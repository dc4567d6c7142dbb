"""A run for the terminal, with rich: the widest of three layouts that fits."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.text import Text

from lnbench.cost_tables import TIME, CostTable, cost_table
from lnbench.relative_speed import relative_speeds
from lnbench.render.bars import bar_text
from lnbench.render.busy import terminal_lines
from lnbench.render.cells import short_speedup_text, speedup_text, time_text
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.row_summary import RowSummary
from lnbench.view import HOW_TO_READ, RunView, TableRow, WorkloadTable, fastest_legend
from lnbench.workload import Phase, main_phase

Layout = Literal["side by side", "stacked", "short"]
_LAYOUTS: tuple[Layout, ...] = ("side by side", "stacked", "short")
_UNLIMITED = 10_000
_HEADING_WIDTH = 8
_LEAST_TITLE_WIDTH = 10
_TITLE_WIDTH = 22
"""Longer names are broken where cells have two lines anyway."""
_LEAST_BAR_WIDTH = 8
_MOST_BAR_WIDTH = 24
"""A shorter bar tells too little, a longer one no more: an eighth of a letter is then half a percent."""


def render_run(view: RunView, groups: Sequence[str] = (TIME,), summary: Sequence[str] = ()) -> RenderableType:
    """All tables of a run, under a line about a busy machine; what was noticed, how to read it, what it comes to.

    `groups`: of columns, by the names that `--columns` takes. `summary`: in sentences.
    """
    parts: list[RenderableType] = [*terminal_lines([view.busy])]
    for table in view.tables:
        if TIME in groups:
            parts += [render_workload(table), Text()]
        else:
            parts.append(Text(plain(table.title), style="bold"))
        for name in groups:
            if name != TIME:
                parts += [_render_costs(cost_table(table, name)), Text()]
    parts += [Text(f"note: {plain(notice.text)}", style="yellow") for notice in view.notices]
    if not view.completed:
        parts.append(Text("The run was interrupted: what was measured before is shown.", style="yellow"))
    parts.append(Text(HOW_TO_READ if TIME in groups else "", style="dim"))
    if summary:
        parts += [Text(), *(Text(plain(sentence)) for sentence in summary)]
    return Group(*parts)


def render_workload(table: WorkloadTable) -> RenderableType:
    """One workload: title, caption, table, footnotes."""
    parts: list[RenderableType] = [Text(plain(table.title), style="bold")]
    parts += [Text(plain(line), style="dim") for line in table.caption]
    parts.append(_Responsive(table))
    notes = WholeTable.grid(padding=(0, 1))
    if any(row.fastest for row in table.rows):
        notes.add_row(Text("*"), Text(fastest_legend(table)))
    for number, text in enumerate(table.footnotes, start=1):
        notes.add_row(Text(f"[{number}]"), Text(plain(text)))
    if notes.row_count:
        parts.append(notes)
    return Group(*parts)


def _render_costs(table: CostTable) -> RenderableType:
    """One group of columns of a workload."""
    title = Text(table.title, style="bold")
    if not table.rows:
        return Group(title, Text(plain(table.note), style="dim"))
    grid = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in table.headings:
        is_text = heading in {"implementation", "phase", "bound", "limited by", "throttling"}
        stacked = "\n".join(textwrap.wrap(heading, _HEADING_WIDTH, break_long_words=False))
        grid.add_column(
            stacked,
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=heading not in {"implementation", "limited by", "throttling"},
            min_width=_LEAST_TITLE_WIDTH if heading == "implementation" else None,
        )
    for row in table.rows:
        grid.add_row(*(Text(plain(text)) for text in row))
    notes = [Text(plain(table.note), style="dim")] if table.note else []
    return Group(title, grid, *notes)


@dataclass(frozen=True, slots=True)
class _Responsive:
    """A table that takes the first layout that fits the width it is shown in, the last one where none does.

    Where room is left, a bar beside the main phase shows the speed of each row; the longest one is the fastest.
    """

    table: WorkloadTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for layout in _LAYOUTS:
            built = _grid(self.table, layout)
            room = options.max_width - Measurement.get(console, options.update_width(_UNLIMITED), built).maximum
            if room >= 0:
                break
        bar_width = min(room - (1 if layout == "short" else 2), _MOST_BAR_WIDTH)
        speeds = relative_speeds(self.table)
        if bar_width >= _LEAST_BAR_WIDTH and any(speeds):
            bars = tuple(
                "" if speed is None else bar_text(speed, bar_width, ascii_only=options.ascii_only) for speed in speeds
            )
            built = _grid(self.table, layout, bars=bars)
        yield built


def _grid(table: WorkloadTable, layout: Layout, *, bars: Sequence[str] = ()) -> WholeTable:
    short = layout == "short"
    grid = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0) if short else (0, 1, 0, 0))
    grid.add_column("implementation", overflow="fold", max_width=None if layout == "side by side" else _TITLE_WIDTH)
    with_bar = main_phase(table.phases) if bars else None
    for phase in table.phases:
        name = phase.value.replace("_", "_\n") if short else phase.value
        grid.add_column(name, justify="left" if layout == "side by side" else "right", no_wrap=True)
        if phase is with_bar:
            grid.add_column("speed", no_wrap=True)
    for number, row in enumerate(table.rows):
        grid.add_row(_title(row), *_cells(row, layout=layout, with_bar=with_bar, bar=bars[number] if bars else ""))
    return grid


def _cells(row: TableRow, *, layout: Layout, with_bar: Phase | None, bar: str) -> Iterator[Text]:
    for summary in row.cells:
        yield _cell(row, summary, layout=layout)
        if summary.phase is with_bar:
            yield Text(bar, style="green" if summary.phase in row.fastest else "bright_black")


def _title(row: TableRow) -> Text:
    title = Text(plain(row.title))
    if row.status.has_times and row.status != "ok":
        title.append(f" {row.status}", style="yellow")
    if row.footnotes:
        title.append(f" [{','.join(map(str, row.footnotes))}]", style="dim")
    return title


def _cell(row: TableRow, summary: RowSummary, *, layout: Layout) -> Text:
    if summary.median_s is None:
        return Text(summary.status.value, style="red" if summary.status.is_failure else "dim")
    speedup = short_speedup_text(summary) if layout == "short" else speedup_text(summary)
    is_fastest = summary.phase in row.fastest
    marked = f"* {speedup}" if is_fastest else speedup
    style = "bold green" if is_fastest else ""
    if layout == "side by side":
        return Text(f"{time_text(summary):<13} {marked}".rstrip(), style=style)
    return Text(f"{time_text(summary)}\n{marked}", style=style)
