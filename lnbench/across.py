"""Means over processes, each one draw of layout, placement and autotuning; their differences, intervals and tests."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtri, fdtri, stdtr, stdtrit

from lnbench.stats import LEVEL, Interval, at_least_one, finite_values, interval_within, positive_times

ALIKE = 0.95
"""A variance above this quantile of what its kind's would give (F test) is not of that kind."""


@dataclass(frozen=True, slots=True)
class PooledVariance:
    """The variance between processes that similar cases share."""

    variance: float
    degrees_of_freedom: int


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, or a difference of means, with the variance that each side adds.

    `parts`: (the variance of a side's mean, its degrees of freedom). `count`: the fewest processes of any side. Degrees
    of freedom of a difference are Satterthwaite's (1946, Biometrics Bulletin 2:110).
    """

    value: float
    parts: tuple[tuple[float, float], ...]
    count: int

    @property
    def variance(self) -> float:
        """The variance of the mean itself."""
        return math.fsum(part for part, _ in self.parts)

    @property
    def freedom(self) -> float:
        """Degrees of freedom; 0 where nothing is known about the variance."""
        if self.count < 2:
            return 0.0
        squares = math.fsum(part**2 / freedom for part, freedom in self.parts)
        return self.variance**2 / squares if squares > 0 else min(freedom for _, freedom in self.parts)

    def __sub__(self, other: "Mean") -> "Mean":
        return Mean(self.value - other.value, (*self.parts, *other.parts), min(self.count, other.count))

    def __neg__(self) -> "Mean":
        return replace(self, value=-self.value)

    def interval(self, *, level: float = LEVEL) -> Interval:
        """The t interval; unbounded where there is only one process."""
        freedom = self.freedom
        half = math.sqrt(self.variance) * float(stdtrit(freedom, (1 + level) / 2)) if freedom else math.inf
        return Interval(self.value, self.value - half, self.value + half, "process", self.count)

    def p_above_zero(self) -> float:
        """The one-sided p value of the hypothesis that the truth is 0 or below; small where it is above."""
        error = math.sqrt(self.variance)
        if not self.freedom:
            return 1.0
        if error == 0:
            return 0.0 if self.value > 0 else 1.0
        return float(stdtr(self.freedom, -self.value / error))


def mean_of(locations: ArrayLike, *, pooled: PooledVariance | None = None) -> Mean:
    """The mean of one value per process.

    With `pooled`, half the variance is the locations' own and half the pooled one. That is the posterior variance under
    a prior worth as many degrees of freedom as the row has, so the two are added up, and never more than a common
    variance would give (Smyth 2004, Statistical Applications in Genetics 3:3, section 3). Taking Satterthwaite's from
    the two estimates instead, intervals over three processes held the truth 93 times in 100 under normal noise, and 81
    times where processes have two speeds. A variance that is clearly larger than its kind's stands alone: moderated,
    intervals of a row 10 times as noisy as its kind held the truth 83 times in 100. Processes are taken as independent:
    where each resembles the one before (lag-1 autocorrelation 0.5) intervals over 3 to 5 hold the truth 85 to 76 times
    in 100, simulated. One location knows no variance.
    Raises TooFewError without locations, ValueError when one is not finite.
    """
    found = at_least_one(locations)
    count = len(found)
    mean = math.fsum(found) / count
    if count == 1:
        return Mean(mean, (), 1)
    variance, freedom = moderated(math.fsum((found - mean) ** 2) / (count - 1), count - 1, pooled)
    return Mean(mean, ((variance / count, freedom),), count)


def moderated(variance: float, freedom: int, pooled: PooledVariance | None) -> tuple[float, float]:
    """A variance and its degrees of freedom, moderated by those of similar cases; see `mean_of`."""
    if pooled is None or variance > pooled.variance * float(fdtri(freedom, pooled.degrees_of_freedom, ALIKE)):
        return variance, float(freedom)
    common = 4 / (1 / freedom + 1 / pooled.degrees_of_freedom)
    return (variance + pooled.variance) / 2, min(2.0 * freedom, common)


def across_processes(locations: ArrayLike, *, pooled: PooledVariance | None = None, level: float = LEVEL) -> Interval:
    """The t interval over the locations of several processes; see `mean_of`."""
    return mean_of(locations, pooled=pooled).interval(level=level)


class Spread:
    """How far processes lie apart in similar rows: a typical variance of a row's kind, from the other rows of it.

    Typical is the median, each variance over the median of what one would find by chance: a single wild row must not
    make all others look uncertain. It is worth half the degrees of freedom that the mean would have (a little less than
    half for three processes a row). Leave out the row whose mean is moderated, for the two count as independent.
    """

    def __init__(self) -> None:
        self._rows: dict[Hashable, dict[Hashable, tuple[float, int]]] = {}
        self._freedom: dict[Hashable, int] = defaultdict(int)
        self._sorted: dict[Hashable, list[float]] = {}

    def add(self, kind: Hashable, row: Hashable, locations: ArrayLike) -> None:
        """Count a row's locations; what was counted for the same row before stays."""
        found = finite_values(locations)
        if len(found) > 1:
            squares = math.fsum((found - math.fsum(found) / len(found)) ** 2)
            rows = self._rows.setdefault(kind, {})
            before, freedom = rows.get(row, (0.0, 0))
            rows[row] = (before + squares, freedom + len(found) - 1)
            self._freedom[kind] += len(found) - 1
            self._sorted.pop(kind, None)

    def without(self, kind: Hashable, row: Hashable) -> PooledVariance | None:
        """The typical variance of all other rows of this kind; None when there is none."""
        rows = self._rows.get(kind, {})
        left = self._freedom.get(kind, 0) - rows.get(row, (0.0, 0))[1]
        if not left:
            return None
        if kind not in self._sorted:
            self._sorted[kind] = sorted(_scaled(*found) for found in rows.values())
        typical = self._sorted[kind]
        if row in rows:
            place = bisect_left(typical, _scaled(*rows[row]))
            typical = typical[:place] + typical[place + 1 :]
        return PooledVariance(median(typical), max(left // 2, 1))


def _scaled(squares: float, freedom: int) -> float:
    """A sum of squares as the variance of which it would be the median."""
    return squares / float(chdtri(freedom, 0.5))


def combine(processes: Sequence[ArrayLike], *, pooled: PooledVariance | None = None) -> Interval | None:
    """The interval that tables show, from one series per process; processes without values are left out.

    One process: from its rounds. Several: from their locations. None: without any value.
    """
    series = [process for process in map(finite_values, processes) if len(process)]
    if not series:
        return None
    if len(series) == 1:
        return interval_within(series[0])
    return across_processes([np.median(process) for process in series], pooled=pooled)


def median_interval(processes: Sequence[ArrayLike]) -> Interval | None:
    """The median of all samples with its interval, from the times (seconds > 0) of each process, in time order.

    One process: as `interval_within`. Several: the t interval over the processes' log medians, widened where needed to
    hold the median. None without samples. Raises ValueError for a time that is not positive and finite.
    """
    series = [process for process in map(positive_times, processes) if len(process)]
    if not series:
        return None
    if len(series) == 1:
        found = interval_within(np.log(series[0]))
    else:
        found = across_processes([math.log(np.median(process)) for process in series])
    median = math.log(np.median(np.concatenate(series)))
    return replace(found, estimate=median, low=min(found.low, median), high=max(found.high, median))
