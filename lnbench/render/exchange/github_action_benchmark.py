"""A run for benchmark-action/github-action-benchmark, `tool: customSmallerIsBetter`: time over the reference's time.

The action has one threshold for all values of a file, and holds each against that of an earlier commit, measured on
another machine at another hour. Absolute times differ by tens of percents there, so any threshold on them is a coin
flip: values are ratios from within the run, and times stand in `extra`, which its charts show beside a point. A row
without a ratio (the reference, what failed, and all where the reference did) has no entry. Its charts are good to look
at; whether something became slower is for `lnbench check` to say.

Source of the format: the action's README, "customSmallerIsBetter", and src/extract.ts (BenchmarkResult).
"""

from typing import Any

from lnbench.exported import Export, ExportedRow, RelativeTime
from lnbench.render.exchange.names import about, row_name, told_apart
from lnbench.render.json import json_text
from lnbench.render.outside import plain

UNIT = "time / reference time"
"""The same in every entry, because the action shows it in its comments without quotation."""

_DIGITS = 6
_QUOTING = str.maketrans({"`": "'", "|": "¦"})
"""The action's comments are markdown tables with names in backticks, which it does not escape."""


def render_entries(export: Export) -> str:
    """An array of {name, unit, value, range, extra}; the action refuses an empty one."""
    told = [(row, relative) for row in export.rows if (relative := row.relative_time) is not None]
    names = told_apart(_name(row) for row, _ in told)
    return json_text(
        [_entry(name, row, relative, busy=export.busy) for name, (row, relative) in zip(names, told, strict=True)]
    )


def _name(row: ExportedRow) -> str:
    """The ratio that the series shows; one over another reference is another series."""
    return f"{row_name(row)} / {plain(row.reference)}".translate(_QUOTING)


def _entry(name: str, row: ExportedRow, relative: RelativeTime, *, busy: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "unit": UNIT, "value": _rounded(relative.value)}
    if relative.low is not None and relative.high is not None:
        # "± number" in the value's own unit is what the action knows how to scale.
        entry["range"] = f"± {(relative.high - relative.low) / 2:.{_DIGITS}f}"
    return {**entry, "extra": "\n".join([*([plain(busy)] if busy else []), *about(row)])}


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
