"""Where a series of log ratios changes its level: places found by a library, each then tested for itself.

Ratios of one case lie 0.5 to 3 % apart from run to run, now and then one is far off, and neighbours may resemble each
other. `benchmarks/change_points.py` holds what is chosen here against such series.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from lnbench.stats import LEVEL, FloatArray, Interval, finite_values

LEAST_VALUES = 6
"""Fewer values can't be parted into two stretches."""

LEAST_BETWEEN = 3
"""The shortest stretch: of two values one may be far off by itself. So a change is told two runs after its first."""

ALPHA = 0.05
"""A place whose p value, for all places that were searched, is above this is no change."""

PENALTY = 3.0
"""What another change has to explain, in variances and times log(count). With less, more places are found that the
tests then drop; with more, changes of two deviations are lost."""

FAR = 3.0
"""Deviations beyond which a value is taken for this many: one run in some thirty was disturbed as a whole."""

SMALLEST = 1e-4
"""Log ratios are never taken to be better known than this: 0.01 % is a few nanoseconds of a call."""

MOST_LIKE = 0.8
"""The most that neighbours are taken to resemble each other: above it a short series holds no level at all."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of level. `first`: the number of the first value after it; the change itself is in log.

    `earliest` to `latest`: the values that may be the first, at 95 % together, with a flat prior over all places
    between the changes around; `likeliest` of them may leave a stretch that is shorter than the shortest. `p`:
    two-sided, for all places that were searched.
    """

    first: int
    likeliest: int
    earliest: int
    latest: int
    difference: Interval
    p: float


def find_steps(values: ArrayLike, errors: ArrayLike, *, margin: float) -> list[Step]:
    """The changes that are larger than the margin and, in this series alone, no chance.

    `values`: log ratios in time order. `errors`: their standard errors, NaN where not known; they weigh the values.
    Places come from the penalised least squares of `ruptures` (Celisse, Marot, Pierre-Jean, Rigaill 2018, Computational
    Statistics and Data Analysis 128:200, with a linear kernel). Then the weakest that is too small or may be chance is
    dropped and the rest tested anew, until none is. Fewer than 6 values have no changes.
    Raises ValueError for values that are not finite.
    """
    series = finite_values(values)
    if len(series) < LEAST_VALUES:
        return []
    firsts = _places(series)
    while firsts:
        steps = measure_steps(series, errors, firsts)
        weak = [step for step in steps if _is_weak(step, count=len(series), margin=margin)]
        if not weak:
            return steps
        firsts.remove(min(weak, key=lambda step: (-step.p, abs(step.difference.estimate))).first)
    return []


def measure_steps(values: ArrayLike, errors: ArrayLike, firsts: Sequence[int]) -> list[Step]:
    """The changes at these places, each between the stretches before and after it.

    Levels are weighted means of values clipped at 3 deviations from their stretch's median. The variance is that of all
    stretches together, and is raised where neighbours resemble each other: by (1 + r) / (1 - r) with the residuals'
    lag-1 autocorrelation r. p values count the places of a change, and of the changes beside it too: a stretch between
    two changes was chosen from that many more.
    """
    series = finite_values(values)
    if not firsts:
        return []
    levels = _Levels(series, _weights(errors, noise=_noise(series)), firsts)
    places = max(len(series) - 2 * LEAST_BETWEEN + 1, 1)
    found = []
    for number, first in enumerate(firsts):
        difference = float(levels.means[number + 1] - levels.means[number])
        error = levels.error(number)
        searched = places ** (1 + (number > 0) + (number < len(firsts) - 1))
        half = error * float(stdtrit(levels.freedom, (1 + LEVEL) / 2))
        earliest, likeliest, latest = levels.reach(number)
        found.append(
            Step(
                first=first,
                likeliest=likeliest,
                earliest=earliest,
                latest=latest,
                difference=Interval(difference, difference - half, difference + half, "round", len(series)),
                p=min(2 * float(stdtr(levels.freedom, -abs(difference) / error)) * searched, 1.0),
            )
        )
    return found


