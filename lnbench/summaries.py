"""One summary per case, phase and clock of a run: every statistic that tables show is derived here from raw samples."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lnbench import across, ratios, row_notices, stats
from lnbench.break_even import break_even_columns
from lnbench.case_turns import Series
from lnbench.costs import case_costs, fault_share, limited_by, percent_of_peak, phase_costs
from lnbench.errors import Unsupported
from lnbench.evidence import Evidence
from lnbench.planned import Notice, PlannedCase, PlannedWorkload, Status
from lnbench.record import Header, Run
from lnbench.row_summary import RowSummary
from lnbench.speedups import Speedups
from lnbench.traffic import Traffic, minimum_bytes
from lnbench.units import format_shape
from lnbench.workload import Clock, Phase


def summarize(run: Run) -> tuple[RowSummary, ...]:
    """A summary for every case, phase and clock of the plan, in plan order, also for cases that failed."""
    evidence = Evidence(run)
    return summarize_evidence(evidence, Speedups(evidence))


def summarize_evidence(evidence: Evidence, speedups: Speedups) -> tuple[RowSummary, ...]:
    """The same where a run's evidence is at hand."""
    header = evidence.run.header
    of_run = _run_columns(evidence)
    found = []
    for number, case in enumerate(header.cases):
        planned = header.workloads[case.workload]
        shared = {
            "case": number,
            **of_run,
            **_workload_columns(planned, device_name=device_name(evidence, planned.workload.device)),
            **_case_columns(evidence, number),
            "reference": evidence.reference_name(number),
        }
        for phase in planned.phases:
            for clock in planned.clocks:
                found.append(_row(evidence, speedups, number, phase=phase, clock=clock, shared=shared))
    return tuple(found)


def _run_columns(evidence: Evidence) -> dict[str, Any]:
    header = evidence.run.header
    return {
        "run_id": header.run_id,
        "suite": header.suite,
        "lnbench_version": header.lnbench_version,
        "commit": header.commit,
        "dirty": header.dirty if header.commit else None,
        "torch_version": torch_version(evidence),
    }


def torch_version(evidence: Evidence) -> str | None:
    """The version of PyTorch that workers told, else the one that the run was started with."""
    versions = [worker.versions for worker in evidence.workers] + [evidence.run.header.environment.versions]
    return next((found["torch"] for found in versions if "torch" in found), None)


def device_name(evidence: Evidence, device: str) -> str | None:
    """The name of a device, as workers or the system told it."""
    environment = evidence.run.header.environment
    told = next((worker.device_name for worker in evidence.workers if worker.device == device), None)
    return told or (environment.cpu if device == "cpu" else None)


def _workload_columns(planned: PlannedWorkload, *, device_name: str | None) -> dict[str, Any]:
    workload = planned.workload
    taken = ("label", "device", "dtype", "param_dtype", "rows", "features", "affine", "eps", "threads")
    return {
        **{name: getattr(workload, name) for name in (*taken, "cache", "allocator", "layout", "gradients", "autocast")},
        "workload": planned.id,
        "device_name": device_name,
        "input_shape": format_shape(workload.shape),
        "normalized_shape": format_shape(workload.normalized_shape),
        "norm_axes": workload.norm_axes_text,
    }


def _case_columns(evidence: Evidence, number: int) -> dict[str, Any]:
    case = evidence.case(number)
    return {
        "implementation": case.implementation,
        "function": case.function,
        "norm_mode": case.norm_mode,
        **case_costs(evidence, number),
    }


