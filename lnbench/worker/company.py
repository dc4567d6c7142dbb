"""Whose the threads and child processes of a worker are: who leaves some running is found by them."""

import os
from collections.abc import Callable
from typing import NamedTuple

from lnbench.measure.stillness import Task, busy_tasks, tasks_s


class Left(NamedTuple):
    """What goes on although nothing is called: the cores that it takes, and the implementation that brought it."""

    cores: float
    owner: str

    def __str__(self) -> str:
        return f"it leaves something running that uses {self.cores:.1f} cores while nothing is called"


class _Forks:
    """How often this process was copied."""

    def __init__(self) -> None:
        self.count = 0
        os.register_at_fork(after_in_parent=self._note)

    def _note(self) -> None:
        self.count += 1


_forks = _Forks()


class Company:
    """The tasks of this process, by the implementation or plug-in during whose work each appeared.

    Those that were there before are nobody's: the pools of OpenMP and of the framework, which may spin for as
    long as the user's settings say.
    """

    def __init__(self) -> None:
        self._ours = set(tasks_s())
        self._owners: dict[Task, str] = {}
        self._seen_forks = _forks.count

    def has_forked(self) -> bool:
        """True when this process has been copied since the last time that this was asked."""
        forked, self._seen_forks = _forks.count > self._seen_forks, _forks.count
        return forked

    def put_down_to(self, owner: str) -> None:
        """What has appeared since the last time is this one's."""
        for task in tasks_s():
            if task not in self._ours:
                self._owners.setdefault(task, owner)

    def left_running(self, *, patience_s: float, while_waiting: Callable[[], None] = lambda: None) -> Left | None:
        """The most that one of them left running; None when all is still, or soon becomes so."""
        busy = busy_tasks(ignored=self._ours, patience_s=patience_s, while_waiting=while_waiting)
        cores: dict[str, float] = {}
        for task, share in busy.items():
            if task in self._owners:
                owner = self._owners[task]
                cores[owner] = cores.get(owner, 0.0) + share
        found = max(cores.items(), key=lambda item: item[1], default=None)
        return None if found is None else Left(found[1], found[0])
