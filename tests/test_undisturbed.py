"""Which samples count as undisturbed: one case a line, then the estimate of what leaving samples out does."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.undisturbed import (
    DEFAULT_WAKEUP_S,
    LEAST_PAIRS,
    MOST_DELAY,
    MOST_OWN_WAKEUPS,
    Looks,
    Means,
    pairs_needed,
    tilt,
    undisturbed,
    waited,
)

WALL_S = 1e-3
WAKEUP_S = 7e-6
UNKNOWN = math.nan


def looks(
    count=20, *, wall_s=WALL_S, calls=100, delay_s=0.0, wakeups=0, involuntary=0, cpu_s=2e-3, has_pool=False, **last
) -> Looks:
    """Samples that are all alike but for the last one, of which `last` tells what was different (`last_delay_s`)."""
    alike = {
        "wall_s": wall_s,
        "calls": calls,
        "delay_s": delay_s,
        "wakeups": wakeups,
        "involuntary": involuntary,
        "cpu_s": cpu_s,
        "wakeup_s": WAKEUP_S,
    }
    columns = {name: np.full(count, value, dtype=np.float64) for name, value in alike.items()}
    for name, value in last.items():
        columns[name.removeprefix("last_")][-1] = value
    return Looks(**columns, has_pool=has_pool)


SPINNING = {"calls": 100, "wakeups": 0}
WOKEN = {"calls": 100, "wakeups": 100, "delay_s": 100 * WAKEUP_S}
PARKING = WOKEN | {"has_pool": True}


@pytest.mark.parametrize(
    ("made", "last_is_kept", "means"),
    [
        pytest.param(looks(**SPINNING), True, Means.DELAY, id="spinning, quiet"),
        pytest.param(looks(**SPINNING, last_delay_s=0.9 * MOST_DELAY * WALL_S), True, Means.DELAY, id="small delay"),
        pytest.param(looks(**SPINNING, last_delay_s=1.1 * MOST_DELAY * WALL_S), False, Means.DELAY, id="over 2 %"),
        pytest.param(
            looks(**SPINNING, last_delay_s=3e-3, last_wakeups=1, last_wall_s=4e-3),
            False,
            Means.DELAY,
            id="lost a slice",
        ),
        pytest.param(looks(**SPINNING, last_wakeups=40, last_delay_s=40 * WAKEUP_S), True, Means.DELAY, id="woken"),
        pytest.param(
            looks(**SPINNING, last_cpu_s=0.5e-3), True, Means.DELAY, id="CPU time of spinning threads is booked late"
        ),
        pytest.param(looks(**PARKING), True, Means.DELAY_AND_CPU, id="parking, quiet"),
        pytest.param(
            looks(**PARKING, last_delay_s=100 * WAKEUP_S + 1e-3), False, Means.DELAY_AND_CPU, id="parking, lost a slice"
        ),
        pytest.param(
            looks(**PARKING, last_cpu_s=1e-3), False, Means.DELAY_AND_CPU, id="parking, ended without its threads"
        ),
        pytest.param(
            looks(**PARKING, last_cpu_s=1.7e-3), True, Means.DELAY_AND_CPU, id="parking, most of its CPU time"
        ),
        pytest.param(
            looks(calls=100, wakeups=49, delay_s=49 * WAKEUP_S, has_pool=True, last_cpu_s=1e-3),
            True,
            Means.DELAY,
            id="a pool that is seldom woken",
        ),
        pytest.param(
            looks(**WOKEN, last_cpu_s=1e-3), True, Means.DELAY, id="woken, but a call waits for all of its threads"
        ),
        pytest.param(looks(delay_s=UNKNOWN), True, Means.SWITCHES, id="no schedstat, quiet"),
        pytest.param(looks(delay_s=UNKNOWN, last_involuntary=1), False, Means.SWITCHES, id="no schedstat, a switch"),
        pytest.param(
            looks(delay_s=UNKNOWN, last_cpu_s=1e-3, has_pool=True),
            False,
            Means.SWITCHES,
            id="no schedstat, little CPU time",
        ),
        pytest.param(
            looks(delay_s=UNKNOWN, involuntary=UNKNOWN, cpu_s=UNKNOWN), True, Means.UNKNOWN, id="an older journal"
        ),
        pytest.param(looks(**SPINNING, last_delay_s=UNKNOWN), True, Means.DELAY, id="one sample was not looked at"),
    ],
)
def test_a_sample_is_undisturbed(made, last_is_kept, means):
    found = undisturbed(made)

    assert found.means is means
    assert found.kept[:-1].all()
    assert bool(found.kept[-1]) is last_is_kept


def test_without_samples_nothing_is_known():
    found = undisturbed(looks(count=0))

    assert (len(found.kept), found.means) == (0, Means.UNKNOWN)


@pytest.mark.parametrize(("multiple", "kept"), [(1, 1.0), (2, 1.0), (0.99 * MOST_OWN_WAKEUPS, 1.0), (4, 0.0)])
def test_a_row_s_own_cost_of_a_wake_up_is_believed_up_to_three_times_the_machine_s(multiple, kept):
    made = looks(calls=100, wakeups=100, delay_s=multiple * 100 * WAKEUP_S)

    assert undisturbed(made).kept.mean() == kept


@pytest.mark.parametrize(("lost_s", "is_kept"), [(0.0, True), (0.6e-3, False), (3e-3, False)])
def test_many_wake_ups_that_cost_little_do_not_hide_a_time_slice(lost_s, is_kept):
    found = undisturbed(looks(calls=50, wakeups=1200, delay_s=1200 * 0.7e-6, last_delay_s=1200 * 0.7e-6 + lost_s))

    assert found.kept[:-1].all()
    assert bool(found.kept[-1]) is is_kept


def test_a_few_wake_ups_of_threads_that_are_seldom_woken_are_paid_at_the_machine_s_cost():
    found = undisturbed(looks(wall_s=250e-6, wakeups=1, delay_s=0.0, last_delay_s=10e-6))

    assert found.kept.all()  # 10 us are 4 % of a short sample, and 7 of them the wake-up


def test_wake_ups_are_paid_at_the_cost_in_the_process_of_the_sample():
    columns = looks(calls=100, wakeups=100, delay_s=100 * 15e-6)
    cheap = Looks(columns.wall_s, columns.calls, columns.delay_s, columns.wakeups, columns.involuntary, columns.cpu_s,
                  np.where(np.arange(20) < 10, 15e-6, 4e-6))  # fmt: skip

    assert undisturbed(cheap).kept.tolist() == [True] * 10 + [False] * 10  # 15 us is more than three times 4 us


def test_the_time_of_a_sample_is_never_what_decides():
    draw = np.random.default_rng(1)
    made = looks(count=1000, **SPINNING)
    spread = Looks(
        made.wall_s * np.exp(draw.normal(0, 1, 1000)), made.calls, made.delay_s, made.wakeups, made.involuntary,
        made.cpu_s, made.wakeup_s,
    )  # fmt: skip

    assert undisturbed(spread).kept.all()


@given(st.integers(0, 50), st.floats(0, 1e-2), st.floats(1e-5, 1e-2))
def test_one_sample_alone_is_judged_as_a_row_of_spinning_threads_is(wakeups, delay_s, wall_s):
    made = looks(count=1, wall_s=wall_s, calls=1000, wakeups=wakeups, delay_s=0.0)
    row = Looks(made.wall_s, made.calls, np.array([delay_s]), made.wakeups, made.involuntary, made.cpu_s, made.wakeup_s)
    is_own_wakeup = wakeups > 0 and delay_s / wakeups > WAKEUP_S  # a row knows its own, a sample does not

    is_disturbed = waited(delay_s, wall_s, wakeups=wakeups, involuntary=0, wakeup_s=WAKEUP_S)

    assert is_own_wakeup or is_disturbed is not bool(undisturbed(row).kept[0])


@pytest.mark.parametrize(("involuntary", "is_disturbed"), [(0, False), (1, True)])
def test_one_sample_without_schedstat_is_judged_by_its_switches(involuntary, is_disturbed):
    assert waited(None, WALL_S, wakeups=0, involuntary=involuntary) is is_disturbed


def test_a_wake_up_costs_what_it_usually_does_where_the_run_did_not_measure_it():
    assert not waited(10 * DEFAULT_WAKEUP_S, WALL_S, wakeups=10, involuntary=0)
    assert waited(10 * DEFAULT_WAKEUP_S + 1.1 * MOST_DELAY * WALL_S, WALL_S, wakeups=10, involuntary=0)


@pytest.mark.parametrize(("share", "spread"), [(0.9, 0.2), (0.5, 0.2), (0.5, 0.05), (0.2, 0.1)])
def test_the_tilt_is_what_losses_that_grow_with_duration_do_to_a_log_mean(share, spread):
    draw = np.random.default_rng(2)
    all_s = np.exp(draw.normal(0, spread, 200_000))
    rate = -math.log(share)
    kept_s = all_s[draw.random(len(all_s)) < np.exp(-rate * all_s)]
    shift = float(np.log(kept_s).mean() - np.log(all_s).mean())

    found = tilt(kept_s, share=len(kept_s) / len(all_s))

    # 1: the sampling error of the shift. 2: clipping at the tails, and a spread of what is kept that is less than that
    # of all, take an eighth off.
    error = 4 * spread * math.sqrt(1 / len(kept_s))
    assert found == pytest.approx(math.log(share) * spread**2, rel=0.2)
    assert found == pytest.approx(shift, rel=0.2, abs=error)


def test_a_row_that_lost_nothing_is_not_tilted():
    assert tilt(np.exp(np.random.default_rng(3).normal(0, 0.5, 1000)), share=1.0) == 0.0


@pytest.mark.parametrize(("seconds", "share"), [([], 0.5), ([1e-3], 0.5), ([1e-3, 2e-3], 0.0), ([1e-3] * 9, 0.1)])
def test_too_little_or_nothing_that_differs_has_no_tilt(seconds, share):
    assert tilt(np.array(seconds), share=share) == 0.0


def test_a_few_samples_of_a_disturbance_that_was_not_seen_do_not_pass_for_spread():
    seconds = np.exp(np.random.default_rng(4).normal(0, 0.01, 1000))
    hit = np.where(np.arange(1000) < 20, 20 * seconds, seconds)

    assert tilt(hit, share=0.5) == pytest.approx(tilt(seconds, share=0.5), rel=0.2)


@pytest.mark.parametrize(("turns", "needed"), [(0, 0), (1, 1), (2, 1), (5, 3), (11, 6), (12, 6), (400, LEAST_PAIRS)])
def test_enough_pairs_are_those_of_an_interval_or_half_of_a_few_turns(turns, needed):
    assert pairs_needed(turns) == needed
