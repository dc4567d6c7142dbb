"""What a call allocates: exact allocation events on the CPU, the caching allocator's counters on CUDA.

The CPU's events come from PyTorch's profiler (its Chrome trace with `profile_memory=True`, the public route): every
allocation and release with its address and size. Memory that a call gets elsewhere than from the framework is not seen.
"""

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lnbench.observed import PhaseMemory
from lnbench.workload import Phase

_RANGE = "lnbench: "


class Calls(Protocol):
    """What is called once: the phases of a case. `wait` returns when the device has finished."""

    @property
    def inference(self) -> Callable[[], Any]: ...

    @property
    def forward(self) -> Callable[[], Any]: ...

    @property
    def backward(self) -> Callable[[Any], Any]: ...

    def without_gradients(self) -> AbstractContextManager[None]: ...

    def wait(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CallMemory:
    """What the phases of a case allocate, and what is alive after forward beyond y."""

    phases: Mapping[Phase, PhaseMemory]
    kept_b: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """One event of the allocator: at a time, `size_b` more bytes at an address, or less where it is negative."""

    time: float
    address: int
    size_b: int


def memory_of(calls: Calls, *, on_cuda: bool) -> CallMemory:
    """Call every phase of a warm case once, and see what it allocates."""
    return _cuda_memory(calls) if on_cuda else _host_memory(calls)


def peak_b(events: Iterable[Allocation]) -> int:
    """The most bytes alive at once, above those alive before the first event; never below 0."""
    alive = peak = 0
    for event in events:
        alive += event.size_b
        peak = max(peak, alive)
    return peak


def temporary_peak_b(events: Sequence[Allocation]) -> int:
    """The most bytes alive at once of blocks that are both allocated and released among these events."""
    born: dict[int, int] = {}
    passing: set[int] = set()
    for index, event in enumerate(events):
        if event.size_b > 0:
            born[event.address] = index
        elif event.address in born:
            passing |= {born.pop(event.address), index}
    return peak_b(events[index] for index in sorted(passing))


def _host_memory(calls: Calls) -> CallMemory:
    from torch.profiler import ProfilerActivity, profile, record_function

    outputs: dict[Phase, int] = {}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        with calls.without_gradients(), record_function(_RANGE + Phase.INFERENCE):
            result = calls.inference()
        outputs[Phase.INFERENCE] = _storage_bytes(result)
        del result
        with record_function(_RANGE + Phase.FORWARD):
            y = calls.forward()
        with record_function(_RANGE + Phase.BACKWARD):
            gradients = calls.backward(y)
        outputs[Phase.FORWARD], outputs[Phase.BACKWARD] = _storage_bytes(y), _storage_bytes(gradients)
        del y, gradients
    within = _events_by_phase(_trace(profiler))
    forward, backward = within[Phase.FORWARD], within[Phase.BACKWARD]
    kept = sum(event.size_b for event in forward)
    phases = {
        phase: PhaseMemory(peak_b=peak_b(found), output_b=outputs[phase], temporary_b=temporary_peak_b(found))
        for phase, found in ((Phase.INFERENCE, within[Phase.INFERENCE]), (Phase.FORWARD, forward))
    }
    alive_before = Allocation(0.0, 0, kept)
    phases[Phase.BACKWARD] = PhaseMemory(
        peak_b=peak_b([alive_before, *backward]),
        output_b=outputs[Phase.BACKWARD],
        temporary_b=temporary_peak_b(backward),
    )
    return CallMemory(_with_step(phases), kept_b=kept - outputs[Phase.FORWARD])


def _cuda_memory(calls: Calls) -> CallMemory:
    """The same from counters: a temporary is what a peak holds beyond what was alive before and what is returned."""
    from torch import cuda

    def peak_of(call: Callable[[], Any]) -> tuple[Any, int]:
        calls.wait()
        cuda.reset_peak_memory_stats()
        result = call()
        calls.wait()
        return result, cuda.max_memory_allocated() - base

    phases: dict[Phase, PhaseMemory] = {}
    base = cuda.memory_allocated()
    with calls.without_gradients():
        result, peak = peak_of(calls.inference)
    alive = cuda.memory_allocated() - base
    phases[Phase.INFERENCE] = PhaseMemory(
        peak_b=peak, output_b=_storage_bytes(result), temporary_b=max(peak - alive, 0)
    )
    del result
    calls.wait()
    base = cuda.memory_allocated()
    y, peak = peak_of(calls.forward)
    alive, y_b = cuda.memory_allocated() - base, _storage_bytes(y)
    phases[Phase.FORWARD] = PhaseMemory(peak_b=peak, output_b=y_b, temporary_b=max(peak - alive, 0))
    gradients, peak = peak_of(lambda: calls.backward(y))
    returned = _storage_bytes(gradients)
    phases[Phase.BACKWARD] = PhaseMemory(peak_b=peak, output_b=returned, temporary_b=max(peak - alive - returned, 0))
    return CallMemory(_with_step(phases), kept_b=max(alive - y_b, 0))


def _with_step(phases: dict[Phase, PhaseMemory]) -> dict[Phase, PhaseMemory]:
    """The phases with forward_backward: y stays alive while backward runs, as in a network."""
    parts = [phases[Phase.FORWARD], phases[Phase.BACKWARD]]
    step = PhaseMemory(
        peak_b=max(part.peak_b for part in parts),
        output_b=sum(part.output_b for part in parts),
        temporary_b=max(part.temporary_b or 0 for part in parts),
    )
    return phases | {Phase.FORWARD_BACKWARD: step}


def _storage_bytes(result: Any) -> int:
    """The bytes of the distinct storages behind a tensor or a sequence of them."""
    tensors = result if isinstance(result, tuple | list) else (result,)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return int(sum(storages.values()))


def _trace(profiler: Any) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    return found


def _events_by_phase(trace: Iterable[Mapping[str, Any]]) -> dict[Phase, list[Allocation]]:
    """The CPU's allocation events inside each phase's range, in time."""
    ranges: dict[Phase, tuple[float, float]] = {}
    events: list[Allocation] = []
    for event in trace:
        name = str(event.get("name", ""))
        if name == "[memory]" and event["args"]["Device Type"] == 0:
            events.append(Allocation(float(event["ts"]), int(event["args"]["Addr"]), int(event["args"]["Bytes"])))
        elif name.startswith(_RANGE) and "dur" in event:
            start = float(event["ts"])
            ranges[Phase(name.removeprefix(_RANGE))] = (start, start + float(event["dur"]))
    events.sort(key=lambda event: event.time)
    return {phase: [event for event in events if start <= event.time <= end] for phase, (start, end) in ranges.items()}
