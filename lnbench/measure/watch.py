"""What the machine does to the work meanwhile: files of the kernel and NVML's registers, read between turns.

Each look costs well under a millisecond; what the system does not tell is left out.
"""

import os
import resource
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Protocol

from lnbench.measure.cgroup import cgroup_files
from lnbench.measure.nvml import Nvml

_CPUS = Path("/sys/devices/system/cpu")
_MOST_CORES_ASKED = 4
"""Asking a core for its frequency can wake it."""

PROCESSES_EVERY_S = 1.0
"""Listing the processes of a GPU takes NVML a millisecond or more."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: readings by name with their unit, and why a GPU's clocks are held back."""

    readings: dict[str, float] = field(default_factory=dict)
    throttling: tuple[str, ...] = ()


class Watcher(Protocol):
    """Looks at the machine; counts and seconds are those since the look before."""

    def look(self) -> Look: ...

    def notices(self) -> list[tuple[str, str]]: ...


class HostWatcher:
    """The CPU's side: steal, quota, context switches, page faults, load, frequency. `root` stands in for / in tests."""

    def __init__(self, *, root: Path = Path("/"), now: Callable[[], float] = perf_counter) -> None:
        self._now = now
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._stat = root / "proc/stat"
        self._quota = _cgroup_stat(root)
        self._frequencies = [
            path
            for core in self._cores[:_MOST_CORES_ASKED]
            if (path := root / _CPUS.relative_to("/") / f"cpu{core}" / "cpufreq/scaling_cur_freq").is_file()
        ]
        self._before = self._counts()
        self._at = now()

    def look(self) -> Look:
        """The state now, and what happened since the look before."""
        counts, at = self._counts(), self._now()
        seconds = max(at - self._at, 1e-9)
        since = {name: value - self._before[name] for name, value in counts.items() if name in self._before}
        self._before, self._at = counts, at
        steal_s = since.pop("steal_s", None)
        readings = since
        if steal_s is not None and self._cores:
            readings["steal_share"] = steal_s / (seconds * len(self._cores))
        if hasattr(os, "getloadavg"):
            readings["load"] = os.getloadavg()[0]
        hertz = [found for path in self._frequencies if (found := _number(path)) is not None]
        if hertz:
            readings["frequency_hz"] = 1000 * sum(hertz) / len(hertz)
        return Look(readings)

    def notices(self) -> list[tuple[str, str]]:
        """Nothing: what a system does not tell about its CPU is left out."""
        return []

    def _counts(self) -> dict[str, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        found = {
            "voluntary_switches": float(used.ru_nvcsw),
            "involuntary_switches": float(used.ru_nivcsw),
            "minor_faults": float(used.ru_minflt),
            "major_faults": float(used.ru_majflt),
        }
        steal_s = _steal_s(self._stat, self._cores)
        if steal_s is not None:
            found["steal_s"] = steal_s
        throttled_s = None if self._quota is None else _throttled_s(self._quota)
        if throttled_s is not None:
            found["throttled_s"] = throttled_s
        return found


LEAST_HELD_BACK = 0.02
"""The share of the time between two looks from which on clocks count as held back: less does not move a median."""


class GpuWatcher:
    """A GPU's side: clocks, power, temperature, throttling, other processes. What NVML does not answer is left out."""

    def __init__(self, nvml: Nvml, uuid: str, *, now: Callable[[], float] = perf_counter) -> None:
        self._nvml = nvml
        self._uuid = uuid
        self._now = now
        self._listed_at = float("-inf")
        self._foreign: int | None = None
        self._held_back: Mapping[str, float] = {}
        self._looked_at = float("-inf")

    def look(self) -> Look:
        """The registers now, and what held clocks back since the look before; others are counted once a second."""
        at = self._now()
        if at - self._listed_at >= PROCESSES_EVERY_S:
            self._listed_at = at
            self._foreign = self._nvml.foreign_processes(self._uuid)
        readings = dict(self._nvml.readings(self._uuid))
        if self._foreign is not None:
            readings["foreign_processes"] = float(self._foreign)
        return Look(readings, self._throttling(at))

    def _throttling(self, at: float) -> tuple[str, ...]:
        """Why clocks were held back since the look before, where that is counted; for other reasons, why they are now.

        The reasons of the moment are those of a GPU that has nothing to do: a look falls between turns.
        """
        held_back, seconds = self._nvml.held_back_s(self._uuid), max(at - self._looked_at, 1e-9)
        since = {name: total - self._held_back.get(name, total) for name, total in held_back.items()}
        self._held_back, self._looked_at = held_back, at
        counted = tuple(name for name, spent in since.items() if spent >= LEAST_HELD_BACK * seconds)
        return (*counted, *(name for name in self._nvml.throttling(self._uuid) if name not in held_back))

    def notices(self) -> list[tuple[str, str]]:
        """What NVML did not answer, and who else used the GPU."""
        found = []
        if self._nvml.missing:
            found.append(("no-nvml", f"the GPU's conditions are not read: {self._nvml.missing}"))
        elif self._nvml.unanswered:
            parts = "; ".join(f"{name}: {why}" for name, why in sorted(self._nvml.unanswered.items()))
            found.append(("nvml-partial", f"NVML did not answer everything ({parts}); those fields are empty"))
        if self._foreign:
            what = "process uses" if self._foreign == 1 else "processes use"
            found.append(("gpu-shared", f"{self._foreign} other {what} this GPU; times include waiting for them"))
        return found


class Watchers:
    """Several watchers as one."""

    def __init__(self, watchers: Iterable[Watcher]) -> None:
        self._watchers = list(watchers)

    def look(self) -> Look:
        """All that they find."""
        found = [watcher.look() for watcher in self._watchers]
        readings = {name: value for look in found for name, value in look.readings.items()}
        return Look(readings, tuple(reason for look in found for reason in look.throttling))

    def notices(self) -> list[tuple[str, str]]:
        """All that they have to say."""
        return [notice for watcher in self._watchers for notice in watcher.notices()]


def _steal_s(path: Path, cores: list[int]) -> float | None:
    """Seconds that a hypervisor took from these cores since the start; None where the kernel does not count."""
    wanted = {f"cpu{core}" for core in cores}
    try:
        fields = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.startswith("cpu")]
        ticks = [int(found[8]) for found in fields if found[0] in wanted]
    except (OSError, ValueError, IndexError):
        return None
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None


def _cgroup_stat(root: Path) -> Path | None:
    """The file that counts how long this process's control group was held back; None without one."""
    return next((path for path in cgroup_files("cpu", "cpu.stat", root=root) if _throttled_s(path) is not None), None)


def _throttled_s(path: Path) -> float | None:
    """Seconds held back by the quota: in microseconds in version 2 of control groups, in nanoseconds in version 1."""
    try:
        found = dict(line.split(maxsplit=1) for line in path.read_text(encoding="ascii").splitlines())
        if "throttled_usec" in found:
            return int(found["throttled_usec"]) * 1e-6
        return int(found["throttled_time"]) * 1e-9
    except (OSError, ValueError, KeyError):
        return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
