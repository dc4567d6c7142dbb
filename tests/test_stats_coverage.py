"""How often intervals hold a known truth, by simulation: the shares that the docstring of interval_within states."""

import math

import numpy as np
import pytest
from scipy import stats as oracle
from scipy.optimize import brentq
from scipy.signal import lfilter

from lnbench.across import Spread, across_processes, median_interval
from lnbench.stats import interval_within, is_precise

TRIALS = 600
NOISE = 0.01
HIT = math.log(1.5)
"""A round in which something else ran takes 1.5 x as long."""


def spread_of(rows):
    """How far processes lie apart in each of these rows."""
    spread = Spread()
    for number, row in enumerate(rows):
        spread.add(None, number, row)
    return spread


def fewest_hits(share, trials=TRIALS):
    """The fewest hits that a true coverage of `share` shows in 999 of 1000 repetitions of the whole test."""
    return oracle.binom.ppf(0.001, trials, share)


def hits(intervals, truth=0.0):
    return sum(interval.low <= truth <= interval.high for interval in intervals)


def independent(rng, count):
    return NOISE * rng.standard_normal((TRIALS, count))


def heavy_tailed(rng, count):
    return NOISE * rng.standard_t(3, (TRIALS, count))


def hit(share, *, both_sides):
    """`share` of the rounds are hit while the reference runs, and as many, if wanted, while the implementation does."""

    def series(rng, count):
        sides = HIT * (rng.random((2, TRIALS, count)) < share)
        return independent(rng, count) + sides[0] - both_sides * sides[1]

    return series


def autocorrelated(rho):
    def series(rng, count):
        burnt_in = lfilter([1], [1, -rho], rng.standard_normal((TRIALS, count + 100)), axis=1)
        return NOISE * burnt_in[:, 100:]

    return series


def two_states(rng, count):
    """Two levels 2 % apart that swap every 5 rounds on average, over noise of 0.4 %."""
    swaps = np.cumsum(rng.random((TRIALS, count)) < 0.2, axis=1) + rng.integers(0, 2, (TRIALS, 1))
    return 0.02 * (swaps % 2) - 0.01 + rng.normal(0, 0.004, (TRIALS, count))


def drifting(rng, count):
    """A line from -2 % to 2 %: the truth is its middle."""
    return independent(rng, count) + np.linspace(-0.02, 0.02, count)


def counterbalanced(rng, count):
    """A place in the order that is worth 1 %, and turns round with every round."""
    return independent(rng, count) + 0.01 * (-1.0) ** np.arange(count)


INDEPENDENT = [independent, heavy_tailed, hit(0.05, both_sides=True), hit(0.3, both_sides=True)]
STATED = [
    *((draw, count, 0.97) for draw in (*INDEPENDENT, autocorrelated(0.3)) for count in (20, 60, 200)),
    *((draw, count, 0.99) for draw in (drifting, counterbalanced) for count in (20, 60, 200)),
    *zip([autocorrelated(0.7)] * 3, (20, 60, 200), (0.90, 0.95, 0.97), strict=True),
    *zip([autocorrelated(0.9)] * 3, (20, 60, 200), (0.66, 0.88, 0.95), strict=True),
    *zip([two_states] * 3, (20, 60, 200), (0.86, 0.93, 0.95), strict=True),
]


@pytest.mark.parametrize(("draw", "count", "share"), STATED)
def test_an_interval_within_a_process_holds_the_truth_as_often_as_stated(draw, count, share):
    series = draw(np.random.default_rng(20), count)

    assert hits(map(interval_within, series)) >= fewest_hits(share)


@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize("count", [20, 60, 200])
def test_with_outliers_on_one_side_an_interval_holds_the_median_of_all_rounds(share, count):
    series = hit(share, both_sides=False)(np.random.default_rng(21), count)

    def excess(value):
        below = oracle.norm.cdf([value / NOISE, (value - HIT) / NOISE])
        return (1 - share) * below[0] + share * below[1] - 0.5

    assert hits(map(interval_within, series), brentq(excess, -NOISE, HIT)) >= fewest_hits(0.97)


@pytest.mark.parametrize(
    ("draw", "precision", "share"),
    [
        *((draw, 0.005, 0.96) for draw in INDEPENDENT),
        (autocorrelated(0.3), 0.005, 0.94),
        (autocorrelated(0.7), 0.005, 0.90),
        (two_states, 0.01, 0.80),
        (two_states, 0.005, 0.64),
    ],
)
def test_stopping_as_soon_as_the_width_allows_holds_the_truth_as_often_as_stated(draw, precision, share):
    stopped = []
    for series in draw(np.random.default_rng(23), 300)[: TRIALS // 2]:
        rounds = next((n for n in range(20, 300, 5) if is_precise([series[:n]], precision=precision)), 300)
        stopped.append(interval_within(series[:rounds]))

    assert hits(stopped) >= fewest_hits(share, TRIALS // 2)


def test_a_median_interval_of_one_process_holds_the_median_as_often_as_stated():
    times = np.exp(independent(np.random.default_rng(22), 60))

    assert hits(median_interval([process]) for process in times) >= fewest_hits(0.97)


def test_correcting_for_autocorrelation_costs_independent_rounds_little_width():
    series = independent(np.random.default_rng(24), 60)

    corrected = np.mean([interval.high - interval.low for interval in map(interval_within, series)])
    bounds = [oracle.quantile_test(values, q=0, p=0.5).confidence_interval(0.95) for values in series]
    plain = np.mean([bound.high - bound.low for bound in bounds])

    assert 1 <= corrected / plain < 1.2  # an estimated autocorrelation time is kept above 1, so it only ever widens


def test_rounds_that_repeat_each_other_are_worth_little_more_than_one_of_them():
    series = independent(np.random.default_rng(25), 50)

    repeated = np.mean([i.high - i.low for i in (interval_within(np.repeat(values, 4)) for values in series)])
    once = np.mean([interval.high - interval.low for interval in map(interval_within, series)])

    assert repeated > 0.8 * once  # half as wide if each counted for itself; coarse ranks widen short series


@pytest.mark.parametrize("draw", [independent, heavy_tailed])
def test_a_moderated_interval_over_three_processes_holds_the_truth_and_is_narrower(draw):
    groups = draw(np.random.default_rng(26), 39).reshape(TRIALS, 13, 3)

    own = [across_processes(similar[0]) for similar in groups]
    moderated = [across_processes(similar[0], pooled=spread_of(similar).without(None, 0)) for similar in groups]

    assert hits(moderated) >= fewest_hits(0.95)
    assert np.mean([i.high - i.low for i in moderated]) < np.mean([i.high - i.low for i in own])
