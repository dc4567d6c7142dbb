"""How long samples are and how many a turn takes, on counts alone."""

import pytest

from lnbench.worker.pace import LEAST_WINDOW, LONGEST_WINDOW_S, MOST_SAMPLES, SHORTEST_SAMPLE_S, WINDOW, Pace

FULL_S = 2e-3


def after(*shares, full_s=FULL_S):
    """The pace after windows of samples of which these shares were undisturbed."""
    pace = Pace(full_s)
    for share in shares:
        pace.note(taken=100, kept=round(100 * share))
    return pace


def test_on_a_quiet_machine_a_turn_takes_one_sample_of_full_length():
    pace = after(1.0, 0.97, 0.9, 0.81)

    assert (pace.sample_s, pace.samples, pace.is_crowded) == (FULL_S, 1, False)


@pytest.mark.parametrize(
    ("shares", "sample_s", "samples"),
    [
        ([0.79], 1e-3, 2),
        ([0.5, 0.7], 0.5e-3, 4),
        ([0.5, 0.7, 0.79], 0.25e-3, 8),
        ([0.5, 0.7, 0.85], 0.5e-3, 4),
        ([0.0] * 9, SHORTEST_SAMPLE_S, MOST_SAMPLES),
    ],
)
def test_samples_are_halved_and_their_number_doubled_until_enough_are_undisturbed(shares, sample_s, samples):
    pace = after(*shares)

    assert (pace.sample_s, pace.samples, pace.is_crowded) == (pytest.approx(sample_s), samples, True)


def test_samples_double_back_to_full_length_when_nearly_all_are_undisturbed():
    lengths = [after(0.2, 0.2, 0.2, *[0.99] * times).sample_s for times in range(5)]

    assert lengths == pytest.approx([0.25e-3, 0.5e-3, 1e-3, 2e-3, 2e-3])


def test_a_machine_counts_as_crowded_until_samples_of_full_length_are_undisturbed():
    crowded = [after(0.2, *[0.99] * times).is_crowded for times in range(3)]

    assert crowded == [True, True, False]


def test_a_long_call_is_a_sample_by_itself_though_none_is_undisturbed():
    pace = after(*[0.0] * 9)

    assert pace.samples_of(1.0) == 1


def test_samples_that_are_short_already_are_not_made_longer_than_they_were():
    pace = after(0.0, 0.0, full_s=100e-6)

    assert (pace.sample_s, pace.samples) == (100e-6, 1)


def test_the_pace_changes_only_after_a_window_of_samples():
    pace = Pace(FULL_S)
    pace.note(taken=WINDOW - 1, kept=0)
    before = pace.sample_s
    pace.note(taken=1, kept=0)

    assert (before, pace.sample_s) == (FULL_S, FULL_S / 2)


def test_a_window_begins_anew_when_it_was_looked_at():
    pace = Pace(FULL_S)
    pace.note(taken=WINDOW, kept=0)
    pace.note(taken=WINDOW, kept=WINDOW)

    assert pace.sample_s == FULL_S  # the disturbed ones of the window before no longer count


@pytest.mark.parametrize(("sample_s", "samples"), [(0.5e-3, 4), (1e-3, 2), (1.9e-3, 1), (50e-3, 1), (1e-6, 4)])
def test_a_turn_of_long_calls_takes_fewer_samples(sample_s, samples):
    pace = after(0.5, 0.5)

    assert pace.samples_of(sample_s) == samples


def test_long_samples_shorten_before_a_whole_window_of_them_is_there():
    by_time, by_count = Pace(2e-3), Pace(2e-3)

    by_time.note(taken=LEAST_WINDOW, kept=0, seconds=LONGEST_WINDOW_S)
    by_count.note(taken=LEAST_WINDOW, kept=0, seconds=0.9 * LONGEST_WINDOW_S)

    assert (by_time.is_crowded, by_count.is_crowded) == (True, False)


def test_beside_others_that_want_the_cores_samples_are_short_from_the_start():
    pace = Pace(2e-3)

    pace.begin_crowded()

    assert pace.is_crowded
    assert (pace.sample_s, pace.samples) == (0.5e-3, 4)
