"""A run as LaTeX: a booktabs table per workload, to be read into a paper with \\input."""

import re
from collections.abc import Iterable, Iterator, Sequence

from lnbench.record import Header
from lnbench.render.cells import speedup_text, time_in_unit_text
from lnbench.render.outside import latex, plain
from lnbench.row_summary import RowSummary
from lnbench.units import time_unit
from lnbench.view import RunView, TableRow, WorkloadTable, fastest_legend

HOW_TO_READ = (
    r"Times are medians with half the width of their 95\,\% intervals. Below them: speedups (reference time / time, "
    r"from turns taken in the same rounds; above 1 is faster) with their 95\,\% intervals."
)
"""What a caption says of every table."""

INTERRUPTED = "The run was interrupted: what was measured before is shown."


def render_tables(view: RunView) -> str:
    """A table per workload, with caption, label and notes; one that is wider than the text is scaled down to it.

    Rows are implementations, columns phases; what is fastest, or tied with it, is bold.
    """
    lines = list(preamble([view.header], busy=[view.busy]))
    labels: set[str] = set()
    for table in view.tables:
        label = fresh_label(table.title, labels)
        lines += ["", *_table(table, completed=view.completed, label=label, busy=view.busy)]
    return "\n".join([*lines, ""])


def preamble(headers: Iterable[Header], *, busy: Iterable[str] = ()) -> Iterator[str]:
    """The comment that says what the file is and what it needs. `busy`: a line for each run whose machine was busy."""
    yield from (plain(f"% {line}") for line in busy if line)
    for header in headers:
        yield plain(f"% {header.run_id}, suite {header.suite}, lnbench {header.lnbench_version}")
    yield r"% Needs in the preamble: \usepackage{booktabs,graphicx}. Across two columns of text: table* for table."


def table_lines(
    *, caption: str, label: str, heads: Sequence[str], body: Iterable[str], notes: Iterable[str]
) -> Iterator[str]:
    """A float around a tabular; everything is LaTeX already. The first column stands left, all others right."""
    yield from (r"\begin{table}[htbp]", r"\centering", rf"\caption{{{caption}}}", rf"\label{{{label}}}")
    yield from (r"\par\smallskip", r"\footnotesize", r"\setlength{\tabcolsep}{3pt}")
    yield r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    yield rf"\begin{{tabular}}{{@{{}}l{'r' * (len(heads) - 1)}@{{}}}}"
    yield from (r"\toprule", row_line(heads), r"\midrule")
    yield from body
    yield from (r"\bottomrule", r"\end{tabular}}")
    told = list(notes)
    if told:
        yield from (r"\par\smallskip", r"\begin{minipage}{\linewidth}\scriptsize\raggedright")
        yield from (rf"{note}\par" for note in told)
        yield r"\end{minipage}"
    yield r"\end{table}"


def row_line(cells: Iterable[str]) -> str:
    """One row of a tabular."""
    return rf"{' & '.join(cells)} \\"


def spaced(groups: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of groups of rows, with a little space between the groups."""
    for number, group in enumerate(groups):
        yield from [r"\addlinespace[2pt]"] if number else []
        yield from group


def small(text: str) -> str:
    """A second line of a cell; empty stays empty."""
    return rf"{{\scriptsize {text}}}" if text else ""


def figures(text: str) -> str:
    """Our own figures, as cells for people have them."""
    return text.replace(" %", r"\,\%").replace("±", r"$\pm$")


def sentence(text: str) -> str:
    """A line of a caption as a sentence."""
    return f"{latex(text[:1].upper() + text[1:])}."


def fresh_label(title: str, taken: set[str]) -> str:
    """A label from a workload's id, the last part of its title: of plain letters, and none of those taken so far."""
    word = re.sub(r"[^a-z0-9]+", "-", title.rpartition(": ")[2].lower()).strip("-") or "workload"
    first = found = f"tab:lnbench-{word}"
    while found in taken:
        found = f"{first}-{len(taken)}"
    taken.add(found)
    return found


def _table(table: WorkloadTable, *, completed: bool, label: str, busy: str) -> Iterator[str]:
    times = [cell.median_s for row in table.rows for cell in row.cells if cell.median_s is not None]
    unit_s, unit = time_unit(min(times, default=1e-6))
    told = [f"{latex(table.title)}.", *map(sentence, table.caption), *([] if completed else [INTERRUPTED]), HOW_TO_READ]
    if busy:
        told.append(sentence(busy))
    if any(row.fastest for row in table.rows):
        told.append(sentence(f"bold: {fastest_legend(table)}"))
    yield from table_lines(
        caption=" ".join(told),
        label=label,
        heads=(f"time in {latex(unit)}", *(latex(phase.value) for phase in table.phases)),
        body=spaced(_row_lines(row, unit_s=unit_s) for row in table.rows),
        notes=(rf"\textsuperscript{{{number}}}{latex(text)}" for number, text in enumerate(table.footnotes, start=1)),
    )


def _row_lines(row: TableRow, *, unit_s: float) -> Iterator[str]:
    """Times, and below them speedups; the mode of the norm stands below its name, where there is a second line."""
    speedups = [_bold(row, cell, figures(speedup_text(cell))) for cell in row.cells]
    mode = row.cells[0].norm_mode if any(speedups) else ""
    title = row.cells[0].implementation if mode else row.title
    yield row_line([_title(row, title), *(_time(row, cell, unit_s=unit_s) for cell in row.cells)])
    if any(speedups):
        yield row_line([small(f"({latex(mode)})" if mode else ""), *map(small, speedups)])


def _title(row: TableRow, title: str) -> str:
    status = f" ({row.status})" if row.status.has_times and row.status != "ok" else ""
    numbers = rf"\textsuperscript{{{','.join(map(str, row.footnotes))}}}" if row.footnotes else ""
    return f"{latex(title)}{status}{numbers}"


def _time(row: TableRow, cell: RowSummary, *, unit_s: float) -> str:
    if cell.median_s is None:
        return rf"\emph{{{cell.status}}}"
    return _bold(row, cell, figures(time_in_unit_text(cell, unit_s)))


def _bold(row: TableRow, cell: RowSummary, text: str) -> str:
    return rf"\textbf{{{text}}}" if text and cell.phase in row.fastest else text
