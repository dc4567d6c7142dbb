"""Several runs beside each other as GitHub-flavoured markdown: a column a run."""

from collections.abc import Iterator

from lnbench.differing import grouped
from lnbench.render.busy import busy_quotes
from lnbench.render.cells import speedup_text, time_text
from lnbench.render.outside import markdown
from lnbench.render.side_by_side import NOTHING_SHARED, described, heading
from lnbench.side_by_side import NO_VERDICT, SideBySide, SideCell, SideRun, SideTable
from lnbench.view import HOW_TO_READ


def render_side_by_side(found: SideBySide) -> str:
    """What the runs are, a table per workload, what differs, and that it is no verdict."""
    letters = [run.letter for run in found.runs]
    lines = [f"# {len(found.runs)} runs side by side", "", *busy_quotes(found.busy)]
    lines += [
        *(f"- **{run.letter}** {markdown(described(run))}" for run in found.runs),
        "",
        f"> {NO_VERDICT}",
        "",
    ]
    lines += [*([] if found.tables else [NOTHING_SHARED, ""])]
    for table in found.tables:
        lines += [*_table(table, found.runs), ""]
    if found.tables:
        lines += [f"{HOW_TO_READ} **Bold**: fastest of its run, or tied; –: not planned.", ""]
    for title, differences in (
        ("Differs, so that no comparison would hold these rows to each other", found.obstacles),
        ("Differs too" if found.obstacles else "Differs", found.settings),
    ):
        if differences:
            lines += [f"## {title}", "", *(f"- {markdown(grouped(one, letters))}" for one in differences), ""]
    lines += [f"> {markdown(note)}\n" for note in found.notes]
    return "\n".join([*lines, ""])


def _table(table: SideTable, runs: tuple[SideRun, ...]) -> Iterator[str]:
    yield from (f"## {markdown(table.title)}", "", f"{markdown(table.caption)}.", "")
    heads = ["<br>".join(map(markdown, heading(table, run, place))) for place, run in enumerate(runs)]
    yield f"| {' | '.join(['implementation', 'phase', *heads])} |"
    yield f"| --- | --- |{' ---: |' * len(runs)}"
    for row in table.rows:
        yield f"| {' | '.join([markdown(row.title), markdown(row.phase), *map(_cell, row.cells)])} |"


def _cell(cell: SideCell | None) -> str:
    if cell is None:
        return "–"
    summary = cell.summary
    if summary.median_s is None:
        return f"*{summary.status}*"
    status = "" if summary.status == "ok" else f"({summary.status})"
    text = "<br>".join(filter(None, (time_text(summary), speedup_text(summary), status)))
    return f"**{text}**" if cell.is_fastest else text
