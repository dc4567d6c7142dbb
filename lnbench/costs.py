"""What a row costs beside time, and how well its result is known: columns derived from what the workers observed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lnbench.events import Built
from lnbench.evidence import Evidence
from lnbench.functions import judged_as
from lnbench.ratios import Share
from lnbench.workload import Phase

EPSILON: Mapping[str, float] = MappingProxyType(
    {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
)
"""The distance from 1 to the next number of a dtype."""

TENSORS = ("y", "dx", "dweight", "dbias", "dalpha")
LIMIT_SHARE = 0.5
"""What takes half of a row's time is what to mend first."""

BANDWIDTH_PERCENT = 70.0
"""From this share of the copy's bandwidth on, fewer bytes are all that would help."""


def case_costs(evidence: Evidence, number: int) -> dict[str, Any]:
    """What holds for all phases of a case: compiling, accuracy, NVML's memory, conditions."""
    memory = evidence.device_memory[number]
    return {
        **_compile_columns(evidence.built[number]),
        **_accuracy_columns(evidence, number),
        **_condition_columns(evidence, number),
        "nvml_process_bytes": _largest(event.nvml_process_bytes for event in memory),
        "nvml_device_bytes": _largest(event.nvml_device_bytes for event in memory),
    }


def phase_costs(evidence: Evidence, number: int, phase: Phase, *, minimum_bytes: int | None) -> dict[str, Any]:
    """What belongs to one phase of a case: memory, page faults, energy, what launching takes."""
    turns = evidence.turns(number)
    faults = turns.faults(phase)  # of inference, and of a step in one piece
    if not len(faults) and phase is not Phase.INFERENCE:
        faults = turns.faults("step")
    return {
        "faults_per_call": float(np.median(faults)) if len(faults) else None,
        **_memory_columns(evidence, number, phase),
        **_energy_columns(evidence, number, phase, minimum_bytes=minimum_bytes),
        **_launching_columns(evidence, number, phase),
    }


def fault_share(evidence: Evidence, number: int, *, faults: float | None, time_s: float | None) -> float:
    """The share of a time that a row's page faults cost, at what one costs on this machine; 0 where unknown.

    Faults are counted, and what one costs is the least of several times, so that the share is rather too small. The
    upper bound of the row's time gives its least.
    """
    device = evidence.planned_workload(number).workload.device
    costs = [worker.fault_s for worker in evidence.workers if worker.device == device and worker.fault_s is not None]
    return faults * float(np.median(costs)) / time_s if faults and costs and time_s else 0.0


def percent_of_peak(evidence: Evidence, number: int, bytes_per_s: float) -> float | None:
    """A bandwidth as a share of what the device's memory could move at most; None where that is not known.

    Peak: two transfers per clock, of the whole bus; so NVIDIA's data sheets count it (3352 GB/s for an H100 SXM, by
    2619 MHz and 5120 bits).
    """
    device = evidence.planned_workload(number).workload.device
    for worker in evidence.workers:
        if worker.device == device and worker.memory_clock_hz and worker.memory_bus_bits:
            return 100 * bytes_per_s / (2 * worker.memory_clock_hz * worker.memory_bus_bits / 8)
    return None


def limited_by(*, launch_share: Share, least_fault_share: float, least_percent_of_copy: float | None) -> str:
    """What to mend first: `launch-bound`, `page-fault-bound`, `bandwidth-bound`; empty where none of them decides.

    Each is said where the whole interval of its share lies beyond the limit. `least_percent_of_copy`: the lower bound
    of the percent of the copy's bandwidth, None where it is not known.
    """
    if least_fault_share >= LIMIT_SHARE:
        return "page-fault-bound"
    if launch_share.low >= LIMIT_SHARE:
        return "launch-bound"
    if shows_bandwidth(launch_share) and (least_percent_of_copy or 0.0) >= BANDWIDTH_PERCENT:
        return "bandwidth-bound"
    return ""


def shows_bandwidth(call_share: Share) -> bool:
    """True where a copy mostly moves bytes, so that it measures bandwidth; false where much of it is its own call."""
    return call_share.high <= LIMIT_SHARE / 2


def _compile_columns(built: Sequence[Built]) -> dict[str, Any]:
    compiled = [event for event in built if event.graphs is not None]
    return {
        "cold_first_call_s": next((event.first_call_s for event in built if event.compiled_cold), None),
        "warm_first_call_s": next((event.first_call_s for event in built if not event.compiled_cold), None),
        "graphs": _largest(event.graphs for event in compiled),
        "graph_breaks": _largest(event.graph_breaks for event in compiled),
        "recompilations": _largest(event.recompilations for event in compiled),
    }


