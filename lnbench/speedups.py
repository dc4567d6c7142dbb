"""Speedups of a run with their intervals: ratios of neighbouring turns, and across processes a moderated variance."""

from functools import cache

import numpy as np

from lnbench import across, stats
from lnbench.evidence import Evidence
from lnbench.ratios import paired
from lnbench.workload import Clock, Phase


class Speedups:
    """The speedups of all cases of a run against their references, in log.

    An unstable row's are there, too, so that a check can measure it again where it reads slower; tables show none.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._ratios = cache(self._find_ratios)
        self._copy_ratios = cache(self._find_copy_ratios)
        self._spread = cache(self._find_spread)

    def interval(self, number: int, phase: Phase, *, clock: Clock) -> stats.Interval | None:
        """The speedup of a case with its interval; None where there is nothing to compare.

        Over several processes half the variance is the case's own and half is pooled over the other cases of its
        workload, phase and clock: three processes alone know their variance too badly.
        """
        own = list(self._ratios(number, phase, clock).values())
        if len(own) < 2:
            return across.combine(own)
        spread = self._spread(self._evidence.case(number).workload, phase, clock)
        return across.combine(own, pooled=spread.without(None, number))

    def locations(self, number: int, phase: Phase, *, clock: Clock) -> dict[int, float]:
        """The median log speedup of a row in each process."""
        return {process: float(np.median(ratios)) for process, ratios in self._ratios(number, phase, clock).items()}

    def within(self, number: int, phase: Phase, *, clock: Clock) -> dict[int, stats.Interval]:
        """The log speedup of a row in each process, with its interval over the rounds of that process."""
        return {process: stats.interval_within(it) for process, it in self._ratios(number, phase, clock).items()}

    def against_copy(self, number: int, phase: Phase, *, clock: Clock) -> dict[int, float]:
        """The median of log(copy) - log(row) in each process; the probe's copy is what the machine can do right now."""
        found = self._copy_ratios(number, phase, clock)
        return {process: float(np.median(ratios)) for process, ratios in found.items()}

    def copy_interval(self, number: int, phase: Phase, *, clock: Clock) -> stats.Interval | None:
        """log(copy) - log(row) with its interval; None without a probe."""
        return across.combine(list(self._copy_ratios(number, phase, clock).values()))

    def _find_copy_ratios(self, number: int, phase: Phase, clock: Clock) -> dict[int, stats.FloatArray]:
        kept = self._evidence.condensed(number, phase, clock=clock)
        if kept:
            copies = {process: found.log_copy for process, found in kept.items()}
            return {process: np.array([value]) for process, value in copies.items() if value is not None}
        row = self._evidence.row(number, phase, clock=clock).series
        probe = self._evidence.probe(self._evidence.case(number).workload, phase, clock=clock)
        return paired(row, probe)

    def _find_spread(self, workload: int, phase: Phase, clock: Clock) -> across.Spread:
        """How far processes lie apart in each case of a workload, the references left out."""
        found = across.Spread()
        for number in self._evidence.cases_of(workload):
            if number != self._evidence.reference(number):
                found.add(None, number, list(self.locations(number, phase, clock=clock).values()))
        return found

    def _find_ratios(self, number: int, phase: Phase, clock: Clock) -> dict[int, stats.FloatArray]:
        reference = self._evidence.reference(number)
        if reference is None:
            return {}
        kept = self._evidence.condensed(number, phase, clock=clock)
        if kept:
            told = {process: found.log_speedup for process, found in kept.items()}
            return {process: np.array([value]) for process, value in told.items() if value is not None}
        row, base = (self._evidence.row(it, phase, clock=clock) for it in (number, reference))
        return paired(row.series, base.series)
