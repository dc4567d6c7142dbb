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
        self._before: dict[int, set[int]] = {}

    def spread(self, threads: Sequence[int]) -> bool:
        """Place each thread, by its number, on a core of its own; False where there are fewer or more than cores."""
        if len(threads) < 2 or len(threads) != len(self._cores):
            return False
        for thread, core in zip(threads, self._cores, strict=True):
            try:
                self._before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, {core})
            except OSError:  # it has ended
                self._before.pop(thread, None)
        return True

    def set_back(self) -> None:
        """Give each thread the cores back that it had, unless its code chose others meanwhile."""
        for thread, cores in self._before.items():
            try:
                if len(os.sched_getaffinity(thread)) == 1:
                    os.sched_setaffinity(thread, cores)
            except OSError:
                continue
        self._before.clear()


def working_threads(before_s: Mapping[int, float], after_s: Mapping[int, float]) -> list[int]:
    """The threads that worked between two readings of `cpu_by_thread_s`: the calling one first, then by their work."""
    me = threading.get_native_id()
    worked = {number: used - before_s.get(number, 0.0) for number, used in after_s.items()}
    own = worked.pop(me, 0.0)
    others = sorted((number for number, used in worked.items() if used > BUSY_SHARE * own), key=lambda it: -worked[it])
    return [me, *others]
