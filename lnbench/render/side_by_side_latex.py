"""Several runs beside each other as LaTeX: a booktabs table per workload and phase, a column a run."""

from collections.abc import Iterator

from lnbench.render.cells import speedup_text, time_in_unit_text
from lnbench.render.latex import (
    HOW_TO_READ,
    figures,
    fresh_label,
    preamble,
    row_line,
    sentence,
    small,
    spaced,
    table_lines,
)
from lnbench.render.outside import latex
from lnbench.render.side_by_side import described
from lnbench.side_by_side import SideBySide, SideCell, SideRow, SideTable
from lnbench.units import time_unit
from lnbench.workload import Phase

NO_VERDICT = (
    "Columns are different runs: speedups, ratios from within a run, can be held beside each other; times differ by "
    "machine, versions, hour and process too."
)


def render_side_by_side(found: SideBySide) -> str:
    """A table per phase of each workload that more than one run has; what the letters mean stands in its notes."""
    lines = list(preamble([run.header for run in found.runs], busy=found.busy))
    labels: set[str] = set()
    for table in found.tables:
        for phase in table.phases:
            label = fresh_label(f"{table.title} {phase}", labels)
            lines += ["", *_table(found, table, phase, label=label)]
    return "\n".join([*lines, ""])


def _table(found: SideBySide, table: SideTable, phase: Phase, *, label: str) -> Iterator[str]:
    rows = [row for row in table.rows if row.phase is phase]
    cells = [cell for row in rows for cell in row.cells if cell is not None]
    times = [cell.summary.median_s for cell in cells if cell.summary.median_s is not None]
    unit_s, unit = time_unit(min(times, default=1e-6))
    bold = " Bold: fastest of its run, or tied with it." if any(cell.is_fastest for cell in cells) else ""
    title = latex(f"{phase}, {table.title}")
    yield from table_lines(
        caption=f"{title}. {sentence(table.caption)} {NO_VERDICT} {HOW_TO_READ}{bold}",
        label=label,
        heads=(f"time in {latex(unit)}", *(run.letter for run in found.runs)),
        body=spaced(_row(row, unit_s=unit_s) for row in rows),
        notes=(
            *(f"{run.letter}: {latex(described(run))}" for run in found.runs),
            *(latex(line) for line in found.busy),
        ),
    )


def _row(row: SideRow, *, unit_s: float) -> Iterator[str]:
    yield row_line([latex(row.title), *(_time(cell, unit_s) for cell in row.cells)])
    speedups = [_bold(cell, figures(speedup_text(cell.summary))) if cell is not None else "" for cell in row.cells]
    if any(speedups):
        yield row_line(["", *map(small, speedups)])


def _time(cell: SideCell | None, unit_s: float) -> str:
    if cell is None:
        return latex("–")
    if cell.summary.median_s is None:
        return rf"\emph{{{cell.summary.status}}}"
    return _bold(cell, figures(time_in_unit_text(cell.summary, unit_s)))


def _bold(cell: SideCell, text: str) -> str:
    return rf"\textbf{{{text}}}" if text and cell.is_fastest else text
