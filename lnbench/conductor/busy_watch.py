"""Watching how busy other processes keep the machine: for half a second before a run, and every few seconds of it."""

from collections.abc import Callable
from time import perf_counter, sleep
from typing import Protocol

from lnbench.busyness import worst
from lnbench.measure.neighbours import Counters, MachineUse, NeighbourMeter
from lnbench.observed import MachineLook

BEFORE_S = 0.5
LOOK_EVERY_S = 5.0
"""A look takes well under a millisecond of a core, which is then missing to what is measured."""

LEAST_WINDOW_S = 0.5
"""The kernel counts use in steps of 10 ms: shorter windows say too little."""


class Meter(Protocol):
    """Reads the machine's counters, and what happened between two readings."""

    def counters(self, *, of_all: bool) -> Counters: ...

    def usage(self, before: Counters, after: Counters) -> MachineUse: ...


class BusyWatch:
    """Looks at the machine, and keeps the worst look of each workload and process. `show` is given every look."""

    def __init__(
        self,
        show: Callable[[MachineLook], None],
        *,
        meter: Meter | None = None,
        now: Callable[[], float] = perf_counter,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._show = show
        self._meter = meter or NeighbourMeter()
        self._now = now
        self._wait = wait
        self._at: tuple[int, int, int] | None = None
        self._looks: list[MachineLook] = []
        self._since: Counters | None = None
        self._looked = 0.0

    def before(self, wanted: int) -> MachineLook:
        """Look for half a second, with nothing of this run at work. `wanted`: the most cores that it will use."""
        start = self._meter.counters(of_all=True)
        self._wait(BEFORE_S)
        look = _look(self._meter.usage(start, self._meter.counters(of_all=True)), wanted, None)
        self._show(look)
        return look

    def begin(self, process: int, workload: int, *, wanted: int) -> None:
        """A workload begins in a process; its work uses so many cores."""
        self._at, self._looks = (process, workload, wanted), []
        self._since, self._looked = self._meter.counters(of_all=False), self._now()

    def glance(self) -> None:
        """To be called often: looks where the last look is long enough ago."""
        if self._at is not None and self._now() - self._looked >= LOOK_EVERY_S:
            self._take()

    def end(self) -> MachineLook | None:
        """The workload is over: the worst look during it; None where it was too short for one."""
        if self._at is not None and self._now() - self._looked >= LEAST_WINDOW_S:
            self._take()
        self._at = None
        return worst(self._looks)

    def _take(self) -> None:
        assert self._at is not None  # a workload has begun
        assert self._since is not None
        process, workload, wanted = self._at
        counters = self._meter.counters(of_all=False)
        look = _look(self._meter.usage(self._since, counters), wanted, (process, workload))
        self._since, self._looked = counters, self._now()
        self._looks.append(look)
        self._show(look)


def _look(usage: MachineUse, wanted: int, at: tuple[int, int] | None) -> MachineLook:
    process, workload = at or (None, None)
    return MachineLook(
        process=process,
        workload=workload,
        seconds=usage.seconds,
        cores=usage.cores,
        wanted=wanted,
        others=usage.others,
        waiting=usage.waiting,
        pressure=usage.pressure,
        load=usage.load,
    )
