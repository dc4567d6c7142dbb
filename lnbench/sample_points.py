"""Raw samples as they are plotted: by process and round, and where there are many, a few neighbours as one point."""

from collections.abc import Container, Iterator

import numpy as np

from lnbench.evidence import Evidence
from lnbench.pairing import Turns
from lnbench.tables import Column, Table, Value
from lnbench.turns import Ints
from lnbench.view import default_clock
from lnbench.workload import Clock, Phase

MOST_POINTS = 40_000
"""In one table: two megabytes of text, and what a browser draws without delay when it shows one case of them."""

LEAST_BINS = 12
"""Fewer points a line do not show a drift."""

MOST_BINS = 240
"""More are not told apart on a screen."""

SAMPLE_POINT_COLUMNS = (
    Column("case", "Int64"),
    Column("phase", "string"),
    Column("process", "Int64"),
    Column("round", "Int64"),
    Column("samples", "Int64"),
    Column("median_s", "float64"),
    Column("low_s", "float64"),
    Column("high_s", "float64"),
)
"""`case`: its number in the plan. `round`: the first of a point's. `low_s`, `high_s`: its least and greatest sample."""


def sample_points_table(evidence: Evidence, *, cases: Container[int] | None = None, most: int = MOST_POINTS) -> Table:
    """The samples of every case (or of these) and phase, on the clock that tables show, spoiled rounds left out.

    Rounds are put together so evenly that about `most` points are left, but never fewer than LEAST_BINS of a line.
    """
    lines = [line for line in _lines(evidence) if cases is None or line[0] in cases]
    bins = max(LEAST_BINS, min(MOST_BINS, most // max(len(lines), 1)))
    rows = tuple(row for case, phase, process, turns in lines for row in _points((case, phase, process), turns, bins))
    return Table(SAMPLE_POINT_COLUMNS, rows)


def _lines(evidence: Evidence) -> Iterator[tuple[int, str, int, Turns]]:
    for number in range(len(evidence.run.header.cases)):
        planned = evidence.planned_workload(number)
        clock: Clock = default_clock(planned)
        if evidence.condensed(number, planned.phases[0], clock=clock):
            continue  # a baseline has kept no samples
        for phase in planned.phases:
            for process, turns in evidence.row(number, Phase(phase), clock=clock).series.items():
                yield number, phase.value, process, turns


def _points(key: tuple[int, str, int], turns: Turns, bins: int) -> Iterator[tuple[Value, ...]]:
    """One point a round, of all the turns in it; where there are more rounds than bins, one for a few neighbours."""
    rounds, seconds = np.asarray(turns.rounds), np.asarray(turns.seconds)
    order = np.lexsort((seconds, _groups(rounds, bins)))
    groups, seconds = _groups(rounds, bins)[order], seconds[order]
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    ends = np.append(starts[1:], len(groups))
    counts = ends - starts
    medians = (seconds[starts + (counts - 1) // 2] + seconds[starts + counts // 2]) / 2
    firsts = np.minimum.reduceat(rounds[order], starts)
    columns = (firsts, counts, medians, seconds[starts], seconds[ends - 1])
    return ((*key, *row) for row in zip(*(column.tolist() for column in columns), strict=True))


def _groups(rounds: Ints, bins: int) -> Ints:
    """For each turn the number of the group of neighbouring rounds that it is in, as even as they can be."""
    names, places = np.unique(rounds, return_inverse=True)
    return places * min(bins, len(names)) // len(names)
