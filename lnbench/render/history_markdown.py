"""A history as markdown: a table of changes, and every suite's rows folded."""

from collections.abc import Iterable, Iterator, Sequence

from lnbench.analysis.timeline import History, Section, Track
from lnbench.render.history_cells import (
    HOW_TO_READ,
    change_lines,
    gap_reasons,
    headline,
    last_text,
    line,
    marker_lines,
    revisions,
    state_text,
    title,
    track_title,
)
from lnbench.render.outside import markdown

_LINE_WIDTH = 40


def render_history(history: History) -> str:
    """The whole history."""
    lines: list[str] = []
    for section in history.sections:
        lines += [f"## {markdown(section.suite)}", "", f"{markdown(headline(section))}.", "", *_section(section)]
    lines += [f"> {markdown(note)}\n" for note in history.notes]
    return "\n".join([*lines, HOW_TO_READ, ""])


def _section(section: Section) -> Iterator[str]:
    changes = list(_changes(section))
    if changes:
        yield from (*_table(("first run", "where", "row", "what", "change", "95 % interval", "note"), changes), "")
    markers = [(day, markdown(what)) for day, what in marker_lines(section)]
    if markers:
        table = _table(("first run", "versions and settings"), ((markdown(day), what) for day, what in markers))
        yield from (*_folded("Versions and settings that changed on the way", table), "")
    for track in section.tracks:
        count = f"{len(track.runs)} run{'s' if len(track.runs) != 1 else ''}"
        yield from (*_folded(f"{track_title(section, track)}, {count}", _rows(track)), "")
    yield from (f"- {markdown(reason)}" for reason in gap_reasons(section.tracks))
    yield ""


def _changes(section: Section) -> Iterator[Sequence[str]]:
    for moment in section.moments:
        for found in change_lines(section, moment):
            yield (
                markdown(section.runs[moment.after].day),
                markdown(revisions(section, moment.before, moment.after)),
                f"{markdown(found.row)}<br>{markdown(found.workload)}",
                f"**{found.kind}**",
                found.change,
                found.interval,
                markdown(found.note),
            )


def _rows(track: Track) -> Iterator[str]:
    return _table(
        ("row", "over time", "newest speedup", "change"),
        (
            (
                markdown(title(series, track)),
                line(series, width=_LINE_WIDTH),
                last_text(series),
                markdown(state_text(series)),
            )
            for series in track.series
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
