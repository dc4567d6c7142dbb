"""What the kernels of a call take, as CUPTI sees them: through torch.profiler, of every framework in the process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from lnbench.measure.event_timer import Part

CALLS = 5
"""Calls that are profiled; kernels take nearly the same time in each."""


@dataclass(frozen=True, slots=True)
class KernelUse:
    """Seconds of all kernels, copies and fills of a call together, and how many there are."""

    seconds: float
    launches: float


class Profiler(Protocol):
    """What sees kernels. A fake one drives the tests."""

    def kernels_s(self, work: Callable[[], object]) -> Sequence[float]:
        """Seconds of every kernel, copy and fill that `work` enqueues."""


class TorchProfiler:
    """torch.profiler with CUDA activities alone. `wait`: returns when the device has finished."""

    def __init__(self, wait: Callable[[], object]) -> None:
        self._wait = wait

    def kernels_s(self, work: Callable[[], object]) -> Sequence[float]:
        from torch.profiler import ProfilerActivity, profile

        self._wait()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            work()
            self._wait()
        return [
            event.time_range.elapsed_us() * 1e-6
            for event in found.events() or ()
            if event.device_type.name == "CUDA" and not event.is_user_annotation
        ]


def kernel_use(profiler: Profiler, parts: Mapping[str, Part]) -> dict[str, KernelUse]:
    """What the kernels of each part of a call take, by its name; empty where the profiler sees none.

    Each part is profiled by itself over CALLS calls, on what the part before gave in as many.
    """
    found: dict[str, KernelUse] = {}
    results: list[Any] = [None] * (CALLS + 1)
    for name, part in parts.items():
        taken, results = results, [part(results[0])]  # not counted: its first call may load or allocate
        seconds = profiler.kernels_s(partial(_call_all, part, taken[1:], results))
        if not seconds:
            return {}
        found[name] = KernelUse(sum(seconds) / CALLS, len(seconds) / CALLS)
    return found


def _call_all(part: Part, taken: Sequence[Any], results: list[Any]) -> None:
    """Call a part with each of what the part before gave, and keep what it gives."""
    results.extend(map(part, taken))
