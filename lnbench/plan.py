"""From a suite to the list of what is to be measured: every combination, and why some can't be measured here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lnbench.axes import Machine, rotation_buffers
from lnbench.collector import collector_at_rest
from lnbench.errors import UsageError
from lnbench.expansion import Expansion
from lnbench.lineup import Entrant, Known, check_names, line_up, line_up_sides, not_loaded
from lnbench.narrowing import refuse_unmatched
from lnbench.planned import PlannedCase, PlannedWorkload, SamplingRecord, Status
from lnbench.selection import Filter, check_filter, parse_only
from lnbench.suite import Suite, check_devices, check_sampling
from lnbench.suite_entries import WorkloadEntry
from lnbench.workload import Clock

__all__ = ["Known", "Machine", "Plan", "make_plan", "parse_only", "rotation_buffers"]

START_S = 3.0
"""Allowed for a worker to start and end: importing torch takes 1 to 4 s on a small machine."""

BUILD_S = 0.1
"""Allowed for a case to be built, watched for what it leaves running, verified before and after, and warmed up."""

CHECK_S_PER_ELEMENT = 0.25e-6
"""Verifying works in float64, several times: 0.2 to 0.35 s a case for a million elements."""

CUDA_START_S = 6.0
"""The same with a CUDA context."""

CUDA_CHECK_S_PER_ELEMENT = 10e-9
"""From the bytes: five verifications of a 16-bit case read and write about 9 kB an element, most of it in float64, and
drawing inputs next to nothing; at 1 TB/s. Not measured on a card yet."""

COMPILE_S = 4.0
"""Allowed for compiling a case and the twins that it is judged by, with a warm cache."""

MOST_EXTENDED = 3.0
"""The timed rounds may take so many times what the budgets add up to, where a busy machine disturbs samples."""


@dataclass(frozen=True)
class Plan:
    """What one run is to measure. Each case points at its workload by number; both are in the order of the file.

    `compiling`: how many of the measurable cases have something to compile.
    """

    workloads: tuple[PlannedWorkload, ...]
    cases: tuple[PlannedCase, ...]
    sampling: SamplingRecord
    compiling: int = 0

    @cached_property
    def measurable(self) -> int:
        """How many cases can be measured, as far as is known beforehand."""
        return sum(case.status is None for case in self.cases)

    @cached_property
    def set_aside(self) -> Mapping[tuple[Status, str], int]:
        """How many cases can't be measured, by status and reason, in the order of the plan."""
        return Counter((case.status, case.reason) for case in self.cases if case.status is not None)

    @cached_property
    def measured_workloads(self) -> int:
        """How many workloads have a case to measure, as far as is known beforehand."""
        return len({case.workload for case in self.cases if case.status is None})

    @cached_property
    def measured_parts(self) -> int:
        """How many times a process measures a workload: each once, and again where the graph clock is asked for."""
        measured = {case.workload for case in self.cases if case.status is None}
        return len(measured) + sum(Clock.GRAPH in self.workloads[number].clocks for number in measured)

    @cached_property
    def timed_s(self) -> float:
        """The seconds of timed rounds that the budgets of all processes and workloads add up to."""
        return self.sampling.processes * self.measured_parts * self.sampling.budget_s

    @cached_property
    def most_timed_s(self) -> float:
        """The most seconds of timed rounds, with the extra time that a busy machine takes."""
        total_s = self.sampling.budget_total_s
        return MOST_EXTENDED * self.timed_s if total_s is None else total_s

    @cached_property
    def estimated_s(self) -> float:
        """About how long the run takes: every process spends its budget on every workload that has a case to measure.

        Workloads that reach the precision early make it shorter, cold compilation makes it longer.
        """
        measured = [self.workloads[case.workload].workload for case in self.cases if case.status is None]
        if not measured:
            return 0.0
        start_s = CUDA_START_S if any(workload.is_cuda for workload in measured) else START_S
        if self.measured_parts > self.measured_workloads:
            start_s += CUDA_START_S  # graphs are captured in a worker of their own
        checking_s = sum(
            BUILD_S + it.elements * (CUDA_CHECK_S_PER_ELEMENT if it.is_cuda else CHECK_S_PER_ELEMENT) for it in measured
        )
        rounds_s = self.measured_parts * self.sampling.budget_s
        return self.sampling.processes * (start_s + rounds_s + checking_s + self.compiling * COMPILE_S)


