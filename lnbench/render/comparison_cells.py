"""What comparisons say in every output for people: the words of a row, and the order in which rows stand."""

from collections.abc import Iterable, Mapping, Sequence

from lnbench.compared import ComparedRow, Comparison
from lnbench.units import format_change, format_change_interval, format_seconds
from lnbench.verdict import Verdict

HOW_TO_READ = (
    "Change: how much longer head takes than base, above 0 is slower; from ratios of things that took turns, never "
    "from times of two runs. Slower and faster take evidence (the interval holds no 0) and size (more than the margin)."
)
"""What every comparison needs to be understood."""

MOST_NAMED = 2

_WEIGHT: Mapping[Verdict, int] = {
    Verdict.SLOWER: 0,
    Verdict.MISSING: 1,
    Verdict.NOT_COMPARABLE: 2,
    Verdict.INCONCLUSIVE: 3,
    Verdict.FASTER: 4,
    Verdict.SAME: 5,
}


def groups_of_rows(rows: Sequence[ComparedRow]) -> list[tuple[str, Sequence[ComparedRow]]]:
    """Rows by workload in the order of the plan; workloads with something to look at come first."""
    found: dict[str, list[ComparedRow]] = {}
    for row in rows:
        name = f"{row.label}: {row.workload}" if row.label else row.workload
        found.setdefault(name, []).append(row)
    return sorted(found.items(), key=lambda item: min(_WEIGHT[row.verdict] for row in item[1]))


def told_reasons(rows: Iterable[ComparedRow]) -> list[tuple[Verdict, str, str]]:
    """Each reason why rows are not simply slower, faster or the same, with its verdict and the rows it holds for."""
    found: dict[tuple[Verdict, str], list[ComparedRow]] = {}
    for row in rows:
        if not row.verdict.is_decided or row.confirmed is False:
            found.setdefault((row.verdict, row.reason), []).append(row)
    ordered = sorted(found.items(), key=lambda item: _WEIGHT[item[0][0]])
    return [(verdict, reason, _names(named)) for (verdict, reason), named in ordered]


def _names(rows: Sequence[ComparedRow]) -> str:
    """Two rows by name, more by their number and the names of their implementations."""
    if len(rows) <= MOST_NAMED:
        return ", ".join(f"{row.title} {row.phase} on {row.workload}" for row in rows)
    return f"{len(rows)} rows of {', '.join(dict.fromkeys(row.title for row in rows))}"


def reading(row: ComparedRow) -> str:
    """The change with its interval and the reason, in one line: `+5.1 % [+4.2, +6.0] %: more than ...`."""
    read = f"{change_text(row.slowdown)} {interval_text(row.slowdown_low, row.slowdown_high)}".strip()
    return f"{read}: {row.reason}" if read else row.reason


def opened(rows: Iterable[ComparedRow]) -> list[ComparedRow]:
    """The rows whose reason is worth a line, the weightiest first: all but those that simply read the same."""
    told = (row for row in rows if row.verdict is not Verdict.SAME or row.confirmed is not None)
    return sorted(told, key=lambda row: _WEIGHT[row.verdict])


def verdict_line(comparison: Comparison) -> str:
    """How many rows there are of each verdict."""
    told = [f"{count} {verdict}" for verdict, count in comparison.counts.items() if count]
    return f"{len(comparison.rows)} row{'s' if len(comparison.rows) != 1 else ''}: {', '.join(told) or 'none compared'}"


def change_text(slowdown: float | None) -> str:
    """`+5.1 %`; empty where nothing was compared."""
    return "" if slowdown is None else format_change(slowdown)


def interval_text(low: float | None, high: float | None) -> str:
    """`[+4.2, +6.0] %`; empty where it is not known."""
    return "" if low is None or high is None else format_change_interval(low, high)


def times_text(row: ComparedRow) -> str:
    """Both medians, for orientation; they decide nothing."""
    before, now = (
        "–" if time_s is None else format_seconds(time_s, digits=3) for time_s in (row.base_median_s, row.head_median_s)
    )
    return f"{before} → {now}"
