"""Intervals held against scipy where it has the same quantity, and against their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as oracle

from lnbench.across import PooledVariance, across_processes, combine, median_interval
from lnbench.stats import (
    Interval,
    TooFewError,
    interval_within,
    is_precise,
)


def alternating(count):
    """Values that change the side of their median every time, so that none resembles the one before."""
    draw = np.random.default_rng(3)
    ordered = np.sort(draw.standard_t(3, count))
    found = np.empty(count)
    found[::2] = draw.permutation(ordered[: (count + 1) // 2])
    found[1::2] = draw.permutation(ordered[(count + 1) // 2 :])
    return found


@pytest.mark.parametrize("count", [6, 7, 8, 11, 20, 33, 60, 199, 200])
def test_the_bounds_of_values_that_do_not_resemble_their_neighbours_are_the_binomial_ones(count):
    values = alternating(count)

    found = interval_within(values)

    expected = oracle.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (found.estimate, found.unit, found.count) == (np.median(values), "round", count)


@pytest.mark.parametrize(("count", "rank"), [(20, 3), (60, 8), (200, 28)])
def test_a_series_that_only_drifts_counts_for_six_values(count, rank):
    drift = np.linspace(-1, 1, count)

    found = interval_within(drift)

    # The extremes of 6 values lie at 1/7 and 6/7.
    assert (found.low, found.high) == (drift[rank - 1], drift[count - rank])


def test_the_median_interval_of_a_process_is_that_of_its_log_times_around_the_median_of_its_times():
    times = np.exp(0.01 * alternating(40))

    bounds = median_interval([times]).exp()

    expected = oracle.quantile_test(times, q=1, p=0.5).confidence_interval(0.95)
    assert bounds == pytest.approx((np.median(times), expected.low, expected.high), rel=1e-12)


def test_an_interval_across_processes_is_students():
    locations = [0.01, 0.03, -0.01, 0.02]

    found = across_processes(locations, level=0.9)

    low, high = oracle.t.interval(0.9, 3, loc=np.mean(locations), scale=oracle.sem(locations))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert (found.unit, found.count) == ("process", 4)


def test_moderation_takes_half_of_each_variance_and_twice_the_degrees_of_freedom():
    locations = [0.0, 2.0, 4.0]  # variance 4, 2 degrees of freedom

    found = across_processes(locations, pooled=PooledVariance(8.0, 20))

    assert found.high - found.estimate == pytest.approx(oracle.t.ppf(0.975, 4) * math.sqrt(6 / 3), rel=1e-12)


def test_several_processes_are_combined_by_their_medians_and_are_the_unit():
    processes = [[1.0, 2.0, 9.0], [3.0, 4.0, 5.0], [], [-7.0, 3.0, 4.0]]

    assert combine(processes) == across_processes([2.0, 4.0, 3.0])
    assert combine(processes, pooled=PooledVariance(8.0, 20)) == across_processes(
        [2.0, 4.0, 3.0], pooled=PooledVariance(8.0, 20)
    )


def test_the_times_of_several_processes_are_the_unit_too():
    found = median_interval([[1.0, 2.0, 9.0], [2.0, 4.0, 4.0], [1.0, 3.0, 3.0]])

    across = across_processes(np.log([2.0, 4.0, 3.0]))
    assert (found.low, found.high) == pytest.approx((across.low, across.high), rel=1e-12)
    assert (found.exp().value, found.unit, found.count) == (pytest.approx(3.0, rel=1e-12), "process", 3)


def test_one_process_says_that_its_unit_is_the_round():
    found = combine([[], [0.1, 0.2, 0.3, 0.2]])

    assert found == interval_within([0.1, 0.2, 0.3, 0.2])
    assert (found.unit, found.count) == ("round", 4)


def test_no_values_are_too_few_for_a_statistic_and_nothing_for_a_table():
    with pytest.raises(TooFewError, match="need at least 1"):
        interval_within([])
    with pytest.raises(TooFewError, match="need at least 1"):
        across_processes([])

    assert combine([]) is combine([[], []]) is median_interval([[]]) is None


@pytest.mark.parametrize("values", [[0.5], [0.4, 0.6], [0.5, 0.4, 0.9], [0.1, 0.4, 0.6, 0.9], [0.5] * 5])
def test_fewer_than_six_values_have_a_median_and_no_bounds(values):
    found = interval_within(values)

    assert found == Interval(0.5, -math.inf, math.inf, "round", len(values))
    assert median_interval([np.exp(values)]).is_bounded is found.is_bounded is False
    assert found.exp() == (math.exp(0.5), 0.0, math.inf)
    assert found.relative_half_width == math.inf


def test_six_values_lie_between_their_extremes():
    assert interval_within([3.0, 1.0, 5.0, 2.0, 6.0, 4.0]) == Interval(3.5, 1.0, 6.0, "round", 6)


def test_one_process_among_processes_has_no_bounds():
    assert across_processes([0.5]) == Interval(0.5, -math.inf, math.inf, "process", 1)


def test_equal_values_give_an_interval_without_width():
    found = (interval_within([0.1] * 30), across_processes([0.1] * 3), median_interval([np.exp([0.1] * 30)]))

    for interval in found:
        # Only the last bit of a mean, or of exp and log, may differ from 0.1.
        assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.1, 0.1, 0.1), rel=1e-15)
    assert across_processes([0.1] * 3, pooled=PooledVariance(0.0, 4)).relative_half_width < 1e-15


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_by_position(bad):
    for statistic in (interval_within, across_processes, lambda values: combine([values])):
        with pytest.raises(ValueError, match="value 1 of 3 is not finite"):
            statistic([0.1, bad, 0.2])
    with pytest.raises(ValueError, match="value 1 of 3 is not finite"):
        median_interval([[0.1, bad, 0.2]])


def test_times_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="times are positive"):
        median_interval([[1.0, 0.0]])


SERIES = arrays(np.int64, st.integers(2, 60), elements=st.integers(-2048, 2048)).map(lambda ticks: ticks / 1024)
"""Multiples of 1/1024: adding whole numbers and scaling by powers of two is exact, so that no lag changes."""
ROUNDING = {"rel": 1e-12, "abs": 1e-12}
"""Sums in another order differ in their last bits."""


@given(SERIES, st.randoms(use_true_random=False))
def test_order_matters_to_the_width_within_a_process_and_never_to_locations(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)

    assert interval_within(shuffled).estimate == interval_within(values).estimate
    assert across_processes(shuffled).high == pytest.approx(across_processes(values).high, **ROUNDING)


@given(SERIES, st.integers(-5, 5))
def test_times_in_another_unit_shift_an_interval_and_keep_its_width(values, shift):
    moved, still = interval_within(values + shift), interval_within(values)

    assert (moved.estimate, moved.low, moved.high) == (still.estimate + shift, still.low + shift, still.high + shift)


@given(SERIES, st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_spread_twice_as_large_gives_an_interval_twice_as_wide(values, scale):
    scaled, plain = interval_within(values * scale), interval_within(values)

    assert (scaled.estimate, scaled.low, scaled.high) == (
        scale * plain.estimate, scale * plain.low, scale * plain.high,
    )  # fmt: skip


@given(SERIES)
def test_swapping_reference_and_implementation_gives_the_reciprocal_interval(values):
    swapped, plain = interval_within(-values), interval_within(values)

    assert (swapped.estimate, swapped.low, swapped.high) == (-plain.estimate, -plain.high, -plain.low)


@given(SERIES, st.data())
def test_what_fewer_than_half_of_the_rounds_read_can_not_carry_the_location_away(values, data):
    places = data.draw(st.sets(st.integers(0, len(values) - 1), max_size=(len(values) - 1) // 2))
    spoiled = values.copy()
    spoiled[sorted(places)] = data.draw(arrays(np.float64, len(places), elements=st.floats(-1e6, 1e6)))

    assert values.min() <= interval_within(spoiled).estimate <= values.max()


@given(st.lists(SERIES.map(np.exp), min_size=1, max_size=4))
def test_a_median_lies_between_its_bounds(processes):
    found = median_interval(processes)

    assert found.low <= found.estimate <= found.high
    assert found.exp().value == pytest.approx(np.median(np.concatenate(processes)), rel=1e-12)


def test_an_interval_off_the_log_scale_is_a_ratio():
    interval = Interval(0.0, -math.log(2), math.log(2), "round", 9)

    assert interval.exp() == pytest.approx((1.0, 0.5, 2.0), rel=1e-12)
    assert interval.relative_half_width == pytest.approx(1.0, rel=1e-12)


def test_precision_looks_at_the_width_and_never_at_the_direction():
    noise = np.random.default_rng(5).normal(0, 0.01, 60)

    for shift in (-1.0, 0.0, 1.0):
        assert is_precise([noise + shift], precision=0.01)
        assert not is_precise([noise + shift], precision=0.001)


def test_precision_needs_every_series_and_twenty_rounds_of_each():
    flat, noisy = np.zeros(20), np.random.default_rng(6).normal(0, 0.5, 20)

    assert is_precise([flat, flat], precision=0.01)
    assert not is_precise([flat, noisy], precision=0.01)
    assert not is_precise([flat, flat[1:]], precision=0.01)
    assert not is_precise([], precision=0.01)