def make_plan(
    suite: Suite,
    *,
    known: Mapping[str, Known],
    machine: Machine,
    implementations: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    only: Filter | None = None,
    processes: int | None = None,
    precision: float | None = None,
    budget_s: float | None = None,
    budget_total_s: float | None = None,
    least_processes: int = 1,
    against: Sequence[str] = (),
    margin: float | None = None,
    is_complete: bool = True,
) -> Plan:
    """Expand a suite on a machine.

    `implementations` and `devices`, where given, replace the suite's in every workload; the reference stays.
    `only` keeps the cases that match it, and the reference of every workload that keeps a case. `least_processes`: at
    least so many where the suite says fewer. `against`: only these are planned, each beside its old version. `margin`:
    the slowdown that verdicts let pass, in place of the suite's thresholds.
    `is_complete`: whether `known` holds every name; if not, other names may be those of plug-ins that are not loaded
    yet, and their cases are set aside as such.
    Raises SuiteError for names that are not known and for a case planned twice, UsageError for the other arguments, and
    NothingMeasuredError for a column of `only` that matches no case.
    """
    overrides = {
        "processes": processes,
        "precision": precision,
        "budget_s": budget_s,
        "budget_total_s": budget_total_s,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    least = {"processes": max(suite.sampling.processes, least_processes)}
    sampling = check_sampling(**{**suite.sampling.model_dump(), **least, **given})
    replaced = {"devices": check_devices(devices)} if devices else {}
    if is_complete:
        check_names(suite, known=known)
    else:
        known = not_loaded(suite, chosen=implementations or ()) | dict(known)
    expansion = Expansion(
        suite, machine, known, check_filter(only or {}), forgives_repeats=bool(implementations or devices or against)
    )
    planned: list[tuple[WorkloadEntry, Sequence[Entrant]]] = []
    with collector_at_rest():
        for number, entry in enumerate(suite.workloads):
            if against:
                reference, entrants = line_up_sides(suite, number, known=known, names=against)
            else:
                reference, entrants = line_up(suite, number, known=known, chosen=implementations or ())
            if margin is not None:
                entrants = tuple(replace(entrant, margin=margin) for entrant in entrants)
            planned.append((entry.model_copy(update=replaced), entrants))
            expansion.add(number, planned[-1][0], reference, entrants)
    if only and not expansion.cases:
        refuse_unmatched(expansion.only, planned, machine)
    cases = tuple(expansion.cases)
    compiling = sum(case.status is None and known[case.use].compiles for case in cases)
    plan = Plan(tuple(expansion.workloads), cases, SamplingRecord(**sampling.model_dump()), compiling)
    _refuse_small_total(plan, where="sampling.budget_total_s" if budget_total_s is None else "--budget-total")
    return plan


def _refuse_small_total(plan: Plan, *, where: str) -> None:
    """Raise UsageError where the total budget is less than the budgets of all workloads and processes add up to."""
    if plan.most_timed_s < plan.timed_s:
        sampling = plan.sampling
        raise UsageError(
            f"{where}: {plan.most_timed_s:g} s, but {plan.timed_s:g} s are planned: {sampling.budget_s:g} s x "
            f"{plan.measured_parts} (workloads{_graph_words(plan)}) x {sampling.processes} (processes)",
            hint="a larger total allows extra time on a busy machine; --budget and --processes shorten the run",
        )


def _graph_words(plan: Plan) -> str:
    again = plan.measured_parts - plan.measured_workloads
    return f", {again} of them again by the graph clock" if again else ""
