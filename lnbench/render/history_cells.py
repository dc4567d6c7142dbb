"""What histories say in every output for people: the words of a change and of a line, and their order."""

from collections.abc import Iterator, Sequence
from math import log1p
from typing import NamedTuple

from lnbench.analysis.history_tables import bounds
from lnbench.analysis.timeline import Change, Marker, Moment, Section, Series, Told, Track
from lnbench.render.cells import ratio_text
from lnbench.render.sparkline import sparkline
from lnbench.units import format_change, format_change_interval

HOW_TO_READ = (
    "Lines: the speedup over the reference in each run, old to new; higher is faster, · is a run without a ratio. A "
    "line's height is its own range, at least twice the margin. Change: how much longer the row takes than before, "
    "relative to its reference, and in brackets where the reference moved instead. It is told when it is larger than "
    "the margin and neither chance nor one odd run, so at the earliest two runs after its first."
)
"""What every history needs to be understood."""

MOVED = "reference moved"

MOST_MARKERS = 12
"""So many changes of versions are listed, the newest; JSON has all."""


class ChangeLine(NamedTuple):
    """One line about a change. `kind`: slower, faster, or "reference moved"."""

    row: str
    workload: str
    kind: str
    change: str
    interval: str
    note: str


def headline(section: Section) -> str:
    """How many runs there are, and how many rows changed."""
    runs, series = section.runs, [series for track in section.tracks for series in track.series]
    changed = sum(any(not change.together for change in it.changes) for it in series)
    when = f"from {runs[0].day} to {runs[-1].day}" if len(runs) > 1 else f"of {runs[0].day}"
    count = f"{len(runs)} run{'s' if len(runs) != 1 else ''} {when}"
    watched = sum(not it.note for it in series)
    if not watched:
        return f"{count}: too few to look for changes in any of {_rows(len(series))}"
    told = f"{changed} of {_rows(watched)} changed" if changed else f"no change in {_rows(watched)}"
    if any(change.together for it in series for change in it.changes):
        told += ", and the reference moved"
    few = f", {len(series) - watched} with too few runs to tell" if watched < len(series) else ""
    return f"{count}: {told}{few}"


def moment_title(section: Section, moment: Moment) -> str:
    """When something changed: the day of the first run after, and the commits between the runs."""
    after = section.runs[moment.after]
    return f"{after.day}, {revisions(section, moment.before, moment.after)}"


def kind_text(change: Change) -> str:
    """`slower`, `faster` or `reference moved`."""
    return MOVED if change.together else change.direction


def revisions(section: Section, before: int, after: int) -> str:
    """The commits in which a change lies, as git takes them, `1a2b3c4d5e..6f7a8b9c0d`; runs where there are none."""
    old, new = section.runs[before], section.runs[after]
    if old.commit and new.commit:
        if old.commit == new.commit:
            return f"within commit {new.revision if new.dirty else old.revision}"
        return f"commits {old.revision}..{new.revision}"
    return f"runs {old.run_id} to {new.run_id}"


def change_lines(section: Section, moment: Moment) -> Iterator[ChangeLine]:
    """Workload by workload a line for each row that changed, and one for each phase whose reference moved."""
    said: set[tuple[str, str, str]] = set()
    for told in moment.told:
        track, series, change = told
        if change.together:
            key = (change.together, track.workload, series.key.phase)
            if key not in said:
                said.add(key)
                reference = f"{track.place.reference} {series.key.phase}"
                yield ChangeLine(reference, _workload(section, track), kind_text(change), "", "", change.together)
            continue
        value, low, high = bounds(change.slowdown)
        assert value is not None  # a change has a size
        yield ChangeLine(
            f"{series.title} {series.key.phase}",
            _workload(section, track),
            kind_text(change),
            format_change(value),
            "" if low is None or high is None else format_change_interval(low, high),
            ", ".join(filter(None, (change.remark, _uncertainty(section, told)))),
        )


def marker_lines(section: Section) -> list[tuple[str, str]]:
    """When versions or settings changed, and what; the newest first."""
    return [
        (f"{section.runs[marker.after].day}", differences_text(marker))
        for marker in reversed(section.markers[-MOST_MARKERS:])
    ]


def differences_text(marker: Marker) -> str:
    """What changed, each with both values: `torch 2.13.0 → 2.14.0`."""
    return ", ".join(f"{it.name} {it.base or 'none'} → {it.head or 'none'}" for it in marker.differences)


def track_title(section: Section, track: Track) -> str:
    """The workload, and where it was measured if that is not the same for all."""
    return _workload(section, track)


def line(series: Series, *, width: int) -> str:
    """The series as blocks."""
    values = [None if point.interval is None else point.interval.estimate for point in series.points]
    return sparkline(values, width=width, least_span=2 * log1p(series.margin))


def last_text(series: Series) -> str:
    """The newest speedup with its interval; after a gap it says so."""
    value, low, high = bounds(series.last)
    assert value is not None  # a series has a ratio
    return ratio_text(value, low, high)


def state_text(series: Series) -> str:
    """What the newest run had instead of a ratio; else the changes, or why none were looked for."""
    newest = series.points[-1]
    gap = f"now {newest.status or 'not planned'}" if newest.interval is None else ""
    told = ", ".join(_short(change) for change in series.changes)
    few = "too few runs" if series.note else ""
    return "; ".join(filter(None, (told, few, gap)))


def title(series: Series, track: Track) -> str:
    """The row's name; with what it is, where the suite meant something else by it in other runs."""
    namesakes = [other for other in track.series if other.key == series.key]
    name = f"{series.title} {series.key.phase}"
    return name if len(namesakes) == 1 else f"{name} ({series.definition.partition(': ')[2]})"


def gap_reasons(tracks: Sequence[Track]) -> list[str]:
    """Why the newest runs have no ratio, each reason once with the rows it holds for."""
    found: dict[str, list[str]] = {}
    for track in tracks:
        for series in track.series:
            newest = series.points[-1]
            if newest.interval is None and newest.reason:
                found.setdefault(newest.reason, []).append(f"{series.title} {series.key.phase}")
    return [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in found.items()]


def _short(change: Change) -> str:
    value, *_ = bounds(change.slowdown)
    assert value is not None  # a change has a size
    return f"({format_change(value)})" if change.together else format_change(value)


def _uncertainty(section: Section, told: Told) -> str:
    """Between which runs the change lies with 95 % chance, where that is more than one step."""
    change = told.change
    if change.earliest == change.latest:
        return ""
    runs = section.runs
    return f"or another first run from {runs[change.earliest].day} to {runs[change.latest].day}"


def _workload(section: Section, track: Track) -> str:
    name = f"{track.label}: {track.workload}" if track.label else track.workload
    places = [
        place._replace(samples=f"{place.samples} samples" if place.samples else "")
        for place in (track.place, *(other.place for other in section.tracks if other.workload == track.workload))
    ]
    unlike = [value for value, *others in zip(*places, strict=True) if len(set(others)) > 1 and value]
    return f"{name} on {', '.join(unlike)}" if unlike else name


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"
