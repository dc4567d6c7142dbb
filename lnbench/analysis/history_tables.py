"""A history as a table: one row per row of results and run, for CSV and JSON."""

from collections.abc import Iterator

from lnbench.analysis.timeline import Change, History, Section, Series, Track
from lnbench.stats import Interval
from lnbench.tables import Column, Dtype, Table, Value

_DTYPES: dict[str, Dtype] = {
    "suite": "string",
    "workload": "string",
    "label": "string",
    "implementation": "string",
    "norm_mode": "string",
    "phase": "string",
    "clock": "string",
    "machine": "string",
    "threads": "string",
    "allocator": "string",
    "samples": "string",
    "reference": "string",
    "run_id": "string",
    "created": "string",
    "commit": "string",
    "dirty": "boolean",
    "torch_version": "string",
    "lnbench_version": "string",
    "status": "string",
    "reason": "string",
    "speedup": "float64",
    "speedup_low": "float64",
    "speedup_high": "float64",
    "change": "string",
    "slowdown": "float64",
    "slowdown_low": "float64",
    "slowdown_high": "float64",
    "p": "float64",
    "run_before": "string",
    "commit_before": "string",
    "first_at_earliest": "string",
    "first_at_latest": "string",
}

POINT_COLUMNS = tuple(Column(name, dtype) for name, dtype in _DTYPES.items())
"""The columns of a history's CSV. From `change` on they are filled at the first run after a change alone."""


def points_table(history: History) -> Table:
    """Every point, gaps too: series after series, each in order of time."""
    return Table(
        POINT_COLUMNS,
        tuple(
            row
            for section in history.sections
            for track in section.tracks
            for series in track.series
            for row in _rows(section, track, series)
        ),
    )


def change_kind(change: Change) -> str:
    """`slower` or `faster`; `reference` where that moved, and not the row."""
    return "reference" if change.together else change.direction


def bounds(interval: Interval | None) -> tuple[float | None, float | None, float | None]:
    """A ratio and its bounds from their logarithms; None for what is not known."""
    if interval is None:
        return None, None, None
    value, low, high = interval.exp()
    return (value, low, high) if interval.is_bounded else (value, None, None)


def _rows(section: Section, track: Track, series: Series) -> Iterator[tuple[Value, ...]]:
    key, changes = series.key, {change.after: change for change in series.changes}
    for number, point, torch_version in zip(track.runs, series.points, series.torch_versions, strict=True):
        mark, change = section.runs[number], changes.get(number)
        yield (
            section.suite,
            key.workload,
            track.label,
            key.implementation,
            key.norm_mode,
            key.phase,
            key.clock,
            *track.place,
            mark.run_id,
            mark.created,
            mark.commit,
            mark.dirty if mark.commit else None,
            torch_version,
            mark.lnbench_version,
            "" if point.status is None else point.status.value,
            point.reason,
            *bounds(point.interval),
            *((None,) * 9 if change is None else _told(section, change)),
        )


def _told(section: Section, change: Change) -> tuple[Value, ...]:
    before = section.runs[change.before]
    return (
        change_kind(change),
        *bounds(change.slowdown),
        change.p,
        before.run_id,
        before.commit,
        section.runs[change.earliest].run_id,
        section.runs[change.latest].run_id,
    )
