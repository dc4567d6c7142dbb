"""Every combination that a suite asks for, as planned workloads and cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lnbench.axes import Machine, count_workloads, find_obstacle, multiply_out, settle_cache
from lnbench.errors import SuiteError, Unsupported
from lnbench.functions import refuse_undefined
from lnbench.lineup import Entrant, Known
from lnbench.planned import PlannedCase, PlannedWorkload, SetAside, Status
from lnbench.selection import Filter, matches, matches_workload
from lnbench.suite import Suite
from lnbench.suite_entries import WorkloadEntry
from lnbench.workload import Cache, Clock, Phase, Workload

MAX_CASES = 1_000_000
"""A plan past this would run for weeks: it is a slip in the axes."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """An exclusion, with the numbers of the entrants that it speaks of."""

    columns: Filter
    entrants: frozenset[int]

    @property
    def phases(self) -> tuple[str, ...]:
        return self.columns.get("phase", ())


@dataclass(slots=True)
class Expansion:
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
        for shape_number, asked in multiply_out(entry, default_threads=self.machine.default_threads):
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
                clocks = self._clocks(number, entry, workload)
                planned = PlannedWorkload(
                    id=workload_id, workload=workload, reference=reference, phases=phases, clocks=clocks
                )
                self._plan(planned, cast)

    def _clocks(self, number: int, entry: WorkloadEntry, workload: Workload) -> tuple[Clock, ...]:
        """The clocks that a workload of an entry is timed by: those asked for that its device has.

        Raises SuiteError where it has none of them.
        """
        if not entry.clocks:
            return _default_clocks(workload)
        has = tuple(Clock) if workload.is_cuda else (Clock.WALL,)
        clocks = tuple(clock for clock in has if clock in entry.clocks)
        place, asked = self.suite.place("workloads", number, "clocks"), ", ".join(entry.clocks)
        if not clocks:
            raise SuiteError(
                f"{place}: {workload.device} has no {asked} clock",
                hint="add wall, which every device has, or measure on cuda",
            )
        if workload.is_cuda and Clock.DEVICE not in clocks and clocks != (Clock.GRAPH,):
            raise SuiteError(
                f"{place}: device is missing, the clock that decides when the rounds stop",
                hint="add device, or ask for graph alone",
            )
        return clocks

    def _plan(self, planned: PlannedWorkload, cast: Sequence[Entrant]) -> None:
        """Add one workload with its cases."""
        has_residual = any(entrant.function.has_residual for entrant in cast)
        obstacle = find_obstacle(planned.workload, self.machine, phases=planned.phases, has_residual=has_residual)
        for entrant in cast:
            known = self.known[entrant.use]
            own = known.obstacle_to(planned.workload)
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
        key = (
            *what,
            workload.shape,
            workload.normalized_shape,
            workload.norm_axes,
            workload.affine,
            workload.gradients,
        )
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


def _default_clocks(workload: Workload) -> tuple[Clock, ...]:
    """Where none is asked for; behind a displaced L2 the host's time would hold the displacing."""
    if not workload.is_cuda:
        return (Clock.WALL,)
    return (Clock.DEVICE,) if workload.cache != Cache.HOT else (Clock.WALL, Clock.DEVICE)
