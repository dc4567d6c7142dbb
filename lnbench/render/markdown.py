"""report.md: a run as GitHub-flavoured markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from lnbench.analysis.recommend import Recommendation
from lnbench.cost_tables import GROUPS, CostTable, cost_table
from lnbench.render.busy import busy_quotes
from lnbench.render.cells import speedup_text, time_text
from lnbench.render.facts import machine_facts, measuring_facts
from lnbench.render.outside import markdown
from lnbench.render.recommendation import markdown_lines
from lnbench.row_summary import RowSummary
from lnbench.view import HOW_TO_READ, RunView, TableRow, WorkloadTable, fastest_legend

LONG = 6
"""From so many workloads on, a list of links to them stands before them."""


@dataclass(frozen=True, slots=True)
class PlotFile:
    """A plot that stands beside the report: its title, its path from there, and what it shows, for those who read."""

    title: str
    path: str
    alternative: str


def render_report(
    view: RunView,
    recommendations: Sequence[Recommendation] = (),
    plots: Sequence[PlotFile] = (),
    *,
    left_out: Sequence[str] = (),
) -> str:
    """The whole report: what to use, plots, the machine, a table per workload, and how it was measured."""
    header = view.header
    lines = [f"# {markdown(header.suite)}", ""]
    if header.description:
        lines += [markdown(" ".join(header.description.split())), ""]
    lines += busy_quotes([view.busy])
    if not view.completed:
        lines += ["**The run was interrupted:** what was measured before is shown.", ""]
    if recommendations:
        lines += ["## What to use", "", *markdown_lines(recommendations)]
    if plots or left_out:
        lines += ["## Plots", "", *(line for plot in plots for line in _plot(plot))]
        lines += [line for why in left_out for line in (markdown(f"Left out: {why}."), "")]
    lines += ["## Results", "", HOW_TO_READ, "", *_contents(view.tables)]
    for number, table in enumerate(view.tables, start=1):
        if len(view.tables) > LONG:
            lines += [f'<a id="workload-{number}"></a>', ""]
        lines += [*_workload(table), ""]
    lines += ["## Machine", "", *_bullets(f"{name}: {markdown(value)}" for name, value in machine_facts(header)), ""]
    lines += ["## How it was measured", "", *_bullets(map(markdown, measuring_facts(view))), ""]
    lines += ["## Files", "", *_bullets(_FILES), ""]
    return "\n".join(lines)


def _contents(tables: Sequence[WorkloadTable]) -> Iterator[str]:
    """Links to the workloads, where they are many; to anchors of their own, since forges name headings differently."""
    if len(tables) > LONG:
        yield from (f"- [{markdown(table.title)}](#workload-{number})" for number, table in enumerate(tables, start=1))
        yield ""


def _plot(plot: PlotFile) -> Iterator[str]:
    yield from (f"### {markdown(plot.title)}", "")
    yield from (f"![{markdown(plot.alternative)}]({quote(plot.path)})", "")


_FILES = (
    "`run.jsonl`: the journal, every raw sample; all else is made from it",
    "`results.csv`: one row per case, phase and clock, in seconds and bytes",
    "`report.md`: this file",
)


def _workload(table: WorkloadTable) -> Iterator[str]:
    yield from (f"### {markdown(table.title)}", "")
    yield from (f"{markdown('; '.join(table.caption))}.", "")
    heads = ("implementation", *(markdown(phase.value) for phase in table.phases))
    yield from _table(heads, ((_title(row), *(_cell(row, summary) for summary in row.cells)) for row in table.rows))
    if any(row.fastest for row in table.rows):
        yield from ("", f"**Bold**: {markdown(fastest_legend(table))}.")
    if table.footnotes:
        yield ""
        yield from (f"{number}. {markdown(text)}" for number, text in enumerate(table.footnotes, start=1))
    for name in GROUPS:
        yield from _costs(cost_table(table, name))


def _costs(table: CostTable) -> Iterator[str]:
    """A group of columns, folded; nothing where nothing was measured."""
    if not table.rows:
        return
    yield from ("", f"<details><summary>{table.title}</summary>", "")
    yield from _table(table.headings, ([markdown(text) for text in row] for row in table.rows))
    if table.note:
        yield from ("", markdown(table.note))
    yield from ("", "</details>")


def _title(row: TableRow) -> str:
    title = markdown(row.title)
    if row.status.has_times and row.status != "ok":
        title += f" ({row.status})"
    return title + (f" <sup>{', '.join(map(str, row.footnotes))}</sup>" if row.footnotes else "")


def _cell(row: TableRow, summary: RowSummary) -> str:
    if summary.median_s is None:
        return f"*{summary.status}*"
    text = "<br>".join(filter(None, (time_text(summary), speedup_text(summary))))
    return f"**{text}**" if summary.phase in row.fastest else text


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---', *('---:' for _ in heads[1:])])} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    return (f"- {line}" for line in lines)
