"""Who is found when something goes on although nothing is called."""

import pytest

from lnbench.measure.stillness import Task
from lnbench.worker import company as module
from lnbench.worker.company import Company

POOL, EARLY, LATE, CHILD = Task(1, 10), Task(1, 11), Task(1, 12), Task(7, 7)


class Machine:
    """The tasks that there are, and the cores that busy ones take."""

    def __init__(self):
        self.tasks = {POOL: 0.0}
        self.busy = {}

    def busy_tasks(self, *, ignored, patience_s, while_waiting):
        return {task: share for task, share in self.busy.items() if task not in ignored}


@pytest.fixture
def machine(monkeypatch):
    made = Machine()
    monkeypatch.setattr(module, "tasks_s", lambda: made.tasks)
    monkeypatch.setattr(module, "busy_tasks", made.busy_tasks)
    return made


def test_a_thread_that_spins_late_is_put_down_to_who_brought_it_and_not_to_who_came_last(machine):
    company = Company()
    machine.tasks[EARLY] = 0.0
    company.put_down_to("careless")
    machine.tasks[LATE] = 0.0
    company.put_down_to("innocent")
    machine.busy = {EARLY: 0.9}

    left = company.left_running(patience_s=1.0)

    assert left == (0.9, "careless")
    assert str(left) == "it leaves something running that uses 0.9 cores while nothing is called"


def test_what_one_brought_counts_together(machine):
    company = Company()
    machine.tasks |= {EARLY: 0.0, CHILD: 0.0}
    company.put_down_to("careless")
    machine.tasks[LATE] = 0.0
    company.put_down_to("other")
    machine.busy = {EARLY: 0.5, CHILD: 0.5, LATE: 0.9}

    assert company.left_running(patience_s=1.0) == (1.0, "careless")


def test_a_pool_that_was_there_before_may_spin_as_long_as_it_likes(machine):
    company = Company()
    company.put_down_to("innocent")
    machine.busy = {POOL: 1.0}

    assert company.left_running(patience_s=1.0) is None


def test_what_nobody_was_seen_to_bring_ends_nobody(machine):
    company = Company()
    machine.tasks[LATE] = 0.0
    machine.busy = {LATE: 1.0}

    assert company.left_running(patience_s=1.0) is None


def test_copies_of_the_process_are_counted_once(machine, monkeypatch):
    company = Company()
    monkeypatch.setattr(module._forks, "count", module._forks.count + 1)

    assert [company.has_forked(), company.has_forked()] == [True, False]
