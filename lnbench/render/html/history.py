"""A history as one page: what changed when, lines that can be filtered, and every row in tables."""

from collections.abc import Iterator
from typing import Any

from lnbench.analysis.timeline import History, Section, Track
from lnbench.render.history_cells import (
    HOW_TO_READ,
    change_lines,
    headline,
    last_text,
    line,
    marker_lines,
    revisions,
    state_text,
    title,
    track_title,
)
from lnbench.render.html.page import columns_of, render_page
from lnbench.render.outside import plain
from lnbench.render.plots.histories import BESIDE, history_chart, history_records
from lnbench.render.plots.palette import css_named, looks
from lnbench.render.plots.style import config
from lnbench.workload import Phase

ANY_WIDTH = 400
"""Pixels; the page sets its own."""

_LINE_WIDTH = 40


def render_html(history: History) -> str:
    """The page."""
    suites = list(dict.fromkeys(section.suite for section in history.sections))
    return render_page(
        "history.html.jinja",
        script="history.js",
        plots=_plots(history) if history.sections else None,
        heading=f"History of {', '.join(suites)}",
        sections=[_section(section) for section in history.sections],
        notes=history.notes,
        how_to_read=HOW_TO_READ,
        tracks=[_track(section, track) for section in history.sections for track in section.tracks],
    )


def _plots(history: History) -> dict[str, Any]:
    found = looks([plain(series.title) for series in history.series], named=css_named())
    return {
        "config": config(found.named),
        "records": columns_of(history_records(history)),
        "phases": [phase.value for phase in Phase],
        "wide": history_chart(found, width=ANY_WIDTH),
        "narrow": history_chart(found, width=ANY_WIDTH, narrow=True),
        "beside": BESIDE,
    }


def _section(section: Section) -> dict[str, Any]:
    is_short = all(series.note for track in section.tracks for series in track.series)
    return {
        "suite": plain(section.suite),
        "headline": headline(section),
        "changes": list(_changes(section)),
        "nothing": "Too few runs to tell." if is_short else "No change.",
        "markers": marker_lines(section),
    }


def _changes(section: Section) -> Iterator[dict[str, str]]:
    for moment in section.moments:
        for found in change_lines(section, moment):
            where = revisions(section, moment.before, moment.after)
            yield {**found._asdict(), "day": section.runs[moment.after].day, "where": where}


def _track(section: Section, track: Track) -> dict[str, Any]:
    return {
        "suite": plain(section.suite),
        "workload": plain(track_title(section, track)),
        "count": f"{len(track.runs)} run{'s' if len(track.runs) != 1 else ''}",
        "reference": track.place.reference,
        "rows": [
            {
                "phase": series.key.phase,
                "implementation": plain(series.title),
                "title": title(series, track),
                "line": line(series, width=_LINE_WIDTH),
                "newest": last_text(series),
                "state": state_text(series),
            }
            for series in track.series
        ],
    }
