"""What the queue of a kind of work learns from samples, given as plain numbers."""

import pytest

from lnbench.measure.launch_queue import (
    FIRST_CALLS,
    FIRST_SPIN_S,
    HEADROOM,
    LEAST_SPIN_S,
    LONGEST_SPIN_S,
    MOST_LAUNCHES,
    SHRINK,
    LaunchQueue,
)
from lnbench.measure.sampler import Missed


def late(queue, *, enqueue_s, held_s=None):
    """A sample that was not in time; the spin held the device as long as asked for unless said otherwise."""
    queue.learn(
        calls=queue.most_calls,
        enqueue_s=enqueue_s,
        held_s=queue.spin_s if held_s is None else held_s,
        in_time=False,
    )


def in_time(queue, *, enqueue_s, calls=1):
    queue.learn(calls=calls, enqueue_s=enqueue_s, held_s=queue.spin_s, in_time=True)


def test_after_a_late_sample_the_spin_lasts_half_as_long_again_as_the_enqueueing():
    queue = LaunchQueue()

    late(queue, enqueue_s=10e-3)

    assert queue.spin_s == pytest.approx(HEADROOM * 10e-3)
    assert queue.most_calls == FIRST_CALLS
    assert queue.missed is Missed.LATE


def test_an_enqueueing_that_takes_the_spin_twice_running_has_its_calls_halved_and_the_spin_kept():
    queue = LaunchQueue()
    late(queue, enqueue_s=queue.spin_s + 1e-5)
    spin_s = queue.spin_s

    late(queue, enqueue_s=queue.spin_s + 1e-5)

    assert (queue.most_calls, queue.spin_s) == (FIRST_CALLS // 2, spin_s)
    assert queue.missed is Missed.WAITS


def test_two_late_samples_that_do_not_follow_each_other_cut_nothing():
    queue = LaunchQueue()

    late(queue, enqueue_s=4e-3)
    in_time(queue, enqueue_s=4e-3)
    late(queue, enqueue_s=40e-3)

    assert queue.most_calls == FIRST_CALLS
    assert queue.spin_s == pytest.approx(HEADROOM * 40e-3)


def test_what_waits_is_given_up_after_few_samples_behind_short_spins():
    queue, spins = LaunchQueue(), []
    while queue.most_calls:
        spins.append(queue.spin_s)
        late(queue, enqueue_s=queue.spin_s + 1e-4)

    assert len(spins) <= 8
    assert sum(spins) < 0.03
    assert queue.missed is Missed.WAITS


def test_a_host_that_is_slow_by_itself_is_not_taken_for_one_that_waits():
    queue = LaunchQueue()
    while queue.most_calls:
        late(queue, enqueue_s=0.6)

    assert queue.missed is Missed.LATE


def test_a_spin_never_lasts_longer_than_the_longest_nor_shorter_than_the_shortest():
    queue = LaunchQueue()

    late(queue, enqueue_s=10.0)
    assert queue.spin_s == LONGEST_SPIN_S

    for _ in range(200):
        in_time(queue, enqueue_s=1e-6)
    assert queue.spin_s == LEAST_SPIN_S


def test_a_spin_shrinks_by_steps_toward_what_the_enqueueing_needs():
    queue = LaunchQueue(spin_s=20e-3)

    in_time(queue, enqueue_s=4e-3)
    assert queue.spin_s == pytest.approx(SHRINK * 20e-3)

    for _ in range(60):
        in_time(queue, enqueue_s=4e-3)
    assert queue.spin_s == pytest.approx(HEADROOM * 4e-3)


def test_a_spin_that_lasted_less_than_asked_for_is_asked_for_accordingly():
    queue = LaunchQueue()

    late(queue, enqueue_s=1e-3, held_s=FIRST_SPIN_S / 4)

    assert queue.spin_s == pytest.approx(4 * HEADROOM * 1e-3)


def test_calls_grow_while_all_of_them_are_enqueued_in_time_up_to_the_launches_that_are_known():
    queue = LaunchQueue(launches=6)

    for _ in range(9):
        in_time(queue, enqueue_s=1e-4, calls=queue.most_calls)

    assert queue.most_calls == MOST_LAUNCHES // 6


def test_calls_do_not_grow_again_past_what_was_too_much():
    queue = LaunchQueue()
    for _ in range(2):
        late(queue, enqueue_s=queue.spin_s + 1e-5)

    for _ in range(9):
        in_time(queue, enqueue_s=1e-4, calls=queue.most_calls)

    assert queue.most_calls == FIRST_CALLS // 2
