"""Means over processes, each one draw of layout, placement and autotuning; their differences, intervals and tests."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from lnbench.stats import LEVEL, Interval, at_least_one, finite_values, interval_within, positive_times


@dataclass(frozen=True, slots=True)
class PooledVariance:
    """The variance between processes that similar cases share."""

    variance: float
    degrees_of_freedom: int


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, or a difference of means, with the independent parts of its variance.

    `parts`: (the part of the mean's variance, its degrees of freedom). `count`: the fewest processes of any side.
    Degrees of freedom of the whole are Satterthwaite's (1946, Biometrics Bulletin 2:110).
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

    With `pooled`, half the variance is the locations' own and half the pooled one. One location knows no variance.
    Raises TooFewError without locations, ValueError when one is not finite.
    """
    found = at_least_one(locations)
    count = len(found)
    mean = math.fsum(found) / count
    if count == 1:
        return Mean(mean, (), 1)
    own, freedom = math.fsum((found - mean) ** 2) / (count - 1) / count, float(count - 1)
    if pooled is None:
        return Mean(mean, ((own, freedom),), count)
    shared = (pooled.variance / count / 2, float(pooled.degrees_of_freedom))
    return Mean(mean, ((own / 2, freedom), shared), count)


def across_processes(locations: ArrayLike, *, pooled: PooledVariance | None = None, level: float = LEVEL) -> Interval:
    """The t interval over the locations of several processes; see `mean_of`."""
    return mean_of(locations, pooled=pooled).interval(level=level)


class Spread:
    """How far processes lie apart in similar rows: sums of squares by row, pooled over the others of a row's kind.

    Leave out the row whose mean is moderated: Satterthwaite's formula takes both variances as independent.
    """

    def __init__(self) -> None:
        self._rows: dict[Hashable, dict[Hashable, tuple[float, int]]] = {}
        self._totals: dict[Hashable, tuple[float, int]] = {}

    def add(self, kind: Hashable, row: Hashable, locations: ArrayLike) -> None:
        """Count a row's locations; what was counted for the same row before stays."""
        found = finite_values(locations)
        if len(found) > 1:
            squares = math.fsum((found - math.fsum(found) / len(found)) ** 2)
            rows = self._rows.setdefault(kind, {})
            before, freedom = rows.get(row, (0.0, 0))
            rows[row] = (before + squares, freedom + len(found) - 1)
            self._totals.pop(kind, None)

    def without(self, kind: Hashable, row: Hashable) -> PooledVariance | None:
        """The variance pooled over all other rows of this kind; None when there is none."""
        rows = self._rows.get(kind, {})
        if kind not in self._totals:
            self._totals[kind] = math.fsum(squares for squares, _ in rows.values()), sum(n for _, n in rows.values())
        squares, freedom = self._totals[kind]
        own_squares, own_freedom = rows.get(row, (0.0, 0))
        left = freedom - own_freedom
        return PooledVariance(max(squares - own_squares, 0.0) / left, left) if left else None


def pooled_variance(groups: Iterable[ArrayLike]) -> PooledVariance | None:
    """The variance within groups, each the process locations of one similar case; None when no group has two."""
    spread = Spread()
    for number, group in enumerate(groups):
        spread.add(None, number, group)
    return spread.without(None, None)


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
