"""Is a process still, while nothing is asked of it?"""

import subprocess
import sys
import threading

import pytest

from lnbench.measure.stillness import BUSY_SHARE, WINDOW_S, Task, busy_tasks, tasks_s

SPINNING = Task(1, 2)


class Machine:
    """A clock that runs while somebody sleeps, and cores that others use meanwhile: a share for each look."""

    def __init__(self, *shares):
        self.now_s = 0.0
        self.used = {SPINNING: 0.0}
        self.asked = 0
        self._shares = list(shares)

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds
        self.used[SPINNING] += seconds * (self._shares.pop(0) if len(self._shares) > 1 else self._shares[0])

    def busy(self, patience_s=1.0, ignored=()):
        found = busy_tasks(
            ignored=ignored,
            patience_s=patience_s,
            while_waiting=self._count,
            used_s=lambda: dict(self.used),
            now=self.now,
            sleep=self.sleep,
        )
        return sum(found.values())

    def _count(self):
        self.asked += 1


def test_a_still_process_is_told_after_two_looks():
    machine = Machine(0.0)

    assert machine.busy() == 0.0
    assert machine.now_s == pytest.approx(2 * WINDOW_S)


def test_what_ends_by_itself_is_waited_for():
    machine = Machine(1.0, 1.0, 1.0, 0.0)

    assert machine.busy() == 0.0
    assert machine.asked == 4


def test_one_still_look_among_busy_ones_is_not_believed():
    machine = Machine(1.0, 0.0, 1.0)

    assert machine.busy() == pytest.approx(1.0)


def test_what_goes_on_past_the_patience_is_told_with_the_cores_that_it_uses():
    machine = Machine(0.6)

    assert machine.busy(patience_s=0.5) == pytest.approx(0.6)
    assert machine.now_s == pytest.approx(0.5, abs=2 * WINDOW_S)


def test_a_process_that_ends_between_two_looks_does_not_hide_one_that_spins():
    machine = Machine(1.0)
    machine.used[Task(7, 7)] = 100.0
    sleep = machine.sleep

    def ending(seconds):
        machine.used.pop(Task(7, 7), None)
        sleep(seconds)

    machine.sleep = ending

    assert machine.busy() > BUSY_SHARE


def test_a_thread_that_spins_and_a_child_that_spins_are_seen():
    stop = threading.Event()
    spinning = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    spinning.start()
    try:
        thread = busy_tasks(patience_s=0.2)
    finally:
        stop.set()
        spinning.join()
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        process = busy_tasks(patience_s=0.2)
    finally:
        child.kill()
        child.communicate()

    assert max(thread.values()) > BUSY_SHARE
    assert child.pid in {task.process for task in process} or sys.platform != "linux"
    assert not any(task.thread == threading.get_native_id() for task in tasks_s())


def test_what_is_known_to_spin_by_itself_is_not_waited_for():
    machine = Machine(1.0)

    assert machine.busy(ignored=[SPINNING]) == 0.0
    assert machine.now_s == pytest.approx(2 * WINDOW_S)
