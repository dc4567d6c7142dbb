"""Where most rows of a workload and phase change at one run and in one direction: who moved, they or their reference.

Rows never lose a change to their number. It is the reference's only where the plain copy that took turns beside it
shows that the reference moved the other way; where no copy can tell, the rows keep it with a remark.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from statistics import median_low

from lnbench.across import mean_of
from lnbench.analysis.timeline import Change, Series, Track
from lnbench.stats import Interval
from lnbench.units import format_change
from lnbench.verdict import is_within, moved

LEAST_RUNS = 3
"""So many runs on either side say how far a reference's speed over the copy differs from run to run."""


def attribute_common_changes(track: Track) -> Track:
    """The track with such changes attributed to the reference where it moved, and remarked on where that is open."""
    groups: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for series in track.series:
        if not series.note:
            groups[series.key.phase, series.key.clock].append(series)
    marked = {id(series): series for group in groups.values() for series in group}
    for group in groups.values():
        for series, changes in _marked(group, track):
            marked[id(series)] = replace(series, changes=changes)
    return replace(track, series=tuple(marked.get(id(series), series) for series in track.series))


def _marked(group: list[Series], track: Track) -> list[tuple[Series, tuple[Change, ...]]]:
    """Every series of a phase with its changes, those that most share attributed."""
    found = {id(series): list(series.changes) for series in group}
    starts = Counter((change.after, change.direction) for series in group for change in series.changes)
    for (after, direction), _ in starts.most_common():
        movers = [
            (series, place)
            for series in group
            for place, change in enumerate(found[id(series)])
            if change.direction == direction
            and change.earliest <= after <= change.latest
            and not (change.together or change.remark)
        ]
        moving = {id(series) for series, _ in movers}
        if 2 * len(moving) <= len(group):
            continue
        changes = [found[id(series)][place] for series, place in movers]
        typical = median_low([change.slowdown.estimate for change in changes])
        margin = max(series.margin for series, _ in movers)
        over_copy = _over_copy(group, track, *_stretch(movers[0][0], changes[0]))
        if over_copy is not None and is_within(over_copy, margin):
            continue
        other_way = f"{track.place.reference} became {'faster' if typical > 0 else 'slower'}"
        together = remark = ""
        if over_copy is not None and moved(over_copy, margin) == (-1 if typical > 0 else 1):
            together = (
                f"{len(movers)} of {len(group)} rows moved together, by about {format_change(exp(typical))}: "
                f"it is the reference that moved, {other_way}"
            )
        elif len(moving) == len(group):
            remark = f"or {other_way}: no plain copy shows which"
        for series, place in movers:
            found[id(series)][place] = replace(found[id(series)][place], together=together, remark=remark)
    return [(series, tuple(found[id(series)])) for series in group]


def _stretch(series: Series, change: Change) -> tuple[int, int, int, int]:
    """The runs from the change before to this one, and from this one to the next: first and last of each."""
    earlier = [other.after for other in series.changes if other.after < change.after]
    later = [other.before for other in series.changes if other.after > change.after]
    return max(earlier, default=0), change.before, change.after, min(later, default=sys.maxsize)


def _over_copy(
    group: Sequence[Series], track: Track, first: int, before: int, after: int, last: int
) -> Interval | None:
    """How the reference changed relative to the copy, in log, above 0 is slower; the run is the unit."""
    known = {
        run: value
        for place, run in enumerate(track.runs)
        if (value := next((it.points[place].over_copy for it in group if it.points[place].over_copy is not None), None))
        is not None
    }
    old = [value for run, value in known.items() if first <= run <= before]
    new = [value for run, value in known.items() if after <= run <= last]
    if min(len(old), len(new)) < LEAST_RUNS:
        return None
    return (mean_of(old) - mean_of(new)).interval()
