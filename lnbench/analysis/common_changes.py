"""Where most rows of a workload and phase change at one run and in one direction, it is the reference that moved."""

from collections import Counter, defaultdict
from dataclasses import replace
from math import exp
from statistics import median_low

from lnbench.analysis.timeline import Change, Series, Track
from lnbench.shifts import LEAST_TOGETHER
from lnbench.units import format_change


def set_aside_common_changes(track: Track) -> Track:
    """The track with such changes marked: what they say is said of the reference, and once."""
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for series in track.series:
        if not series.note:
            groups[series.key.phase, series.key.clock].append(series)
    marked = {id(series): series for group in groups.values() for series in group}
    for group in groups.values():
        for series, changes in _marked(group, reference=track.place.reference):
            marked[id(series)] = replace(series, changes=changes)
    return replace(track, series=tuple(marked.get(id(series), series) for series in track.series))


def _marked(group: list[Series], *, reference: str) -> list[tuple[Series, tuple[Change, ...]]]:
    """Every series of a phase with its changes, those that most share marked."""
    if len(group) < LEAST_TOGETHER:
        return []
    found = {id(series): list(series.changes) for series in group}
    starts = Counter((change.after, change.direction) for series in group for change in series.changes)
    for (after, direction), _ in starts.most_common():
        movers = [
            (id(series), place)
            for series in group
            for place, change in enumerate(found[id(series)])
            if change.direction == direction and change.earliest <= after <= change.latest and not change.together
        ]
        if 2 * len({series for series, _ in movers}) <= len(group):
            continue
        typical = exp(median_low([found[series][place].slowdown.estimate for series, place in movers]))
        text = (
            f"{len(movers)} of {len(group)} rows moved together, by about {format_change(typical)}: "
            f"it is the reference that moved, {reference} became {'faster' if typical > 1 else 'slower'}"
        )
        for series, place in movers:
            found[series][place] = replace(found[series][place], together=text)
    return [(series, tuple(found[id(series)])) for series in group]
