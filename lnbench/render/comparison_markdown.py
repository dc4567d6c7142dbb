"""A comparison as markdown, made to be pasted into a pull request: what came out first, all that is plain folded."""

from collections.abc import Iterable, Iterator, Sequence

from lnbench.compared import ComparedRow, Comparison
from lnbench.decision import Decision
from lnbench.errors import ExitCode
from lnbench.render.busy import busy_quotes
from lnbench.render.comparison_cells import HOW_TO_READ, change_text, interval_text, opened, times_text, verdict_line
from lnbench.render.outside import markdown
from lnbench.verdict import Verdict

_MARKS = {ExitCode.FINE: "✅", ExitCode.REGRESSION: "❌"}
_UNDECIDED = "⚠️"


def render_comparison(comparison: Comparison, decision: Decision | None = None, *, level: int = 2) -> str:
    """The whole comparison; `level` is that of its heading."""
    lines = [f"{'#' * level} {_headline(comparison, decision)}", "", *busy_quotes(comparison.busy)]
    if decision is not None:
        lines += [f"- {markdown(text)}" for _, text in decision.findings if text != decision.headline]
    lines += [f"- base: {markdown(comparison.base)}; head: {markdown(comparison.head)}", ""]
    changed = [
        row for row in opened(comparison.rows) if row.verdict is not Verdict.INCONCLUSIVE or row.confirmed is False
    ]
    rest = [row for row in comparison.rows if row not in changed]
    if changed:
        lines += [*_rows(changed), ""]
    if rest:
        lines += [
            *_folded(
                f"{len(rest)} other rows, same or inconclusive" if changed else verdict_line(comparison), _rows(rest)
            ),
            "",
        ]
    if comparison.groups:
        table = _table(
            ("geometric mean", "phase", "rows", "change", "95 % interval"),
            (
                (
                    markdown(group.title),
                    markdown(group.phase),
                    str(group.rows),
                    change_text(group.slowdown),
                    interval_text(group.slowdown_low, group.slowdown_high),
                )
                for group in comparison.groups
            ),
        )
        lines += [*_folded("Geometric means over all workloads", table), ""]
    if comparison.differences:
        differences = ([markdown(value) or "none" for value in difference] for difference in comparison.differences)
        lines += [*_folded("What differs between base and head", _table(("what", "base", "head"), differences)), ""]
    lines += [f"> {markdown(note)}\n" for note in comparison.notes]
    return "\n".join([*lines, HOW_TO_READ, ""])


def _headline(comparison: Comparison, decision: Decision | None) -> str:
    if decision is None:
        return markdown(verdict_line(comparison))
    return f"{_MARKS.get(decision.exit_code, _UNDECIDED)} {markdown(decision.headline)}"


def _rows(rows: Sequence[ComparedRow]) -> Iterator[str]:
    return _table(
        ("row", "verdict", "change", "95 % interval", "base → head", "why"),
        (
            (
                f"{markdown(row.title)} {markdown(row.phase)}<br>{markdown(row.workload)}",
                f"**{row.verdict}**" if row.verdict in {Verdict.SLOWER, Verdict.FASTER} else str(row.verdict),
                change_text(row.slowdown),
                interval_text(row.slowdown_low, row.slowdown_high),
                times_text(row),
                markdown(row.reason),
            )
            for row in rows
        ),
    )


def _folded(summary: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"<details><summary>{markdown(summary)}</summary>", "")
    yield from lines
    yield from ("", "</details>")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
