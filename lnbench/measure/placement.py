"""Where the threads of a case run while it is timed: beside a neighbour, each on a core of its own."""

import os
import threading
from collections.abc import Mapping, Sequence

BUSY_SHARE = 0.2
"""Of the calling thread's CPU time, from which on a thread counts as one that works for the case."""


class Placement:
    """Keeps the threads of one case on cores of their own while it takes its turn, and sets their cores back after it.

    Beside a neighbour the scheduler leaves two spinning threads on one core for seconds: a call of 7 us then takes
    137 us, and no sample is undisturbed. Threads are placed only where a case keeps as many of them busy as there are
    cores, so that no core is withheld from it.
    """

    def __init__(self, cores: Sequence[int] | None = None) -> None:
        allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._cores = allowed if cores is None else list(cores)
        self._placed: dict[int, int] = {}
        self._known: set[int] = set()

    def spread(self, threads: Sequence[int]) -> bool:
        """Place each thread, by its number, on a core of its own.

        False where there are fewer or more than cores, or where one of them was given cores by its own code.
        """
        if len(threads) < 2 or len(threads) != len(self._cores):
            return False
        if any(_cores_of(thread) not in (None, set(self._cores)) for thread in threads):
            return False
        self._known = _all_threads()
        for thread, core in zip(threads, self._cores, strict=True):
            if _set_cores(thread, {core}):
                self._placed[thread] = core
        return True

    def set_back(self) -> None:
        """Give each thread all cores back, unless its code chose others meanwhile.

        A thread that began meanwhile has inherited the one core of the thread that made it.
        """
        if not self._placed:
            return
        everywhere, single = set(self._cores), [{core} for core in self._placed.values()]
        for thread, core in self._placed.items():
            if _cores_of(thread) == {core}:
                _set_cores(thread, everywhere)
        for thread in _all_threads() - self._known:
            if _cores_of(thread) in single:
                _set_cores(thread, everywhere)
        self._placed.clear()


def _all_threads() -> set[int]:
    """The numbers of the threads of this process."""
    return {int(name) for name in os.listdir("/proc/self/task")}


def _cores_of(thread: int) -> set[int] | None:
    """The cores that a thread may run on; None when it has ended."""
    try:
        return os.sched_getaffinity(thread)
    except OSError:
        return None


def _set_cores(thread: int, cores: set[int]) -> bool:
    """False when the thread has ended."""
    try:
        os.sched_setaffinity(thread, cores)
    except OSError:
        return False
    return True


def working_threads(before_s: Mapping[int, float], after_s: Mapping[int, float]) -> list[int]:
    """The threads that worked between two readings of `cpu_by_thread_s`: the calling one first, then by their work."""
    me = threading.get_native_id()
    worked = {number: used - before_s.get(number, 0.0) for number, used in after_s.items()}
    own = worked.pop(me, 0.0)
    others = sorted((number for number, used in worked.items() if used > BUSY_SHARE * own), key=lambda it: -worked[it])
    return [me, *others]
