"""What the scheduler did to this process's threads: time spent waiting for a core, switches and CPU time.

Linux counts it per thread in /proc/self/task/*/schedstat: CPU time, time in the run queue (runnable, but not running),
and how often the thread was put on a core. Waiting is booked only when the thread runs again.
"""

import os
import resource
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from lnbench.measure.steal import StealMeter
from lnbench.undisturbed import ThreadUse

_NANOSECOND = 1e-9
_ROOT = Path("/")


class SchedulingMeter(Protocol):
    """Reads what happened to the threads of this process since the look before."""

    def look(self) -> ThreadUse | None: ...

    def cpu_s(self) -> float: ...

    def steal_s(self) -> float | None: ...

    def cpu_by_thread_s(self) -> Mapping[int, float]: ...


class ThreadMeter:
    """Looks at every thread of this process; a look takes 4 us for four threads, 1 us more for each two.

    Descriptors stay open. Threads are listed again when their number changed, or one of them is gone.
    `root` stands in for / in tests.
    """

    def __init__(self, *, root: Path = _ROOT, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._tasks = root / "proc/self/task"
        self._now = now
        self._descriptors: dict[int, int] = {}
        self._counts: dict[int, tuple[int, int, int]] = {}
        self._folder = -1
        self._links = -1
        self.has_delay = False
        try:
            self._folder = os.open(self._tasks, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._list_threads()
            self.has_delay = bool(self._descriptors)
        except OSError:
            pass
        self._stat = StealMeter(root) if self.has_delay else None
        self._at = now()
        self._switches = _switches()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def look(self) -> ThreadUse:
        """What happened since the look before; `reach_s`: how long some thread had waited before that look."""
        at, switches = self._now(), _switches()
        window_ns = at - self._at
        delay_ns = slices = longest_ns = 0
        is_counted = False
        if self.has_delay:
            deltas = self._deltas()
            # A kernel that keeps no such counts writes zeros, though this very thread runs.
            is_counted = any(cpu_ns or runs for cpu_ns, _, runs in self._counts.values())
            for waited_ns, runs in deltas:
                delay_ns += waited_ns
                slices += runs
                longest_ns = max(longest_ns, waited_ns)
        found = ThreadUse(
            delay_s=delay_ns * _NANOSECOND if is_counted else None,
            wakeups=slices,
            involuntary=switches[0] - self._switches[0],
            voluntary=switches[1] - self._switches[1],
            window_s=window_ns * _NANOSECOND,
            reach_s=max(longest_ns - window_ns, 0) * _NANOSECOND,
        )
        self._at, self._switches = at, switches
        return found

    def cpu_s(self) -> float:
        """CPU time of the process so far. Other threads' is booked when they leave a core, or at a tick."""
        return time.process_time_ns() * _NANOSECOND

    def steal_s(self) -> float | None:
        """Seconds that a hypervisor took from the cores of this process; None where unknown, or slow to read."""
        return None if self._stat is None else self._stat.seconds()

    def cpu_by_thread_s(self) -> dict[int, float]:
        """CPU time so far of each thread, by its number, as the last look found it."""
        return {number: counts[0] * _NANOSECOND for number, counts in self._counts.items()}

    def _deltas(self) -> list[tuple[int, int]]:
        """Of each thread: nanoseconds waited and slices run since the look before."""
        if os.fstat(self._folder).st_nlink != self._links:
            self._list_threads()
        found, ended = self._read(list(self._descriptors))
        if ended:  # and another began, or their number would have changed
            for number in ended:
                os.close(self._descriptors.pop(number))
                del self._counts[number]
            known = set(self._descriptors)
            self._list_threads()
            found += self._read(sorted(self._descriptors.keys() - known))[0]
        return found

    def _read(self, numbers: Iterable[int]) -> tuple[list[tuple[int, int]], list[int]]:
        """Nanoseconds waited and slices run of each thread, and the threads that have ended."""
        found, ended = [], []
        for number in numbers:
            before = self._counts[number]
            try:
                counts = self._counts[number] = counts_of(self._descriptors[number])
            except OSError:
                ended.append(number)
            else:
                found.append((counts[1] - before[1], counts[2] - before[2]))
        return found, ended

    def _list_threads(self) -> None:
        """Open the files of new threads, close those of ended ones. A new thread's whole past counts as new."""
        self._links = os.fstat(self._folder).st_nlink
        numbers = {int(name) for name in os.listdir(self._tasks)}
        for number in self._descriptors.keys() - numbers:
            os.close(self._descriptors.pop(number))
            del self._counts[number]
        is_first = not self._descriptors
        for number in sorted(numbers - self._descriptors.keys()):
            try:
                descriptor = os.open(self._tasks / str(number) / "schedstat", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                counts = counts_of(descriptor)
            except (OSError, ValueError, IndexError):
                os.close(descriptor)
                continue
            self._descriptors[number] = descriptor
            self._counts[number] = counts if is_first else (counts[0], 0, 0)


class NoMeter:
    """Where the host's threads do not decide a sample, as on a GPU's clock: nothing is looked at."""

    def look(self) -> None:
        """Nothing is known."""

    def cpu_s(self) -> float:
        """CPU time of the process so far."""
        return time.process_time_ns() * _NANOSECOND

    def steal_s(self) -> float | None:
        """Not looked at."""
        return None

    def cpu_by_thread_s(self) -> Mapping[int, float]:
        """Not looked at."""
        return {}


def counts_of(descriptor: int) -> tuple[int, int, int]:
    """CPU time and time in the run queue of a thread in ns, and its slices, from its open schedstat."""
    cpu_ns, delay_ns, slices = os.pread(descriptor, 96, 0).split()
    return int(cpu_ns), int(delay_ns), int(slices)


def _switches() -> tuple[int, int]:
    """Involuntary and voluntary context switches of the process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nivcsw, used.ru_nvcsw
