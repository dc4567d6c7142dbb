"""Plain statistics of samples, held against those of pytest-benchmark, whose definitions they take."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from lnbench.sample_statistics import sample_statistics
from lnbench.stats import TooFewError

TIMES = st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60)


def theirs(values):
    """The same by pytest-benchmark itself."""
    stats = Stats()
    for value in values:
        stats.update(value)
    return stats.as_dict()


@given(TIMES)
def test_every_statistic_is_that_of_pytest_benchmark(values):
    ours = sample_statistics(values)._asdict()
    expected = theirs(values)

    assert list(ours) == list(expected)
    for name in ("min", "max", "mean", "median", "q1", "q3", "ops", "total", "rounds"):
        # Sums of up to 60 values differ in their last bits by the order in which they are added.
        assert math.isclose(ours[name], expected[name], rel_tol=1e-12), name
    for name in ("stddev", "iqr"):
        assert math.isclose(ours[name], expected[name], rel_tol=1e-9, abs_tol=1e-12 * expected["max"]), name


def test_outliers_are_counted_as_pytest_benchmark_counts_them():
    values = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.01, 5.0, 0.1]

    ours, expected = sample_statistics(values)._asdict(), theirs(values)

    assert ours["outliers"] == expected["outliers"] == "1;2"
    assert (ours["ld15iqr"], ours["hd15iqr"]) == (expected["ld15iqr"], expected["hd15iqr"]) == (0.9, 1.1)


@pytest.mark.parametrize("values", [[2.0], [2.0, 2.0, 2.0]])
def test_one_value_or_equal_values_spread_by_nothing(values):
    found = sample_statistics(values)

    assert (found.stddev, found.iqr, found.outliers) == (0.0, 0.0, "0;0")
    assert found.min == found.q1 == found.hd15iqr == found.max == 2.0


def test_zeros_have_no_rate():
    assert sample_statistics([0.0, 0.0]).ops == 0.0


def test_nothing_has_no_statistics():
    with pytest.raises(TooFewError):
        sample_statistics([])


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        sample_statistics([1.0, math.inf])