class _Levels:
    """The levels of the stretches between changes, and how well they are known."""

    def __init__(self, series: FloatArray, weights: FloatArray, firsts: Sequence[int]) -> None:
        count = len(series)
        self._bounds = [0, *firsts, count]
        self._series, self._weights = series, weights
        lengths = np.diff(self._bounds)
        stretches = [slice(*pair) for pair in zip(self._bounds, self._bounds[1:], strict=False)]
        self.freedom = count - len(stretches)
        medians = np.repeat([np.median(series[stretch]) for stretch in stretches], lengths)
        scaled = (series - medians) * np.sqrt(weights)
        deviation = _deviation(scaled) * math.sqrt(count / self.freedom)
        self._limits = FAR * max(deviation, SMALLEST) / np.sqrt(weights)
        clipped = medians + np.clip(series - medians, -self._limits, self._limits)
        self._totals = [float(weights[stretch].sum()) for stretch in stretches]
        self.means = np.array([np.average(clipped[it], weights=weights[it]) for it in stretches])
        residuals = (clipped - np.repeat(self.means, lengths)) * np.sqrt(weights)
        squares = float(residuals @ residuals)
        self._variance = max(squares / self.freedom, SMALLEST**2)
        self._variance *= _inflation(residuals, squares, stretches=len(stretches))

    def error(self, number: int) -> float:
        """The standard error of the difference between a stretch and the next."""
        return math.sqrt(self._variance * (1 / self._totals[number] + 1 / self._totals[number + 1]))

    def reach(self, number: int) -> tuple[int, int, int]:
        """The earliest, likeliest and latest value that may be the first after a change, its neighbours held."""
        begin, end = self._bounds[number], self._bounds[number + 2]
        weights, limits = self._weights[begin:end], self._limits[begin:end]
        before, after = self.means[number], self.means[number + 1]
        # A value of the other stretch counts as what it is; only one that is far from both is drawn nearer.
        values = np.clip(self._series[begin:end], min(before, after) - limits, max(before, after) + limits)
        # What each place adds to the sum of squares over having every value after the change.
        added = np.cumsum(weights * ((values - before) ** 2 - (values - after) ** 2))[:-1]
        chances = np.exp(-(added - added.min()) / (2 * self._variance))
        chances /= chances.sum()
        order = np.argsort(-chances, kind="stable")
        enough = int(np.searchsorted(np.cumsum(chances[order]), LEVEL)) + 1
        chosen = order[:enough] + begin + 1
        first = self._bounds[number + 1]
        return min(int(chosen.min()), first), int(chosen[0]), max(int(chosen.max()), first)


def _is_weak(step: Step, *, count: int, margin: float) -> bool:
    """True for what is too small, may be chance, or is in truth one or two odd values at an end."""
    is_at_end = not LEAST_BETWEEN <= step.likeliest <= count - LEAST_BETWEEN
    return abs(step.difference.estimate) <= math.log1p(margin) or step.p > ALPHA or is_at_end


def _places(series: FloatArray) -> list[int]:
    """Where least squares part the series, values that stand alone drawn to their neighbours first."""
    from ruptures import KernelCPD  # a tenth of a second, which short series need not wait for

    noise = _noise(series)
    smooth = np.array([np.median(series[max(at - 2, 0) : at + 3]) for at in range(len(series))])
    tame = smooth + np.clip(series - smooth, -FAR * noise, FAR * noise)
    search = KernelCPD(kernel="linear", min_size=LEAST_BETWEEN).fit((tame / noise).reshape(-1, 1))
    ends: list[int] = search.predict(pen=PENALTY * math.log(len(series)))
    return [int(end) for end in ends[:-1]]


def _noise(series: FloatArray) -> float:
    """How far values lie from their level, from neighbours' differences: a change is in one of them only."""
    return max(float(np.median(np.abs(np.diff(series)))) / (0.6745 * math.sqrt(2)), SMALLEST)


def _deviation(values: FloatArray) -> float:
    """The standard deviation around 0 that the median size tells of normal values."""
    return float(np.median(np.abs(values))) / 0.6745


def _weights(errors: ArrayLike, *, noise: float) -> FloatArray:
    """One over each value's variance: what runs differ by beyond their own errors, and its own error; median 1."""
    own = np.square(np.asarray(errors, dtype=np.float64))
    known = np.isfinite(own)
    if not known.any():
        return np.ones_like(own)
    own = np.where(known, own, own[known].max())
    between = max(noise**2 - float(np.median(own)), (noise / 4) ** 2)
    weights = 1 / (between + own)
    return np.asarray(weights / np.median(weights), dtype=np.float64)


def _inflation(residuals: FloatArray, squares: float, *, stretches: int) -> float:
    """By how much neighbours that resemble each other raise the variance of a mean.

    Residuals from a stretch's own mean look less alike than they are, by about one over its length.
    """
    if squares <= 0:
        return 1.0
    alike = float(residuals[1:] @ residuals[:-1]) / squares + stretches / len(residuals)
    alike = min(max(alike, 0.0), MOST_LIKE)
    return (1 + alike) / (1 - alike)
