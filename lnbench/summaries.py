"""One summary per case, phase and clock of a run: every statistic that tables show is derived here from raw samples."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lnbench import across, row_notices, stats
from lnbench.errors import Unsupported
from lnbench.evidence import Evidence, Series
from lnbench.planned import Notice, PlannedCase, PlannedWorkload, Status
from lnbench.record import Header, Run
from lnbench.speedups import Speedups
from lnbench.traffic import Traffic, minimum_bytes
from lnbench.units import format_shape
from lnbench.workload import Clock, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSummary:
    """One case, phase and clock. Each field but `case` is a column of results.csv; None is what was not measured.

    `case` is the case's number in the plan. Bounds are those of 95 % intervals, and None where too little was measured
    to give any. Times are empty unless the status has times.
    """

    case: int

    run_id: str
    suite: str
    lnbench_version: str
    torch_version: str | None

    workload: str
    label: str
    device: str
    device_name: str | None
    dtype: str
    param_dtype: str
    input_shape: str
    normalized_shape: str
    rows: int
    features: int
    affine: str
    eps: float
    threads: int
    cache: str
    allocator: str
    layout: str
    reference: str

    implementation: str
    function: str
    norm_mode: str
    cold_first_call_s: float | None
    warm_first_call_s: float | None
    max_relative_error: float | None
    faults_per_call: float | None
    nvml_process_bytes: int | None
    nvml_device_bytes: int | None

    phase: Phase
    clock: Clock
    status: Status
    reason: str
    processes: int = 0
    rounds: int = 0
    samples: int = 0
    median_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    min_s: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    minimum_bytes: int | None = None
    gb_per_s: float | None = None
    percent_of_copy: float | None = None
    notices: tuple[Notice, ...] = ()

    # Nothing measures these yet; their columns stand in results.csv from the first day.
    peak_memory_bytes: int | None = None
    saved_bytes: int | None = None
    energy_per_call_j: float | None = None


def summarize(run: Run) -> tuple[RowSummary, ...]:
    """A summary for every case, phase and clock of the plan, in plan order, also for cases that failed."""
    evidence = Evidence(run)
    speedups = Speedups(evidence)
    of_run = _run_columns(evidence)
    found = []
    for number, case in enumerate(run.header.cases):
        planned = run.header.workloads[case.workload]
        shared = {
            "case": number,
            **of_run,
            **_workload_columns(planned, device_name=_device_name(evidence, planned.workload.device)),
            **_case_columns(evidence, number),
            "reference": evidence.reference_name(number),
        }
        for phase in planned.phases:
            for clock in planned.clocks:
                found.append(_row(evidence, speedups, number, phase=phase, clock=clock, shared=shared))
    return tuple(found)


def _run_columns(evidence: Evidence) -> dict[str, Any]:
    header = evidence.run.header
    versions = [worker.versions for worker in evidence.workers] + [header.environment.versions]
    return {
        "run_id": header.run_id,
        "suite": header.suite,
        "lnbench_version": header.lnbench_version,
        "torch_version": next((found["torch"] for found in versions if "torch" in found), None),
    }


def _device_name(evidence: Evidence, device: str) -> str | None:
    environment = evidence.run.header.environment
    told = next((worker.device_name for worker in evidence.workers if worker.device == device), None)
    return told or (environment.cpu if device == "cpu" else None)


def _workload_columns(planned: PlannedWorkload, *, device_name: str | None) -> dict[str, Any]:
    workload = planned.workload
    taken = ("label", "device", "dtype", "param_dtype", "rows", "features", "affine", "eps", "threads")
    return {
        **{name: getattr(workload, name) for name in (*taken, "cache", "allocator", "layout")},
        "workload": planned.id,
        "device_name": device_name,
        "input_shape": format_shape(workload.shape),
        "normalized_shape": format_shape(workload.normalized_shape),
    }


def _case_columns(evidence: Evidence, number: int) -> dict[str, Any]:
    case, built = evidence.case(number), evidence.built[number]
    errors = [error for verified in evidence.verified[number] for error in verified.max_relative_error.values()]
    faults = [turn.faults for turn in evidence.turns(number) if turn.faults is not None]
    memory = evidence.memory[number]
    return {
        "implementation": case.implementation,
        "function": case.function,
        "norm_mode": case.norm_mode,
        "cold_first_call_s": next((event.first_call_s for event in built if event.compiled_cold), None),
        "warm_first_call_s": next((event.first_call_s for event in built if not event.compiled_cold), None),
        "max_relative_error": max((math.inf if math.isnan(error) else error for error in errors), default=None),
        "faults_per_call": float(np.median(faults)) if faults else None,
        "nvml_process_bytes": _largest(event.nvml_process_bytes for event in memory),
        "nvml_device_bytes": _largest(event.nvml_device_bytes for event in memory),
    }


def _row(
    evidence: Evidence, speedups: Speedups, number: int, *, phase: Phase, clock: Clock, shared: Mapping[str, Any]
) -> RowSummary:
    header, case = evidence.run.header, evidence.case(number)
    reference = evidence.reference(number)
    traffic = _traffic(header, case, phase)
    notices = evidence.workload_notices(case.workload) + evidence.case_notices(number)
    if reference is not None:
        notices += row_notices.function_notices(case, header.cases[reference])
    notices += row_notices.bound_notices(traffic)
    status, reason, series = evidence.row(number, phase, clock=clock)
    columns: dict[str, Any] = {"minimum_bytes": traffic.bytes if traffic else None}
    if series:
        columns |= _time_columns(series)
        kept = evidence.condensed(number, phase, clock=clock)
        if kept:
            columns["rounds"] = sum(found.rounds for found in kept.values())
        if reference == number:
            columns |= {"speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0}
        else:
            columns |= _speedup_columns(speedups.interval(number, phase, clock=clock))
            if "speedup" not in columns:
                notices += [_reference_not_ok(evidence, number, phase=phase, clock=clock)]
        columns |= _traffic_columns(
            traffic,
            columns["median_s"],
            against_copy=speedups.against_copy(number, phase, clock=clock).values(),
            copied_b=2 * header.workloads[case.workload].workload.x_bytes,
        )
        notices += row_notices.copy_notices(columns.get("percent_of_copy"))
        notices += row_notices.launch_notices(evidence, number, phase)
        if phase is Phase.FORWARD_BACKWARD and clock is Clock.WALL:
            notices += row_notices.disposal_notices(evidence, number)
    return RowSummary(
        **shared,
        **columns,
        phase=phase,
        clock=clock,
        status=status,
        reason=reason,
        notices=tuple(dict.fromkeys(notices)),
    )


def _time_columns(series: Series) -> dict[str, Any]:
    times = [np.asarray(turns.seconds) for turns in series.values()]
    interval = across.median_interval(times)
    assert interval is not None  # a series has at least one sample
    bounds = interval.exp()
    return {
        "processes": len(series),
        "rounds": sum(len(np.unique(turns.rounds)) for turns in series.values()),
        "samples": sum(map(len, times)),
        "median_s": bounds.value,
        "low_s": bounds.low if interval.is_bounded else None,
        "high_s": bounds.high if interval.is_bounded else None,
        "min_s": float(min(found.min() for found in times)),
    }


def _speedup_columns(interval: stats.Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {}
    bounds = interval.exp()
    low, high = (bounds.low, bounds.high) if interval.is_bounded else (None, None)
    return {"speedup": bounds.value, "speedup_low": low, "speedup_high": high}


def _reference_not_ok(evidence: Evidence, number: int, *, phase: Phase, clock: Clock) -> Notice:
    name = evidence.reference_name(number)
    reference = evidence.reference(number)
    if reference is None:
        why = "is not part of the plan"
    else:
        found = evidence.row(reference, phase, clock=clock)
        why = "took no turn in the same rounds" if found.series else f"ended as {found.status}"
    return Notice(code="reference-not-ok", text=f"no speedups: the reference, {name}, {why}")


def _traffic(header: Header, case: PlannedCase, phase: Phase) -> Traffic | None:
    """The fewest bytes of a row; None where the function is not defined on the workload."""
    workload = header.workloads[case.workload].workload
    own = replace(workload, norm_mode=case.norm_mode, groups=case.groups)
    cache_b = None if workload.is_cuda else header.environment.caches.last_level_b
    try:
        return minimum_bytes(case.function, phase, own, cache_b=cache_b)
    except Unsupported:
        return None


def _traffic_columns(
    traffic: Traffic | None, median_s: float, *, against_copy: Collection[float], copied_b: int
) -> dict[str, float]:
    """Bandwidth, and its share of the copy's: each turn is held against the copy nearest to it in its round."""
    if traffic is None:
        return {}
    columns = {"gb_per_s": traffic.bytes / median_s / 1e9}
    if against_copy:
        columns["percent_of_copy"] = 100 * traffic.bytes / copied_b * math.exp(float(np.median(list(against_copy))))
    return columns


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