def _accuracy_columns(evidence: Evidence, number: int) -> dict[str, Any]:
    """The largest errors of all judgements, in units of the epsilon of the dtype that they were judged in."""
    verified, dtype = evidence.verified[number], evidence.planned_workload(number).workload.dtype
    errors = {
        name: max(_finite(event.max_relative_error[name]) for event in verified if name in event.max_relative_error)
        for name in {name for event in verified for name in event.max_relative_error}
    }
    repeats = [event.repeats for event in verified if event.repeats is not None]
    hard = [
        _finite(error) / EPSILON[event.dtype]
        for event in evidence.hard_inputs[number]
        for tensors in event.max_relative_error.values()
        for error in tensors.values()
    ]
    found = {
        name: max((error for judged, error in errors.items() if _shown_as(judged) == name), default=None)
        for name in TENSORS
    }
    return {
        "max_relative_error": max(errors.values(), default=None),
        **{f"{name}_error_eps": None if error is None else error / EPSILON[dtype] for name, error in found.items()},
        "hard_error_eps": max(hard, default=None),
        "repeats": all(repeats) if repeats else None,
    }


def _shown_as(tensor: str) -> str:
    """The column of a tensor's error: a new residual counts to y, as the other output, and dresidual to dx."""
    name = judged_as(tensor)
    return {"new_residual": "y", "dresidual": "dx"}.get(name, name)


def _memory_columns(evidence: Evidence, number: int, phase: Phase) -> dict[str, Any]:
    found = [event for event in evidence.memory[number] if phase in event.phases]
    if not found:
        return {}
    parts = [event.phases[phase] for event in found]
    saves = phase is not Phase.INFERENCE
    return {
        "peak_memory_bytes": _largest(part.peak_b for part in parts),
        "temporary_bytes": _largest(part.temporary_b for part in parts),
        "output_bytes": _largest(part.output_b for part in parts),
        "saved_bytes": _largest(event.saved_b for event in found) if saves else None,
    }


def _energy_columns(evidence: Evidence, number: int, phase: Phase, *, minimum_bytes: int | None) -> dict[str, Any]:
    """Energy of whole calls, idle subtracted; empty for parts of a step, which no counter can tell apart."""
    kind = {Phase.INFERENCE: "inference", Phase.FORWARD_BACKWARD: "step"}.get(phase)
    found = [event for event in evidence.energy[number] if event.kind == kind and not event.unusable and event.calls]
    if not found:
        return {}
    net = [event.joules - event.window_s * (event.idle_before_w + event.idle_after_w) / 2 for event in found]
    per_call = float(np.median([joules / event.calls for joules, event in zip(net, found, strict=True)]))
    return {
        "energy_per_call_j": per_call,
        "energy_per_gb_j": per_call / minimum_bytes * 1e9 if minimum_bytes else None,
        "energy_window_s": float(np.median([event.window_s for event in found])),
        "idle_power_w": float(np.median([(event.idle_before_w + event.idle_after_w) / 2 for event in found])),
    }


def _launching_columns(evidence: Evidence, number: int, phase: Phase) -> dict[str, Any]:
    """Medians over the processes that measured them."""
    found = {
        name: [getattr(event, name)[phase] for event in evidence.launching[number] if phase in getattr(event, name)]
        for name in ("host_overhead_s", "kernel_s", "launches")
    }
    return {name: float(np.median(values)) for name, values in found.items() if values}


def _condition_columns(evidence: Evidence, number: int) -> dict[str, Any]:
    device = evidence.planned_workload(number).workload.device
    modes = {worker.flushes_denormals for worker in evidence.workers if worker.device == device} - {None}
    columns: dict[str, Any] = {"flushes_denormals": any(modes) if modes else None}
    looks = evidence.conditions.get(evidence.case(number).workload, ())
    if not looks:
        return columns
    seconds = sum(look.seconds for look in looks)

    def middle(name: str) -> float | None:
        values = [look.readings[name] for look in looks if name in look.readings]
        return float(np.median(values)) if values else None

    def per_second(name: str) -> float | None:
        values = [look.readings[name] for look in looks if name in look.readings]
        return sum(values) / seconds if values and seconds > 0 else None

    steal = [look.readings["steal_share"] * look.seconds for look in looks if "steal_share" in look.readings]
    return columns | {
        "steal_percent": 100 * sum(steal) / seconds if steal and seconds > 0 else None,
        "quota_percent": None if (found := per_second("throttled_s")) is None else 100 * found,
        "involuntary_switches_per_s": per_second("involuntary_switches"),
        "load": middle("load"),
        "frequency_hz": middle("frequency_hz"),
        "sm_clock_hz": middle("sm_clock_hz"),
        "memory_clock_hz": middle("memory_clock_hz"),
        "power_w": middle("power_w"),
        "temperature_c": _largest(look.readings.get("temperature_c") for look in looks),
        "throttling": ";".join(sorted({reason for look in looks for reason in look.throttling})) or None,
    }


def _finite(error: float) -> float:
    return math.inf if math.isnan(error) else error


def _largest(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)
