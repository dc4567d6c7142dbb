"""A run in Bencher Metric Format, which `bencher run --adapter json` takes: benchmarks with their measures.

`latency` is Bencher's own measure, in nanoseconds. `time-over-reference` (a ratio from within the run) and
`peak-memory` (bytes) are made in a project when they are first seen. A threshold belongs on the last two: latency is
another one on another machine and at another hour.

Source of the format: bencher.dev/docs/reference/bencher-metric-format, and bencher.dev/bmf.json.
"""

from collections.abc import Iterator
from typing import Any

from lnbench.exported import Export, ExportedRow
from lnbench.render.exchange.names import row_name, told_apart, within_bytes
from lnbench.render.json import json_text

_MOST_NAME_BYTES = 1000
"""Bencher takes 1024 bytes; some stay free for the number of a name that stands twice."""

_NS = 1e9


def render_metrics(export: Export) -> str:
    """An object of benchmarks by name, each an object of measures by slug."""
    names = told_apart(within_bytes(row_name(row), _MOST_NAME_BYTES) for row in export.rows)
    return json_text({name: dict(_measures(row)) for name, row in zip(names, export.rows, strict=True)})


def _measures(row: ExportedRow) -> Iterator[tuple[str, Any]]:
    summary = row.summary
    assert summary.median_s is not None  # exported rows have times
    yield "latency", _metric(_NS * summary.median_s, _ns(summary.low_s), _ns(summary.high_s))
    relative = row.relative_time
    if relative is not None:
        yield "time-over-reference", _metric(relative.value, relative.low, relative.high)
    if summary.peak_memory_bytes is not None:
        yield "peak-memory", _metric(summary.peak_memory_bytes, None, None)


def _ns(time_s: float | None) -> float | None:
    return None if time_s is None else _NS * time_s


def _metric(value: float, low: float | None, high: float | None) -> dict[str, float]:
    bounds = {} if low is None or high is None else {"lower_value": low, "upper_value": high}
    return {"value": value, **bounds}
