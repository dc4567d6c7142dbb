"""How much of the machine other processes use: the kernel's counters over a window, and what of them is ours.

Only files are read; what the system does not report is left out.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from lnbench.measure.environment import usable_logical_cores

_BUSY_FIELDS = (1, 2, 3, 6, 7)
"""user, nice, system, irq and softirq of a line of /proc/stat; guests are counted in user, steal is not use."""

LEAST_OWN_SEEN = 0.8
"""Of the time that our own processes worked, what the machine's counters show at least. Where they show less, they do
not count (some sandboxes), or show another container: nothing is known of others then."""

_TICK_S = 0.02

MOST_THREADS = 20_000
"""Of so many threads the run-queue delay is read, which takes a fifth of a second; PSI covers machines with more."""


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What happened over a window; None is what the system does not report.

    `others`: the average number of cores that processes outside of this one and its children used. `waiting`: the
    average number of threads that waited for a core; `pressure`: the share of the window in which any did. `load`: the
    load average over a minute, at its end.
    """

    seconds: float
    cores: int
    others: float | None = None
    waiting: float | None = None
    pressure: float | None = None
    load: float | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """The kernel's counters at a moment: `busy_s` of all usable cores, `own_s` of this process and its children."""

    at_s: float
    busy_s: float | None
    own_s: float | None
    delays_ns: Mapping[tuple[str, str], int] | None
    pressure_s: float | None


class NeighbourMeter:
    """Reads the counters. `root` stands in for / in tests, `own` for this process."""

    def __init__(
        self, *, root: Path = Path("/"), own: int | None = None, now: Callable[[], float] = perf_counter
    ) -> None:
        self._proc = root / "proc"
        self._own = str(os.getpid() if own is None else own)
        self._now = now
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.cores = len(self._usable) or usable_logical_cores()

    def counters(self, *, of_all: bool) -> Counters:
        """The counters now. `of_all`: run-queue delay of every thread of the machine, instead of our own threads."""
        ours = list(self._family())
        listed = self._every_process() if of_all else iter(ours)
        return Counters(
            at_s=self._now(),
            busy_s=self._busy_s(),
            own_s=self._own_s(ours),
            delays_ns=self._delays_ns(listed),
            pressure_s=self._pressure_s(),
        )

    def usage(self, before: Counters, after: Counters) -> MachineUse:
        """What happened between two moments."""
        seconds = max(after.at_s - before.at_s, 1e-9)
        others = None
        if None not in (before.busy_s, before.own_s, after.busy_s, after.own_s):
            busy, own = _step(before.busy_s, after.busy_s), _step(before.own_s, after.own_s)
            if busy >= LEAST_OWN_SEEN * own - _TICK_S:
                others = min(max(busy - own, 0.0) / seconds, float(self.cores))
        waiting = None
        if before.delays_ns and after.delays_ns:
            then = before.delays_ns
            waiting = sum(max(ns - then[it], 0) for it, ns in after.delays_ns.items() if it in then) * 1e-9 / seconds
        pressure = None
        if before.pressure_s is not None and after.pressure_s is not None:
            pressure = min(_step(before.pressure_s, after.pressure_s) / seconds, 1.0)
        load = max(os.getloadavg()[0], 0.0) if hasattr(os, "getloadavg") else None
        return MachineUse(seconds, self.cores, others, waiting, pressure, load)

    def _busy_s(self) -> float | None:
        """Seconds that the usable cores worked since the start."""
        wanted = {f"cpu{core}" for core in self._usable}
        try:
            lines = [line.split() for line in _text(self._proc / "stat").splitlines() if line.startswith("cpu")]
            found = [sum(int(line[field]) for field in _BUSY_FIELDS) for line in lines if line[0] in wanted]
        except (ValueError, IndexError):
            return None
        return sum(found) / self._ticks if found else None

    def _family(self) -> Iterator[str]:
        """This process, its children, and theirs."""
        waiting = [self._own]
        while waiting:
            process = waiting.pop()
            yield process
            for thread in _names(self._proc / process / "task"):
                waiting += _text(self._proc / process / "task" / thread / "children").split()

    def _own_s(self, ours: list[str]) -> float | None:
        """Seconds that ours worked, those that ended included: whoever waited for them has their time."""
        found = [ticks for process in ours if (ticks := self._ticks_of(process)) is not None]
        return sum(found) / self._ticks if found else None

    def _ticks_of(self, process: str) -> int | None:
        # The name, in parentheses, may hold anything; utime is the 14th field, cstime the 17th.
        fields = _text(self._proc / process / "stat").rpartition(")")[2].split()
        try:
            return sum(int(fields[number]) for number in (11, 12, 13, 14))
        except (ValueError, IndexError):
            return None

    def _every_process(self) -> Iterator[str]:
        return (name for name in _names(self._proc) if name.isdigit())

    def _delays_ns(self, processes: Iterator[str]) -> dict[tuple[str, str], int] | None:
        """How long each thread has waited for a core so far; None where the kernel does not count, or has too many."""
        found: dict[tuple[str, str], int] = {}
        for process in processes:
            for thread in _names(self._proc / process / "task"):
                fields = _text(self._proc / process / "task" / thread / "schedstat").split()
                if len(fields) == 3 and fields[1].isdigit():
                    found[process, thread] = int(fields[1])
            if len(found) > MOST_THREADS:
                return None
        return found or None

    def _pressure_s(self) -> float | None:
        """Seconds in which some thread of the machine waited for a core (PSI)."""
        first = _text(self._proc / "pressure/cpu").partition("\n")[0]
        total = first.rpartition("total=")[2]
        return int(total) * 1e-6 if first.startswith("some ") and total.isdigit() else None


def _step(before: float | None, after: float | None) -> float:
    return max((after or 0.0) - (before or 0.0), 0.0)


def _text(path: Path) -> str:
    """A file's text; "" where it can't be read, as when its process has ended."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