def _row(
    evidence: Evidence, speedups: Speedups, number: int, *, phase: Phase, clock: Clock, shared: Mapping[str, Any]
) -> RowSummary:
    header, case = evidence.run.header, evidence.case(number)
    reference = evidence.reference(number)
    traffic = _traffic(header, case, phase)
    notices = evidence.workload_notices(case.workload)
    notices += row_notices.of_clock(evidence.case_notices(number), clock)
    if reference is not None:
        notices += row_notices.function_notices(case, header.cases[reference])
    notices += row_notices.bound_notices(traffic)
    status, reason, series = evidence.row(number, phase, clock=clock)
    minimum_bytes = traffic.bytes if traffic else None
    columns: dict[str, Any] = {
        "minimum_bytes": minimum_bytes,
        "bytes_bound": traffic.bound if traffic else "",
        "dropped_rounds": evidence.dropped_rounds(number, clock=clock),
        **phase_costs(evidence, number, phase, minimum_bytes=minimum_bytes),
    }
    notices += row_notices.memory_notices(evidence, number) + row_notices.energy_notices(evidence, number)
    if clock is Clock.WALL:
        columns |= _usage_columns(evidence, number, phase)
        share = columns.get("undisturbed_share")
        notices += row_notices.crowding_notices(share, is_unstable=status is Status.UNSTABLE)
    if series:
        kept_s = evidence.turns(number, clock=clock).kept_seconds(phase, clock=clock)
        columns |= _time_columns(series, samples=len(kept_s))
        kept = evidence.condensed(number, phase, clock=clock)
        if kept:
            columns["rounds"] = sum(found.rounds for found in kept.values())
        if reference == number and status is not Status.UNSTABLE:
            columns |= {"speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0}
        else:
            is_unstable = Status.UNSTABLE in {status, _reference_status(evidence, reference, phase, clock)}
            interval = None if is_unstable else speedups.interval(number, phase, clock=clock)
            columns |= _speedup_columns(interval)
            if not is_unstable:
                columns["speedup_processes"] = len(speedups.locations(number, phase, clock=clock)) or None
            if status is Status.UNSTABLE:
                pass  # its reason says why it has no speedup
            elif reference is None or interval is None:
                notices += [_reference_not_ok(evidence, number, phase=phase, clock=clock)]
            else:
                notices += row_notices.module_notices(
                    case, header.cases[reference], phase, median_s=columns["median_s"], speedup=interval
                )
        copied_b = 2 * header.workloads[case.workload].workload.x_bytes
        percent = _percent_of_copy(traffic, speedups.copy_interval(number, phase, clock=clock), copied_b=copied_b)
        if traffic is not None:
            columns["gb_per_s"] = traffic.bytes / columns["median_s"] / 1e9
            columns["percent_of_copy"] = percent and percent.value
            columns["percent_of_peak"] = percent_of_peak(evidence, number, traffic.bytes / columns["median_s"])
        columns |= break_even_columns(evidence, speedups, number, phase, clock=clock, median_s=columns["median_s"])
        faults, least_faults = (
            fault_share(evidence, number, faults=columns["faults_per_call"], time_s=columns[time])
            for time in ("median_s", "high_s")
        )
        columns["limited_by"] = limited_by(
            launch_share=ratios.launch_share(evidence, number, phase, clock=clock),
            least_fault_share=least_faults,
            least_percent_of_copy=percent and percent.low,
        )
        notices += row_notices.fault_notices(faults, least_faults, columns["faults_per_call"], phase)
        call_share = ratios.call_share_of_copy(evidence, case.workload, phase, clock=clock)
        notices += row_notices.copy_notices(percent, call_share, cache=shared["cache"])
        notices += row_notices.launch_notices(evidence, number, phase, clock=clock)
        notices += row_notices.drain_notices(clock, median_s=columns["median_s"])
        notices += row_notices.busy_host_notices(evidence, number, clock=clock)
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


def _usage_columns(evidence: Evidence, number: int, phase: Phase) -> dict[str, Any]:
    """What share of the samples counts, by which means that was found out, and the CPU time of those that do."""
    turns = evidence.turns(number)
    if not len(turns):
        return {}
    return {
        "undisturbed_share": turns.undisturbed_share(phase),
        "cpu_s": None if phase in {Phase.FORWARD, Phase.BACKWARD} else turns.cpu_s(phase),  # of whole calls
        "judged_by": turns.undisturbed(turns.kind(phase)).means.value,
    }


def _time_columns(series: Series, *, samples: int) -> dict[str, Any]:
    times = [np.asarray(turns.seconds) for turns in series.values()]
    interval = across.median_interval(times)
    assert interval is not None  # a series has at least one sample
    bounds = interval.exp()
    return {
        "processes": len(series),
        "rounds": sum(len(np.unique(turns.rounds)) for turns in series.values()),
        "samples": samples or sum(map(len, times)),
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


def _reference_status(evidence: Evidence, reference: int | None, phase: Phase, clock: Clock) -> Status | None:
    return None if reference is None else evidence.row(reference, phase, clock=clock).status


def _reference_not_ok(evidence: Evidence, number: int, *, phase: Phase, clock: Clock) -> Notice:
    name = evidence.reference_name(number)
    reference = evidence.reference(number)
    if reference is None:
        why = "is not part of the plan"
    else:
        found = evidence.row(reference, phase, clock=clock)
        if found.status is Status.OK:
            why = "took no turn in the same rounds"
        else:
            why = f"{'is' if found.status is Status.UNSTABLE else 'ended as'} {found.status}"
    return Notice(code="reference-not-ok", text=f"no speedups: the reference, {name}, {why}")


def _traffic(header: Header, case: PlannedCase, phase: Phase) -> Traffic | None:
    """The fewest bytes of a row; None where the function is not defined on the workload, or not known."""
    if not case.function:
        return None
    workload = header.workloads[case.workload].workload
    own = replace(workload, norm_mode=case.norm_mode, groups=case.groups)
    cache_b = None if workload.is_cuda else header.environment.caches.last_level_b
    try:
        return minimum_bytes(case.function, phase, own, cache_b=cache_b)
    except Unsupported:
        return None


def _percent_of_copy(
    traffic: Traffic | None, against_copy: stats.Interval | None, *, copied_b: int
) -> stats.Bounds | None:
    """The share of the copy's bandwidth: each turn is compared with the copy nearest to it in its round."""
    if traffic is None or against_copy is None:
        return None
    scale = 100 * traffic.bytes / copied_b
    return stats.Bounds(*(scale * bound for bound in against_copy.exp()))
