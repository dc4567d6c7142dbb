"""A history as JSON: plain numbers, and null for what is not known."""

from typing import Any

from lnbench.analysis.history_tables import bounds, change_kind
from lnbench.analysis.timeline import Change, History, Point, Section
from lnbench.render.json import json_text


def render_history(history: History) -> str:
    """Every suite's runs and series; changes name runs by their place among the suite's, from 0."""
    return json_text({"suites": [_section(section) for section in history.sections], "notes": list(history.notes)})


def _section(section: Section) -> dict[str, Any]:
    return {
        "suite": section.suite,
        "runs": [
            {
                "run_id": mark.run_id,
                "created": mark.created,
                "commit": mark.commit,
                "dirty": mark.dirty,
                "settings": dict(mark.settings),
            }
            for mark in section.runs
        ],
        "markers": [
            {"before": it.before, "after": it.after, "differences": [found._asdict() for found in it.differences]}
            for it in section.markers
        ],
        "series": [
            {
                "workload": track.workload,
                "label": track.label,
                **track.place._asdict(),
                **series.key._asdict(),
                "definition": series.definition,
                "margin": series.margin,
                "note": series.note,
                "changes": [_change(change) for change in series.changes],
                "points": [_point(*found) for found in zip(track.runs, series.points, strict=True)],
            }
            for track in section.tracks
            for series in track.series
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    slowdown, low, high = bounds(change.slowdown)
    return {
        "kind": change_kind(change),
        "before": change.before,
        "after": change.after,
        "earliest": change.earliest,
        "latest": change.latest,
        "slowdown": slowdown,
        "slowdown_low": low,
        "slowdown_high": high,
        "p": change.p,
        "note": change.together or change.remark,
    }


def _point(run: int, point: Point) -> dict[str, Any]:
    speedup, low, high = bounds(point.interval)
    status = None if point.status is None else point.status.value
    ratio = {"speedup": speedup, "speedup_low": low, "speedup_high": high}
    return {"run": run, "status": status, "reason": point.reason, **ratio}
