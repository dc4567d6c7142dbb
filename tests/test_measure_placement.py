"""Threads of a case on cores of their own, on real threads of this process."""

import os
import threading
from contextlib import contextmanager

import pytest

from lnbench.measure.placement import Placement, working_threads

ALLOWED = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
pytestmark = pytest.mark.skipif(len(ALLOWED) < 2, reason="needs sched_setaffinity and two cores")

CORES = ALLOWED[:2]
BOTH = set(CORES)


@contextmanager
def waiting_threads(count):
    """So many threads that do nothing until the test is over; gives their numbers."""
    over, started, numbers = threading.Event(), threading.Barrier(count + 1), []

    def wait():
        numbers.append(threading.get_native_id())
        started.wait()
        over.wait()

    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    started.wait()
    for number in numbers:
        os.sched_setaffinity(number, BOTH)
    try:
        yield numbers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def cores_of(threads):
    return [os.sched_getaffinity(number) for number in threads]


def test_two_threads_on_two_cores_get_one_each_and_their_own_cores_back():
    placement = Placement(CORES)
    with waiting_threads(2) as threads:
        was_placed = placement.spread(threads)
        meanwhile = cores_of(threads)
        placement.set_back()

        assert was_placed
        assert meanwhile == [{CORES[0]}, {CORES[1]}]
        assert cores_of(threads) == [BOTH, BOTH]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_other_than_as_many_threads_as_cores_are_left_alone(count):
    with waiting_threads(count) as threads:
        was_placed = Placement(CORES).spread(threads)

        assert not was_placed
        assert cores_of(threads) == [BOTH] * count


@pytest.mark.parametrize("chosen", [{CORES[0]}, BOTH] if ALLOWED else [])
def test_a_thread_that_chose_cores_meanwhile_keeps_them(chosen):
    placement = Placement(CORES)
    with waiting_threads(2) as threads:
        placement.spread(threads)
        os.sched_setaffinity(threads[1], chosen)
        placement.set_back()

        assert cores_of(threads) == [BOTH, chosen]


def test_threads_that_had_chosen_cores_before_are_left_where_they_are():
    with waiting_threads(2) as threads:
        os.sched_setaffinity(threads[1], {CORES[0]})
        was_placed = Placement(CORES).spread(threads)

        assert not was_placed
        assert cores_of(threads) == [BOTH, {CORES[0]}]


def test_a_thread_that_has_ended_is_no_error():
    placement = Placement(CORES)
    with waiting_threads(1) as ended:
        pass
    with waiting_threads(1) as threads:
        placement.spread([*threads, *ended])
        placement.set_back()

        assert cores_of(threads) == [BOTH]


def test_a_thread_that_ends_meanwhile_is_no_error():
    placement = Placement(CORES)
    with waiting_threads(1) as threads:
        with waiting_threads(1) as ending:
            placement.spread([*ending, *threads])
        placement.set_back()

        assert cores_of(threads) == [BOTH]


def test_a_thread_that_begins_meanwhile_is_not_left_on_its_maker_s_one_core():
    placement, begun = Placement(CORES), []
    over, started, make, made = (threading.Event() for _ in range(4))

    def wait():
        begun.append(threading.get_native_id())
        started.set()
        over.wait()

    def maker():
        begun.append(threading.get_native_id())
        made.set()
        make.wait()
        threading.Thread(target=wait).start()

    thread = threading.Thread(target=maker)
    thread.start()
    made.wait()
    os.sched_setaffinity(begun[0], BOTH)
    with waiting_threads(1) as others:
        placement.spread([begun[0], *others])
        make.set()
        started.wait()
        placement.set_back()

        cores = cores_of([begun[1]])
    over.set()
    thread.join()

    assert cores == [BOTH]


def test_the_calling_thread_comes_first_and_others_by_their_work():
    me = threading.get_native_id()
    before = {me: 1.0, 7: 5.0, 8: 0.0, 9: 0.5}
    after = {me: 1.1, 7: 5.05, 8: 0.2, 9: 0.51, 10: 0.08}

    assert working_threads(before, after) == [me, 8, 10, 7]  # 9 worked a tenth of what the calling one did


def test_without_readings_the_calling_thread_alone_works():
    assert working_threads({}, {}) == [threading.get_native_id()]
