"""Speedups of a run with their intervals: ratios of neighbouring turns, and across processes a moderated variance."""

from functools import cache

import numpy as np

from lnbench import stats
from lnbench.evidence import Evidence, Series
from lnbench.pairing import pair_nearest
from lnbench.workload import Clock, Phase


def paired(series: Series, base: Series) -> list[stats.FloatArray]:
    """log(base) - log(series) of the turns that stand nearest, for every process that has both."""
    found = (pair_nearest(turns, base[process]) for process, turns in series.items() if process in base)
    return [ratios for ratios in found if len(ratios)]


class Speedups:
    """The speedups of all cases of a run against their references, in log."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._ratios = cache(self._find_ratios)

    def interval(self, number: int, phase: Phase, *, clock: Clock) -> stats.Interval | None:
        """The speedup of a case with its interval; None where there is nothing to compare.

        Over several processes half the variance is the case's own and half is pooled over the other cases of its
        workload, phase and clock: three processes alone know their variance too badly.
        """
        own = self._ratios(number, phase, clock)
        if len(own) < 2:
            return stats.combine(own)
        others = [
            [float(np.median(ratios)) for ratios in self._ratios(other, phase, clock)]
            for other in self._evidence.neighbours(number)
            if other != self._evidence.reference(other)
        ]
        return stats.combine(own, pooled=stats.pooled_variance(others))

    def _find_ratios(self, number: int, phase: Phase, clock: Clock) -> list[stats.FloatArray]:
        reference = self._evidence.reference(number)
        if reference is None:
            return []
        base = self._evidence.row(reference, phase, clock=clock).series
        return paired(self._evidence.row(number, phase, clock=clock).series, base)
