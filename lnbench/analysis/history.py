"""Runs over time: per row the ratio to the reference as a line, and where it changed, between which commits."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import log1p, nan

from lnbench.analysis.change_points import LEAST_VALUES, Step, find_steps, measure_steps
from lnbench.analysis.common_changes import attribute_common_changes
from lnbench.analysis.run_points import Place, Reading, RunPoints
from lnbench.analysis.timeline import Change, History, Point, Section, Series, Track
from lnbench.multiplicity import false_discovery
from lnbench.sides import RowKey

TWO_SIDED = 1.96
"""Half an interval's width in standard errors, near enough: errors only weigh points against each other."""


def make_history(runs: Iterable[RunPoints], *, margin: float | None = None) -> History:
    """The history of runs in any order; of several with one id the one that tells most counts.

    A change is larger than the margin (None: each row's own), no chance after counting all places of its series, and
    chosen among all series with false-discovery control.
    """
    kept, notes = _once(runs)
    suites: dict[str, list[RunPoints]] = defaultdict(list)
    for run in sorted(kept, key=lambda run: run.mark.order):
        suites[run.mark.suite].append(run)
    sections = [_section(suite, found, margin) for suite, found in suites.items()]
    chosen = _chosen_steps([series for section in sections for track in section.tracks for series in track.series])
    found = []
    for section in sections:
        tracks = (_with_changes(track, chosen) for track in section.tracks)
        found.append(replace(section, tracks=tuple(map(attribute_common_changes, tracks))))
    return History(tuple(section for section in found if section.tracks), tuple(notes))


def _once(runs: Iterable[RunPoints]) -> tuple[list[RunPoints], list[str]]:
    """Each run once, and those that have a row to show."""
    found: dict[tuple[str, str], RunPoints] = {}
    repeats = sides = 0
    for run in runs:
        key = run.mark.run_id, run.mark.created
        repeats += key in found
        sides += not run.readings and bool(run.sides)
        if key not in found or _told(run) > _told(found[key]):
            found[key] = run
    notes = []
    if repeats:
        notes.append(f"{_count(repeats, 'journal')} of a run that another journal holds too, left out")
    if sides:
        notes.append(f"{_count(sides, 'check')} of old against new code, which have no ratio to a reference, left out")
    return [run for run in found.values() if run.readings], notes


def _told(run: RunPoints) -> int:
    return sum(reading.interval is not None for reading in run.readings)


def _section(suite: str, runs: Sequence[RunPoints], margin: float | None) -> Section:
    """The series of a suite, without changes, in the order of the newest plan."""
    rows: dict[tuple[str, Place, int], dict[tuple[RowKey, str], dict[int, Reading]]] = {}
    machines: dict[Place, list[dict[str, str]]] = {}
    for number in reversed(range(len(runs))):
        for reading in runs[number].readings:
            machine = _machine_of(reading, machines.setdefault(reading.place, []))
            track = rows.setdefault((reading.key.workload, reading.place, machine), {})
            track.setdefault((reading.key, reading.definition), {})[number] = reading
    tracks = []
    for (workload, place, machine), found in rows.items():
        measured = sorted({number for readings in found.values() for number in readings})
        series = tuple(
            _series(key, definition, readings, measured, margin=margin)
            for (key, definition), readings in found.items()
            if any(reading.interval is not None for reading in readings.values())
        )
        if series:
            label = next(reading.label for readings in found.values() for reading in readings.values())
            if len(machines[place]) > 1:
                told = ", ".join(filter(None, (place.machine, *machines[place][machine].values())))
                place = place._replace(machine=told)
            tracks.append(Track(workload, label, place, tuple(measured), series))
    return Section(suite, tuple(run.mark for run in runs), tuple(tracks))


def _machine_of(reading: Reading, known: list[dict[str, str]]) -> int:
    """The number of the first machine, among those of one name, that nothing known of a reading speaks against.

    Readings come newest first, so runs that did not record such details belong to the newest machine.
    """
    for number, details in enumerate(known):
        if all(details.get(name, value) == value for name, value in reading.details.items()):
            details.update(reading.details)
            return number
    known.append(dict(reading.details))
    return len(known) - 1


def _series(
    key: RowKey, definition: str, readings: Mapping[int, Reading], runs: Sequence[int], *, margin: float | None
) -> Series:
    points = tuple(_point(readings.get(number)) for number in runs)
    count = sum(point.interval is not None for point in points)
    newest = readings[max(readings)]
    return Series(
        key=key,
        definition=definition,
        torch_versions=tuple(readings[number].torch_version if number in readings else "" for number in runs),
        margin=newest.margin if margin is None else margin,
        points=points,
        note=f"too few runs to look for changes: {count}, need at least {LEAST_VALUES}" if count < LEAST_VALUES else "",
    )


def _point(reading: Reading | None) -> Point:
    if reading is None:
        return Point(None, "not planned in this run", None)
    return Point(reading.status, reading.reason, reading.interval, reading.over_copy)


def _values(series: Series) -> tuple[list[int], list[float], list[float]]:
    """Where a series has ratios (counted among its points), the log ratios, and their standard errors."""
    known = [(place, point.interval) for place, point in enumerate(series.points) if point.interval is not None]
    errors = [(it.high - it.low) / (2 * TWO_SIDED) if it.is_bounded else nan for _, it in known]
    return [place for place, _ in known], [it.estimate for _, it in known], errors


def _chosen_steps(every: Sequence[Series]) -> dict[int, list[Step]]:
    """The steps of each series (by its identity) that stand among all series."""
    found: list[tuple[Series, list[Step]]] = []
    for series in every:
        if not series.note:
            _, values, errors = _values(series)
            found.append((series, find_steps(values, errors, margin=series.margin)))
    # A series without a step was a test too, and one that said no.
    p_values = [p for _, steps in found for p in ([step.p for step in steps] or [1.0])]
    answers = iter(false_discovery(p_values))
    chosen: dict[int, list[Step]] = {}
    for series, steps in found:
        told = [next(answers) for _ in range(max(len(steps), 1))]
        firsts = [step.first for step, is_chosen in zip(steps, told, strict=False) if is_chosen]
        _, values, errors = _values(series)
        again = measure_steps(values, errors, firsts)
        chosen[id(series)] = [step for step in again if abs(step.difference.estimate) > log1p(series.margin)]
    return chosen


def _with_changes(track: Track, chosen: Mapping[int, Sequence[Step]]) -> Track:
    return replace(
        track,
        series=tuple(
            replace(series, changes=tuple(_changes(track, series, chosen.get(id(series), ()))))
            for series in track.series
        ),
    )


def _changes(track: Track, series: Series, steps: Iterable[Step]) -> Iterator[Change]:
    places, *_ = _values(series)
    runs = [track.runs[place] for place in places]
    for step in steps:
        difference = step.difference
        yield Change(
            before=runs[step.first - 1],
            after=runs[step.first],
            earliest=runs[step.earliest],
            latest=runs[step.latest],
            slowdown=replace(difference, estimate=-difference.estimate, low=-difference.high, high=-difference.low),
            p=step.p,
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
