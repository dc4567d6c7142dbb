"""From a suite to the list of what is to be measured: every combination, and why some can't be measured here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from lnbench.axes import Machine, count_workloads, find_obstacle, multiply_out, rotation_buffers, settle_cache
from lnbench.collector import collector_at_rest
from lnbench.errors import SuiteError, Unsupported, UsageError
from lnbench.functions import refuse_undefined
from lnbench.lineup import Entrant, Known, check_names, line_up, line_up_sides, not_loaded
from lnbench.narrowing import refuse_unmatched
from lnbench.planned import PlannedCase, PlannedWorkload, SamplingRecord, SetAside, Status
from lnbench.selection import Filter, check_filter, matches, matches_workload, parse_only
from lnbench.suite import Suite, check_devices, check_sampling
from lnbench.suite_entries import WorkloadEntry
from lnbench.workload import Cache, Clock, Phase, Workload

__all__ = ["Known", "Machine", "Plan", "make_plan", "parse_only", "rotation_buffers"]

START_S = 3.0
"""Allowed for a worker to start and end: importing torch takes 1 to 4 s on a small machine."""

BUILD_S = 0.1
"""Allowed for a case to be built, watched for what it leaves running, verified before and after, and warmed up."""

CHECK_S_PER_ELEMENT = 0.25e-6
"""Verifying holds several float64 copies of x against each other: 0.2 to 0.35 s a case for a million elements."""

COMPILE_S = 4.0
"""Allowed for compiling a case and the twins that it is judged by, with a warm cache."""

MOST_EXTENDED = 3.0
"""The timed rounds may take so many times what the budgets add up to, where a busy machine disturbs samples."""

MAX_CASES = 1_000_000
"""A plan past this would run for weeks: it is a slip in the axes."""


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
    def timed_s(self) -> float:
        """The seconds of timed rounds that the budgets of all processes and workloads add up to."""
        return self.sampling.processes * self.measured_workloads * self.sampling.budget_s

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
        workloads = self.measured_workloads
        elements = sum(self.workloads[case.workload].workload.elements for case in self.cases if case.status is None)
        checking_s = self.measurable * BUILD_S + elements * CHECK_S_PER_ELEMENT
        each_s = START_S + workloads * self.sampling.budget_s + checking_s + self.compiling * COMPILE_S
        return self.sampling.processes * each_s if workloads else 0.0


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
    expansion = _Expansion(
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
    if plan.most_timed_s < plan.timed_s:
        name = "sampling.budget_total_s" if budget_total_s is None else "--budget-total"
        raise UsageError(
            f"{name}: {plan.most_timed_s:g} s, but "
            f"{plan.timed_s:g} s are planned: {sampling.budget_s:g} s x {plan.measured_workloads} (workloads) x "
            f"{sampling.processes} (processes)",
            hint="a larger total allows extra time on a busy machine; --budget and --processes shorten the run",
        )
    return plan


@dataclass(frozen=True, slots=True)
class _Rule:
    """An exclusion, with the numbers of the entrants that it speaks of."""

    columns: Filter
    entrants: frozenset[int]

    @property
    def phases(self) -> tuple[str, ...]:
        return self.columns.get("phase", ())


@dataclass(slots=True)
class _Expansion:
    """A plan while it grows."""

    suite: Suite
    machine: Machine
    known: Mapping[str, Known]
    only: Filter
    forgives_repeats: bool
    workloads: list[PlannedWorkload] = field(default_factory=list)
    cases: list[PlannedCase] = field(default_factory=list)
    planned: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    refusals: dict[tuple[object, ...], tuple[SetAside | None, str]] = field(default_factory=dict)

    def add(self, number: int, entry: WorkloadEntry, reference: str, entrants: tuple[Entrant, ...]) -> None:
        """Add all combinations of workload entry `number`."""
        if len(self.cases) + count_workloads(entry) * len(entrants) > MAX_CASES:
            place = self.suite.place("workloads", number)
            raise SuiteError(f"{place}: more than {MAX_CASES} cases", hint="shorten an axis, or split the suite")
        rules = [
            _Rule(rule.patterns, _matching(rule.patterns, entrants)) for rule in (*self.suite.exclude, *entry.exclude)
        ]
        wanted = _matching(self.only, entrants)
        wanted_phases = tuple(Phase(it) for it in entry.phases if matches(it, self.only.get("phase", ("*",))))
        casts: dict[frozenset[int], tuple[Entrant, ...]] = {}
        for shape_number, asked in multiply_out(entry, default_threads=self.machine.threads):
            hit = [rule for rule in rules if matches_workload(rule.columns, asked, "")]
            excluded_phases = {phase for rule in hit for phase in rule.phases}
            phases = (
                tuple(it for it in wanted_phases if it not in excluded_phases) if excluded_phases else wanted_phases
            )
            workload = settle_cache(asked, self.machine)
            workload_id = workload.name(default_threads=self.machine.threads)
            if not phases or not matches_workload(self.only, workload, workload_id):
                continue
            excluded = frozenset(number for rule in hit if not rule.phases for number in rule.entrants)
            if excluded not in casts:
                casts[excluded] = _cast(entrants, wanted, excluded, reference)
            cast = [
                entrant
                for entrant in casts[excluded]
                if self._is_new((workload_id, entrant.implementation, entrant.norm_mode), (number, shape_number))
            ]
            if cast:
                clocks = _clocks(workload)
                planned = PlannedWorkload(
                    id=workload_id, workload=workload, reference=reference, phases=phases, clocks=clocks
                )
                self._plan(planned, cast)

    def _plan(self, planned: PlannedWorkload, cast: Sequence[Entrant]) -> None:
        """Add one workload with its cases."""
        obstacle = find_obstacle(planned.workload, self.machine, phases=planned.phases)
        for entrant in cast:
            known = self.known[entrant.use]
            own = known.obstacle_on(planned.workload.device)
            status, reason = obstacle or own or self._refusal(entrant, planned.workload)
            self.cases.append(
                PlannedCase(
                    workload=len(self.workloads),
                    implementation=entrant.implementation,
                    use=entrant.use,
                    function=entrant.function.name,
                    norm_mode=entrant.norm_mode,
                    options=entrant.options,
                    groups=entrant.groups,
                    status=status,
                    reason=reason,
                    reference=entrant.reference,
                    margin=entrant.margin,
                    libraries=known.libraries,
                )
            )
        self.workloads.append(planned)

    def _is_new(self, key: tuple[str, str, str], origin: tuple[int, int]) -> bool:
        """False for a case that is planned already because the command line made two entries alike.

        Raises SuiteError where the file itself plans it twice.
        """
        if key not in self.planned:
            self.planned[key] = origin
            return True
        if self.forgives_repeats:
            return False
        here, first = (
            self.suite.place("workloads", entry, "shapes", shape) for entry, shape in (origin, self.planned[key])
        )
        raise SuiteError(
            f'{here}: "{key[1]}" on {key[0]} is planned twice, first at {first}',
            hint="leave one of the two out, or give one of the implementations another name with `as`",
        )

    def _refusal(self, entrant: Entrant, workload: Workload) -> tuple[SetAside | None, str]:
        """Status and reason where the function is not defined on the workload; None where it is."""
        what = (entrant.function.name, entrant.norm_mode, entrant.groups)
        key = (*what, workload.shape, workload.normalized_shape, workload.affine, workload.gradients)
        if key not in self.refusals:
            try:
                refuse_undefined(
                    entrant.function, replace(workload, norm_mode=entrant.norm_mode, groups=entrant.groups)
                )
                self.refusals[key] = None, ""
            except Unsupported as error:
                self.refusals[key] = Status.UNSUPPORTED, str(error)
        return self.refusals[key]


def _matching(columns: Filter, entrants: Sequence[Entrant]) -> frozenset[int]:
    """The numbers of the entrants that match a filter, as far as it speaks of entrants."""
    return frozenset(
        number
        for number, entrant in enumerate(entrants)
        if matches(entrant.implementation, columns.get("implementation", ("*",)))
        and matches(entrant.function.name, columns.get("function", ("*",)))
        and matches(entrant.norm_mode, columns.get("norm_mode", ("*",)))
    )


def _cast(
    entrants: Sequence[Entrant], wanted: frozenset[int], excluded: frozenset[int], reference: str
) -> tuple[Entrant, ...]:
    """The entrants that stay: those wanted and not excluded, and beside them a reference, wanted or not.

    Two versions of one implementation stay or go together.
    """
    apart = {(entrants[number].reference, entrants[number].norm_mode) for number in excluded}
    left = [
        number
        for number, entrant in enumerate(entrants)
        if number not in excluded and not (entrant.reference and (entrant.reference, entrant.norm_mode) in apart)
    ]
    kept = {number for number in left if number in wanted}
    pairs = {(entrants[number].reference, entrants[number].norm_mode) for number in kept if entrants[number].reference}
    if pairs:
        both = (number for number in left if (entrants[number].reference, entrants[number].norm_mode) in pairs)
        return tuple(entrants[number] for number in sorted(kept.union(both)))
    references = {number for number in left if entrants[number].implementation == reference}
    if kept and not kept & references:
        kept |= references
    return tuple(entrants[number] for number in sorted(kept))


def _clocks(workload: Workload) -> tuple[Clock, ...]:
    """The clocks that a workload is read with; behind a displaced L2 the host's time would hold the displacing."""
    if not workload.is_cuda:
        return (Clock.WALL,)
    return (Clock.DEVICE,) if workload.cache != Cache.HOT else (Clock.WALL, Clock.DEVICE)
