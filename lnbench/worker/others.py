"""Whether other processes use the machine while turns are taken: where none does, threads wait for their own."""

import os
from collections.abc import Callable
from time import perf_counter

from lnbench.busyness import QUIET_CORES, SPARE_CORES
from lnbench.measure.neighbours import Counters, NeighbourMeter

LOOK_EVERY_S = 1.0
"""CPU time is counted in ticks of 10 ms, which err by some of them: over a second that is 0.03 of a core."""


class Others:
    """Looks at the kernel's counters of CPU time, once a second; a look takes 0.2 ms for a process of few threads."""

    def __init__(self, meter: NeighbourMeter | None = None, *, now: Callable[[], float] = perf_counter) -> None:
        self._meter = meter or NeighbourMeter(own=os.getppid())  # the run's own processes: the parent and this one
        self._now = now
        self._before: Counters | None = None
        self._used: float | None = None

    def begin(self) -> None:
        """Forget what was seen, and begin a window."""
        self._used = None
        self._before = self._meter.counters(of_all=False)

    def are_away(self) -> bool:
        """True when other processes used less than 0.05 of a core in the last window; false while that is unknown."""
        if self._before is None:
            self._before = self._meter.counters(of_all=False)
        elif self._now() - self._before.at_s >= LOOK_EVERY_S:
            after = self._meter.counters(of_all=False)
            self._used = self._meter.usage(self._before, after).others
            self._before = after
        return self._used is not None and self._used < QUIET_CORES

    def want_cores_of(self, threads: int) -> bool:
        """True when others used more in the last window than so many threads of ours leave; false while unknown."""
        return self._used is not None and self._used + threads > self._meter.cores + SPARE_CORES
