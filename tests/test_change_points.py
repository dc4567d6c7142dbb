"""Changes of level in series of log ratios: told where they are, and not where there are none."""

import math

import numpy as np
import pytest

from lnbench.analysis.change_points import ALPHA, LEAST_BETWEEN, LEAST_VALUES, find_steps, measure_steps

MARGIN = 0.03


def series(count, *, noise=0.01, steps=(), seed=1):
    """Log ratios around 0 that change by a log step from each place on."""
    values = np.random.default_rng(seed).normal(0, noise, count)
    for first, size in steps:
        values[first:] += size
    return values


def found(values, *, errors=None, margin=MARGIN):
    """The first values after each change."""
    unknown = np.full(len(values), math.nan)
    return [step.first for step in find_steps(values, unknown if errors is None else errors, margin=margin)]


def test_a_step_is_found_at_its_place_with_an_interval_that_holds_its_size():
    (step,) = find_steps(series(30, steps=[(17, -0.08)]), np.full(30, 0.004), margin=MARGIN)

    assert step.first == 17
    assert step.earliest <= 17 <= step.latest
    assert step.difference.low < -0.08 < step.difference.high
    assert step.difference.high < 0
    assert step.p < 1e-10


def test_several_steps_are_found_also_back_to_where_it_was():
    assert found(series(40, steps=[(12, 0.1), (25, -0.1)])) == [12, 25]


@pytest.mark.parametrize("count", range(LEAST_VALUES))
def test_too_few_values_have_no_changes(count):
    assert found([0.0, 0.0, 0.5, 0.5, 0.5][:count]) == []


def test_six_values_can_tell_of_a_clear_step():
    assert found([0.001, -0.001, 0.0, 0.101, 0.099, 0.1]) == [3]


def test_a_change_of_less_than_the_margin_is_none_and_a_smaller_margin_tells_of_it():
    values = series(60, noise=0.003, steps=[(30, 0.02)])

    assert found(values) == []
    assert found(values, margin=0.01) == [30]


def test_steps_below_the_margin_that_go_on_in_one_direction_are_told_together():
    values = series(60, noise=0.002, steps=[(20, 0.02), (40, 0.02)])

    assert len(found(values)) == 1


@pytest.mark.parametrize("place", [0, 10, 28, 29])
def test_one_run_far_off_is_no_change(place):
    values = series(30)
    values[place] += 0.3

    assert found(values) == []


def test_one_run_far_off_hides_no_change():
    values = series(30, steps=[(15, 0.08)])
    values[[4, 22]] += [0.5, -0.5]

    assert found(values) == [15]


def test_a_change_is_told_once_three_runs_stand_after_it():
    values = series(23, steps=[(20, 0.1)])

    assert [found(values[:count]) for count in (21, 22, 23)] == [[], [], [20]]
    assert LEAST_BETWEEN == 3


def test_equal_values_have_no_change_and_a_step_between_equal_ones_is_certain():
    assert found([0.25] * 20) == []
    assert found([0.0] * 10 + [0.1] * 10) == [10]


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="value 7 of 20 is not finite"):
        found([*[0.0] * 7, math.nan, *[0.0] * 12])


def test_a_poorly_known_value_weighs_less():
    values = np.array([0.0, 0.002, -0.002, 0.001, -0.001, 0.0, 0.1, 0.1, 0.02])
    alike = measure_steps(values, np.full(9, 0.002), [6])[0].difference.estimate
    poor = measure_steps(values, [*[0.002] * 8, 0.2], [6])[0].difference.estimate

    assert abs(poor - 0.1) < abs(alike - 0.1)


def test_errors_that_are_not_known_for_some_values_are_taken_from_the_others():
    errors = [math.nan, math.inf, *[0.004] * 28]

    assert found(series(30, steps=[(17, 0.08)]), errors=errors) == [17]


def test_neighbours_that_resemble_each_other_make_a_change_less_certain():
    values = series(40, noise=0.005, steps=[(20, 0.05)])
    wave = values + 0.02 * np.sin(np.arange(40) / 2)
    mixed = values + np.random.default_rng(1).permutation(wave - values)

    assert measure_steps(wave, np.full(40, 0.001), [20])[0].p > measure_steps(mixed, np.full(40, 0.001), [20])[0].p


def test_a_noisy_step_may_have_been_at_other_places_too():
    (step,) = measure_steps(series(40, noise=0.03, steps=[(20, 0.04)], seed=5), np.full(40, 0.01), [20])

    assert step.earliest < step.latest
    assert step.earliest <= 20 <= step.latest


def test_p_values_count_the_places_that_were_searched():
    values = series(30, noise=0.02, steps=[(15, 0.02)])
    (alone,) = measure_steps(values, np.full(30, 0.01), [15])
    (_, beside) = measure_steps(values, np.full(30, 0.01), [8, 15])

    assert alone.p < beside.p


def test_series_without_a_change_seldom_tell_of_one():
    """At most 5 % by design; 1.2 % were found of 4,000."""
    told = sum(bool(found(series(30, noise=0.02, seed=seed))) for seed in range(200))

    assert told <= 2 * ALPHA * 200 / 2
