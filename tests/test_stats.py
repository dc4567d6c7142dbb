"""Intervals held against known truth by simulation, against scipy where it has the same quantity, and by their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as oracle
from scipy.signal import lfilter

from lnbench.stats import (
    Estimate,
    Interval,
    PooledVariance,
    TooFewError,
    Turns,
    across_processes,
    combine,
    interval_within,
    is_precise,
    median_interval,
    pair_nearest,
    pooled_variance,
    within_process,
)

TRIALS = 600


def fewest_hits(share, trials=TRIALS):
    """The fewest hits that a true coverage of `share` shows in 999 of 1000 repetitions of the whole test."""
    return oracle.binom.ppf(0.001, trials, share)


def hits(intervals, truth=0.0):
    return sum(interval.low <= truth <= interval.high for interval in intervals)


def independent(rng, count):
    return rng.standard_normal((TRIALS, count))


def heavy_tailed(rng, count):
    return rng.standard_t(3, (TRIALS, count))


def with_outliers(rng, count):
    """5 % of the rounds of each side are 1.5 x as long, over noise of 1 %."""
    sides = math.log(1.5) * (rng.random((2, TRIALS, count)) < 0.05)
    return rng.normal(0, 0.01, (TRIALS, count)) + sides[0] - sides[1]


def autocorrelated(rho):
    def series(rng, count):
        burnt_in = lfilter([1], [1, -rho], rng.standard_normal((TRIALS, count + 100)), axis=1)
        return burnt_in[:, 100:]

    return series


def two_states(rng, count):
    """Two levels 2 % apart that swap every 5 rounds on average, over noise of 0.4 %."""
    swaps = np.cumsum(rng.random((TRIALS, count)) < 0.2, axis=1) + rng.integers(0, 2, (TRIALS, 1))
    return 0.02 * (swaps % 2) - 0.01 + rng.normal(0, 0.004, (TRIALS, count))


def drifting(rng, count):
    """Noise of 1 around a line from -2 to 2: the truth is its middle."""
    return rng.standard_normal((TRIALS, count)) + np.linspace(-2, 2, count)


# The shares are those that the docstring of within_process states; below 95 % the shortfall is stated there too.
@pytest.mark.parametrize(
    ("draw", "count", "share"),
    [
        (independent, 8, 0.95),
        (independent, 20, 0.95),
        (independent, 200, 0.95),
        (heavy_tailed, 20, 0.95),
        (heavy_tailed, 200, 0.95),
        (with_outliers, 20, 0.95),
        (with_outliers, 200, 0.95),
        (drifting, 20, 0.95),
        (drifting, 200, 0.95),
        (autocorrelated(0.3), 20, 0.95),
        (autocorrelated(0.3), 200, 0.95),
        (autocorrelated(0.7), 20, 0.91),
        (autocorrelated(0.7), 60, 0.93),
        (autocorrelated(0.7), 200, 0.94),
        (autocorrelated(0.9), 20, 0.76),
        (autocorrelated(0.9), 60, 0.90),
        (two_states, 20, 0.86),
        (two_states, 60, 0.92),
        (two_states, 200, 0.94),
    ],
)
def test_an_interval_within_a_process_holds_the_truth_as_often_as_stated(draw, count, share):
    series = draw(np.random.default_rng(20), count)

    assert hits(map(interval_within, series)) >= fewest_hits(share)


@pytest.mark.parametrize(
    ("draw", "count", "share"),
    [
        (independent, 20, 0.95),
        (independent, 200, 0.95),
        (heavy_tailed, 60, 0.95),
        (autocorrelated(0.3), 60, 0.95),
        (autocorrelated(0.7), 200, 0.94),
    ],
)
def test_a_median_interval_of_one_process_holds_the_truth_as_often_as_stated(draw, count, share):
    series = np.exp(0.05 * draw(np.random.default_rng(21), count))

    assert hits(median_interval([times]) for times in series) >= fewest_hits(share)


def test_correcting_for_autocorrelation_costs_independent_rounds_little_width():
    series = independent(np.random.default_rng(22), 60)

    corrected = np.median([interval.high - interval.low for interval in map(interval_within, series)])
    plain = np.median(2 * oracle.t.ppf(0.975, 59) * series.std(axis=1, ddof=1) / math.sqrt(60))

    assert corrected < 1.2 * plain  # 6 % for trimming normal values, 9 % for estimating tau and keeping it above 1


def test_stopping_as_soon_as_the_width_allows_still_holds_the_truth_as_often_as_stated():
    stopped = []
    for series in 0.03 * independent(np.random.default_rng(23), 400):
        rounds = next((n for n in range(20, 400, 5) if is_precise([series[:n]], precision=0.01)), 400)
        stopped.append(interval_within(series[:rounds]))

    assert hits(stopped) >= fewest_hits(0.93)


@pytest.mark.parametrize("draw", [independent, heavy_tailed])
def test_a_moderated_interval_over_three_processes_holds_the_truth_and_is_narrower(draw):
    groups = draw(np.random.default_rng(24), 39).reshape(TRIALS, 13, 3)

    own = [across_processes(similar[0]) for similar in groups]
    moderated = [across_processes(similar[0], pooled=pooled_variance(similar[1:])) for similar in groups]

    assert hits(moderated) >= fewest_hits(0.95)
    assert np.mean([i.high - i.low for i in moderated]) < np.mean([i.high - i.low for i in own])


def test_the_location_is_the_trimmed_mean():
    values = np.random.default_rng(1).standard_t(3, 57)

    assert within_process(values).location == pytest.approx(oracle.trim_mean(values, 0.1), rel=1e-12)


def test_the_standard_error_of_series_that_alternate_is_yuens():
    values = np.tile([-1.0, 1.0], 15) * np.random.default_rng(2).uniform(1, 2, 30)  # tau below 1 counts as 1

    found = within_process(values)

    # Against the same values plus 1, the two-sample statistic is 1 over the root of twice the squared error.
    expected = oracle.ttest_ind(values + 1, values, trim=0.1, equal_var=False).statistic
    assert 1 / (math.sqrt(2) * found.standard_error) == pytest.approx(expected, rel=1e-12)
    assert (found.degrees_of_freedom, found.effective_count) == (23, 30)  # 24 of 30 values are kept


def test_an_interval_across_processes_is_students():
    locations = [0.01, 0.03, -0.01, 0.02]

    found = across_processes(locations, level=0.9)

    low, high = oracle.t.interval(0.9, 3, loc=np.mean(locations), scale=oracle.sem(locations))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert (found.unit, found.count) == ("process", 4)


def test_moderation_takes_half_of_each_variance_and_satterthwaites_degrees_of_freedom():
    locations = [0.0, 2.0, 4.0]  # variance 4, 2 degrees of freedom

    found = across_processes(locations, pooled=PooledVariance(8.0, 20))

    freedom = (2 + 4) ** 2 / (2**2 / 2 + 4**2 / 20)
    assert found.high - found.estimate == pytest.approx(oracle.t.ppf(0.975, freedom) * math.sqrt(6 / 3), rel=1e-12)


def test_the_pooled_variance_weighs_groups_by_their_degrees_of_freedom():
    assert pooled_variance([[1.0, 3.0], [5.0], [], [0.0, 3.0, 6.0]]) == PooledVariance((2 + 18) / 3, 3)
    assert pooled_variance([[1.0], []]) is None


def test_the_order_statistics_of_independent_samples_are_the_binomial_ones():
    times = np.tile([1.0, 2.0], 20) + np.random.default_rng(3).uniform(0, 0.5, 40)  # alternating: tau counts as 1

    bounds = median_interval([times]).exp()

    expected = oracle.quantile_test(times, q=1.5, p=0.5).confidence_interval(0.95)
    assert bounds == pytest.approx((np.median(times), expected.low, expected.high), rel=1e-12)


def test_several_processes_are_combined_by_their_locations():
    processes = [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [], [2.0, 3.0, 4.0]]

    assert combine(processes) == across_processes([2.0, 4.0, 3.0])


def test_one_process_says_that_its_unit_is_the_round():
    found = combine([[0.1, 0.2, 0.3, 0.2]])

    assert found == interval_within([0.1, 0.2, 0.3, 0.2])
    assert (found.unit, found.count) == ("round", 4)


def test_no_values_are_too_few_for_a_statistic_and_nothing_for_a_table():
    with pytest.raises(TooFewError, match="need at least 1"):
        within_process([])
    with pytest.raises(TooFewError, match="need at least 1"):
        across_processes([])

    assert combine([]) is combine([[], []]) is median_interval([[]]) is None


def test_one_value_has_a_location_and_no_bounds():
    assert within_process([0.5]) == Estimate(0.5, math.inf, 0.0, 1, 1.0)
    assert interval_within([0.5]) == Interval(0.5, -math.inf, math.inf, "round", 1)
    assert across_processes([0.5]) == Interval(0.5, -math.inf, math.inf, "process", 1)
    assert median_interval([[1.0]]) == Interval(0.0, -math.inf, math.inf, "round", 1)
    assert not interval_within([0.5]).is_bounded
    assert interval_within([0.5]).exp() == (math.exp(0.5), 0.0, math.inf)
    assert interval_within([0.5]).relative_half_width == math.inf


@pytest.mark.parametrize("values", [[0.1, 0.3], [0.1, 0.3, 0.4]])
def test_two_or_three_values_give_students_interval(values):
    found = interval_within(values)

    expected = oracle.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=oracle.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


def test_equal_values_give_an_interval_without_width():
    found = (interval_within([0.1] * 30), across_processes([0.1] * 3), median_interval([np.exp([0.1] * 30)]))

    for interval in found:
        # Only the mean's last bit may differ from 0.1.
        assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.1, 0.1, 0.1), rel=1e-15)
    assert across_processes([0.1] * 3, pooled=PooledVariance(0.0, 4)).relative_half_width < 1e-15


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_by_position(bad):
    with pytest.raises(ValueError, match="value 1 of 3 is not finite"):
        combine([[0.1, bad, 0.2]])
    with pytest.raises(ValueError, match="value 1 of 3 is not finite"):
        median_interval([[0.1, bad, 0.2]])


def test_times_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="times are positive"):
        median_interval([[1.0, 0.0]])
    with pytest.raises(ValueError, match="times are positive"):
        pair_nearest(Turns([0], [0.0], [-1.0]), Turns([0], [0.0], [1.0]))


SERIES = arrays(np.float64, st.integers(2, 60), elements=st.floats(-2, 2, allow_subnormal=False))
ROUNDING = {"rel": 1e-6, "abs": 1e-9}
"""Sums in another order differ in their last bits, which the square root of a nearly vanishing variance magnifies."""


@given(SERIES, st.randoms(use_true_random=False))
def test_order_matters_to_the_width_within_a_process_and_never_to_locations(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)

    assert within_process(shuffled).location == within_process(values).location
    assert across_processes(shuffled).high == pytest.approx(across_processes(values).high, **ROUNDING)


@given(SERIES, st.integers(-5, 5))
def test_times_in_another_unit_shift_an_interval_and_keep_its_width(values, shift):
    grid = np.round(values * 1024) / 1024  # here adding a whole number is exact, so both series have the same lags

    moved, still = interval_within(grid + shift), interval_within(grid)

    assert (moved.estimate - shift, moved.high - shift) == pytest.approx((still.estimate, still.high), **ROUNDING)


@given(SERIES, st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_spread_twice_as_large_gives_an_interval_twice_as_wide(values, scale):
    scaled, plain = interval_within(values * scale), interval_within(values)

    assert scaled.high - scaled.estimate == pytest.approx(scale * (plain.high - plain.estimate), **ROUNDING)


@given(SERIES)
def test_swapping_reference_and_implementation_gives_the_reciprocal_interval(values):
    swapped, plain = interval_within(-values), interval_within(values)

    assert (swapped.estimate, swapped.low, swapped.high) == pytest.approx(
        (-plain.estimate, -plain.high, -plain.low), **ROUNDING
    )


@given(st.lists(SERIES.map(np.exp), min_size=1, max_size=4))
def test_a_median_lies_between_its_bounds(processes):
    found = median_interval(processes)

    assert found.low <= found.estimate <= found.high
    assert found.exp().value == pytest.approx(np.median(np.concatenate(processes)), rel=1e-12)


def test_series_that_alternate_are_worth_as_many_values_as_they_have():
    values = np.tile([0.98, 1.02], 20) + np.random.default_rng(7).normal(0, 0.001, 40)

    assert within_process(values).effective_count == 40


def test_an_interval_off_the_log_scale_is_a_ratio():
    interval = Interval(0.0, -math.log(2), math.log(2), "round", 9)

    assert interval.exp() == pytest.approx((1.0, 0.5, 2.0), rel=1e-12)
    assert interval.relative_half_width == pytest.approx(1.0, rel=1e-12)


def test_precision_looks_at_the_width_and_never_at_the_direction():
    noise = np.random.default_rng(5).normal(0, 0.01, 40)

    for shift in (-1.0, 0.0, 1.0):
        assert is_precise([noise + shift], precision=0.01)
        assert not is_precise([noise + shift], precision=0.001)


def test_precision_needs_every_series_and_twenty_rounds_of_each():
    flat, noisy = np.zeros(20), np.random.default_rng(6).normal(0, 0.5, 20)

    assert is_precise([flat, flat], precision=0.01)
    assert not is_precise([flat, noisy], precision=0.01)
    assert not is_precise([flat, flat[1:]], precision=0.01)
    assert not is_precise([], precision=0.01)


def test_each_turn_is_paired_with_the_nearest_reference_turn_of_its_round():
    implementation = Turns([1, 0, 0, 2], [12.0, 4.0, 1.0, 20.0], [8.0, 4.0, 2.0, 1.0])
    reference = Turns([0, 0, 1, 3], [0.0, 5.0, 19.9, 20.1], [2.0, 16.0, 8.0, 1.0])

    paired = pair_nearest(implementation, reference)

    assert paired == pytest.approx([math.log(2 / 2), math.log(16 / 4), math.log(8 / 8)], rel=1e-12)


def test_a_turn_midway_between_two_reference_turns_takes_their_mean_in_log():
    paired = pair_nearest(Turns([0], [1.0], [1.0]), Turns([0, 0, 0], [2.0, 0.0, 9.0], [8.0, 2.0, 5.0]))

    assert paired == pytest.approx([math.log(4)], rel=1e-12)


def test_without_a_common_round_there_are_no_pairs():
    turns = Turns([0, 1], [0.0, 1.0], [1.0, 1.0])

    for other in (Turns([], [], []), Turns([5], [0.0], [1.0])):
        assert len(pair_nearest(turns, other)) == len(pair_nearest(other, turns)) == 0


def test_the_reference_paired_with_itself_reads_one():
    turns = Turns([0, 0, 1], [0.0, 3.0, 5.0], [1.0, 2.0, 3.0])

    assert pair_nearest(turns, turns).tolist() == [0.0, 0.0, 0.0]


TURN = st.tuples(st.integers(0, 4), st.integers(0, 20), st.integers(1, 9))


@given(st.lists(TURN, max_size=12), st.lists(TURN, max_size=12))
def test_pairs_are_those_of_a_plain_search(turns, ref_turns):
    expected = []
    for number, started, seconds in sorted(turns, key=lambda turn: turn[:2]):
        partners = [(abs(ref[1] - started), math.log(ref[2])) for ref in ref_turns if ref[0] == number]
        nearest = [log_time for gap, log_time in partners if gap == min(partners)[0]]
        expected += [sum(nearest) / len(nearest) - math.log(seconds)] if nearest else []

    paired = pair_nearest(*(Turns(*np.array(side, dtype=float).reshape(-1, 3).T) for side in (turns, ref_turns)))

    assert paired.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
