"""A comparison for the terminal, with rich: what came out first, then changed rows, then all others in short."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.text import Text

from lnbench.compared import ComparedRow, Comparison, GroupMean
from lnbench.decision import Decision
from lnbench.errors import ExitCode
from lnbench.render.busy import terminal_lines
from lnbench.render.comparison_cells import (
    HOW_TO_READ,
    change_text,
    groups_of_rows,
    interval_text,
    times_text,
    told_reasons,
    verdict_line,
)
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.verdict import Verdict

STYLES = {
    Verdict.SLOWER: "bold red",
    Verdict.FASTER: "green",
    Verdict.SAME: "dim",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_COMPARABLE: "magenta",
    Verdict.MISSING: "magenta",
}


_UNLIMITED = 10_000


def render_comparison(comparison: Comparison, decision: Decision | None = None) -> RenderableType:
    """The headline, a table of rows by workload, geometric means, what differs, and how to read it."""
    parts: list[RenderableType] = [*terminal_lines(comparison.busy), *_headline(comparison, decision)]
    parts.append(Text(plain(f"base: {comparison.base}; head: {comparison.head}"), style="dim"))
    if comparison.rows:
        parts += [Text(), _Rows(tuple(groups_of_rows(comparison.rows)))]
    reasons = told_reasons(comparison.rows)
    if reasons:
        parts += [Text(), _reasons(reasons)]
    if comparison.groups:
        parts += [Text(), _groups(comparison.groups)]
    if comparison.differences:
        parts += [Text(), _differences(comparison)]
    parts += [Text(f"note: {plain(note)}", style="yellow") for note in comparison.notes]
    return Group(*parts, Text(HOW_TO_READ, style="dim"))


def _headline(comparison: Comparison, decision: Decision | None) -> Iterator[Text]:
    if decision is None:
        yield Text(verdict_line(comparison), style="bold")
        return
    style = {ExitCode.FINE: "bold green", ExitCode.REGRESSION: "bold red"}.get(decision.exit_code, "bold yellow")
    yield Text(plain(decision.headline), style=style)
    for _, text in decision.findings:
        if text != decision.headline:
            yield Text(plain(text), style="yellow")
    if decision.exit_code is not ExitCode.FINE:
        yield Text(verdict_line(comparison), style="dim")


@dataclass(frozen=True, slots=True)
class _Rows:
    """The table of rows; in a narrow terminal without the times, which decide nothing."""

    rows: tuple[tuple[str, Sequence[ComparedRow]], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        whole = _rows(self.rows, with_times=True)
        needed = Measurement.get(console, options.update_width(_UNLIMITED), whole).maximum
        yield whole if needed <= options.max_width else _rows(self.rows, with_times=False)


def _rows(rows: Iterable[tuple[str, Sequence[ComparedRow]]], *, with_times: bool) -> WholeTable:
    table = _table("row", "verdict", "change", "95 % interval", *(["base → head"] if with_times else []))
    for workload, found in rows:
        table.add_row(Text(plain(workload), style="bold"))
        for row in found:
            style = STYLES[row.verdict]
            table.add_row(
                Text(f"  {plain(row.title)} {row.phase}"),
                Text(row.verdict.value, style=style),
                Text(change_text(row.slowdown), style=style),
                Text(interval_text(row.slowdown_low, row.slowdown_high)),
                *([Text(times_text(row))] if with_times else []),
            )
    return table


def _reasons(reasons: Iterable[tuple[Verdict, str, str]]) -> RenderableType:
    """Why rows stay open."""
    lines = []
    for verdict, reason, names in reasons:
        line = Text(f"{verdict}: ", style=STYLES[verdict])
        line.append(plain(f"{names}: {reason}"), style="default")
        lines.append(line)
    return Group(*lines)


def _groups(groups: Sequence[GroupMean]) -> WholeTable:
    table = _table("geometric mean", "phase", "rows", "change", "95 % interval")
    for group in groups:
        table.add_row(
            Text(plain(group.title)),
            group.phase,
            str(group.rows),
            change_text(group.slowdown),
            Text(interval_text(group.slowdown_low, group.slowdown_high)),
        )
    return table


def _differences(comparison: Comparison) -> WholeTable:
    table = _table("differs", "base", "head")
    for difference in comparison.differences:
        table.add_row(*(Text(plain(value) or "none") for value in difference))
    return table


def _table(*heads: str) -> WholeTable:
    table = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    return table
