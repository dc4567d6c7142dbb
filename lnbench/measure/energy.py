"""Joules of a loop of calls, from a counter that the hardware keeps, with the idle power beside it.

Source of the counters: nvmlDeviceGetTotalEnergyConsumption (millijoules since the driver was loaded, Volta and later)
and the kernel's powercap interface to RAPL (microjoules, which wrap around).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Protocol

from lnbench.measure.nvml import Nvml

LEAST_WINDOW_S = 2.0
"""NVML renews its counter every 20 to 100 ms; over two seconds a step is at most a few percent."""

IDLE_S = 1.0
WARM_UP_S = 0.5
LONGEST_STEP_S = 0.5
"""A counter that stands still for so long while there is work does not count it."""

SAME_CLOCK = 0.9
"""Idle counts as idle in the same clock state while the clock is at least this share of the one under load."""

MOST_IDLE_DRIFT = 0.2
"""Idle power before and after may differ by this share of the power under load, or one of them was not idle."""

_POWERCAP = Path("sys/class/powercap")


class EnergyCounter(Protocol):
    """A counter of joules. `clock_hz`: that of the part which it counts, None where it is not told."""

    source: str

    def read_j(self) -> float | None: ...

    def clock_hz(self) -> float | None: ...


class NvmlCounter:
    """A GPU's own counter."""

    source = "NVML"

    def __init__(self, nvml: Nvml, uuid: str) -> None:
        self._nvml = nvml
        self._uuid = uuid

    def read_j(self) -> float | None:
        return self._nvml.energy_j(self._uuid)

    def clock_hz(self) -> float | None:
        return self._nvml.readings(self._uuid).get("sm_clock_hz")


class RaplCounter:
    """The processor packages together, as far as the kernel lets this user read them. `root` stands in for /."""

    source = "RAPL"

    def __init__(self, *, root: Path = Path("/")) -> None:
        zones = sorted((root / _POWERCAP).glob("intel-rapl:*"))
        self._zones = [zone for zone in zones if _text(zone / "name").startswith("package")]
        self._ranges = [_microjoules(zone / "max_energy_range_uj") or 0 for zone in self._zones]
        self._before: list[int] | None = None
        self._total_uj = 0

    def read_j(self) -> float | None:
        now = [_microjoules(zone / "energy_uj") for zone in self._zones]
        found = [value for value in now if value is not None]
        if not found or len(found) < len(now):
            return None
        if self._before is not None:
            for after, before, span in zip(found, self._before, self._ranges, strict=True):
                self._total_uj += after - before if after >= before else after - before + span
        self._before = found
        return self._total_uj * 1e-6

    def clock_hz(self) -> float | None:
        return None


@dataclass(frozen=True, slots=True)
class Energy:
    """What a counter showed over so many calls, and the idle power around them; `unusable` says why not to use it."""

    calls: int
    window_s: float
    joules: float
    idle_before_w: float
    idle_after_w: float
    unusable: str = ""


def measure_energy(
    block: Callable[[], int],
    counter: EnergyCounter,
    *,
    now: Callable[[], float] = perf_counter,
    rest: Callable[[float], None] = sleep,
) -> Energy | None:
    """Repeat a block of finished calls, which tells how many they were, for at least two seconds between two steps of
    the counter; idle before it, right after a warm-up, and after it. None where the counter can't be read.
    """
    if counter.read_j() is None:
        return None
    _repeat(block, WARM_UP_S, now)
    idle_before = _idle_w(counter, now, rest)
    _repeat(block, WARM_UP_S, now)
    start = _step(block, counter, now)
    if start is None or idle_before is None:
        return Energy(0, 0.0, 0.0, 0.0, 0.0, unusable="the counter stands still")
    calls, clock_hz, idle_clock_hz = 0, counter.clock_hz(), idle_before[1]
    while now() - start[0] < LEAST_WINDOW_S:
        calls += block()
    end = _step(block, counter, now)
    idle_after = _idle_w(counter, now, rest)
    if end is None or idle_after is None:
        return Energy(0, 0.0, 0.0, 0.0, 0.0, unusable="the counter stands still")
    calls += end[2]
    found = Energy(calls, end[0] - start[0], end[1] - start[1], idle_before[0], idle_after[0])
    return Energy(
        found.calls,
        found.window_s,
        found.joules,
        found.idle_before_w,
        found.idle_after_w,
        _why_unusable(found, clock_hz, [hertz for hertz in (idle_clock_hz, idle_after[1]) if hertz is not None]),
    )


def _why_unusable(found: Energy, clock_hz: float | None, idle_hz: list[float]) -> str:
    power_w = found.joules / found.window_s
    if clock_hz and idle_hz and min(idle_hz) < SAME_CLOCK * clock_hz:
        return f"the clock fell from {clock_hz / 1e6:.0f} to {min(idle_hz) / 1e6:.0f} MHz while idle was measured"
    if abs(found.idle_after_w - found.idle_before_w) > MOST_IDLE_DRIFT * power_w:
        return f"idle power went from {found.idle_before_w:.3g} to {found.idle_after_w:.3g} W"
    if power_w <= max(found.idle_before_w, found.idle_after_w):
        return "the work used no more power than idling"
    return ""


def _repeat(block: Callable[[], int], seconds: float, now: Callable[[], float]) -> None:
    end = now() + seconds
    while now() < end:
        block()


def _step(
    block: Callable[[], int], counter: EnergyCounter, now: Callable[[], float]
) -> tuple[float, float, int] | None:
    """Go on until the counter moves: when, what it then shows, and the calls until then; None if it does not move."""
    before, began, calls = counter.read_j(), now(), 0
    while now() - began < LONGEST_STEP_S:
        calls += block()
        found = counter.read_j()
        if found is None or before is None:
            return None
        if found != before:
            return now(), found, calls
    return None


def _idle_w(
    counter: EnergyCounter, now: Callable[[], float], rest: Callable[[float], None]
) -> tuple[float, float | None] | None:
    """The mean power while nothing is called, and the clock at the end of it; None where it can't be read."""
    began, before = now(), counter.read_j()
    rest(IDLE_S)
    after, ended, clock_hz = counter.read_j(), now(), counter.clock_hz()
    return None if before is None or after is None else ((after - before) / (ended - began), clock_hz)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _microjoules(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None
