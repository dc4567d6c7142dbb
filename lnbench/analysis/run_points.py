"""What a history keeps of one run: when it was and of what commit, and every row's ratio to the reference."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import NamedTuple

from lnbench.conditions import CONDITIONS, Circumstances, details, header_settings
from lnbench.events import Confirming
from lnbench.evidence import Evidence
from lnbench.planned import BASE_SUFFIX, PlannedCase, PlannedWorkload, Status
from lnbench.record import Run
from lnbench.selection import Filter, matches, matches_workload
from lnbench.sides import RowKey
from lnbench.speedups import Speedups
from lnbench.stats import Interval
from lnbench.summaries import device_name, torch_version
from lnbench.view import default_clock
from lnbench.workload import Clock, Phase


@dataclass(frozen=True, slots=True)
class RunMark:
    """A run as a point in time. `settings`: its machine, versions and settings by name, the commit apart."""

    run_id: str
    created: str
    suite: str
    lnbench_version: str
    commit: str
    dirty: bool
    revision: str
    settings: Mapping[str, str]

    @property
    def order(self) -> tuple[datetime, str, str]:
        """What runs are sorted by: when they began. One that does not tell comes first."""
        try:
            found = datetime.fromisoformat(self.created)
        except ValueError:
            found = datetime.min
        return found if found.tzinfo else found.replace(tzinfo=UTC), self.created, self.run_id

    @property
    def day(self) -> str:
        """When it was, to the minute: `2026-11-22 15:45`; as it stands where that is no time."""
        at = self.order[0]
        return self.created if at.year == 1 else f"{at:%Y-%m-%d %H:%M}"


class Place(NamedTuple):
    """What has to be the same for ratios to stand in one line. Versions need not: they may be what changed them.

    `samples`: `all`, or `undisturbed` for runs that tell which samples a busy machine disturbed.
    """

    machine: str
    threads: str
    allocator: str
    samples: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One row of a run: its log speedup over the reference, or why there is none.

    `details`: what else has to be the same where it is known: numbers and settings of the machine, by name.
    `definition`: what the suite says the implementation is; the same name with other options is another thing.
    `over_copy`: the log speedup of the reference itself over the plain copy, the mean over processes.
    """

    key: RowKey
    place: Place
    details: Mapping[str, str]
    definition: str
    label: str
    margin: float
    torch_version: str
    status: Status
    reason: str = ""
    interval: Interval | None = None
    over_copy: float | None = None


@dataclass(frozen=True, slots=True)
class RunPoints:
    """All that a history keeps of a run. `sides`: rows of a check that were held against an old version instead."""

    mark: RunMark
    readings: tuple[Reading, ...]
    sides: int = 0


@dataclass(frozen=True, slots=True)
class _Located:
    """A case as far as conditions ask of it."""

    case: int
    suite: str
    device: str
    device_name: str | None
    threads: int
    allocator: str
    torch_version: str | None
    reference: str


def points_of(run: Run, *, only: Filter | None = None) -> RunPoints:
    """The points of a run, the references left out, on the clock that tables show.

    Of a check the processes that only confirmed are left out: they were asked because rows looked slower. `only`: what
    `--only` keeps.
    """
    confirming = next((event for event in run.log.others if isinstance(event, Confirming)), None)
    evidence = Evidence(run if confirming is None else run.among(range(confirming.first_process)))
    speedups = Speedups(evidence)
    readings: list[Reading] = []
    sides = 0
    for number, case in enumerate(run.header.cases):
        planned = run.header.workloads[case.workload]
        if evidence.reference(number) == number or not _is_wanted(case, planned, only or {}):
            continue
        if case.reference.endswith(BASE_SUFFIX):
            sides += 1
            continue
        readings += _readings(evidence, speedups, number, only or {})
    return RunPoints(_mark(run), tuple(readings), sides)


def _mark(run: Run) -> RunMark:
    header = run.header
    known = {name: value for name, value in header_settings(header) if name != "commit"}
    return RunMark(
        header.run_id,
        header.created,
        header.suite,
        header.lnbench_version,
        header.commit,
        header.dirty,
        header.revision,
        known,
    )


def _is_wanted(case: PlannedCase, planned: PlannedWorkload, only: Filter) -> bool:
    own = {"implementation": case.implementation, "function": case.function, "norm_mode": case.norm_mode}
    return matches_workload(only, planned.workload, planned.id) and all(
        matches(value, only[column]) for column, value in own.items() if column in only
    )


def _readings(evidence: Evidence, speedups: Speedups, number: int, only: Filter) -> Iterator[Reading]:
    """A case's rows."""
    case, planned = evidence.case(number), evidence.planned_workload(number)
    workload, clock = planned.workload, default_clock(planned)
    located = _Located(
        number,
        evidence.run.header.suite,
        workload.device,
        device_name(evidence, workload.device),
        workload.threads,
        workload.allocator,
        torch_version(evidence),
        evidence.reference_name(number),
    )
    found = Circumstances(evidence, located)
    machine, threads, allocator, samples, definition = (
        CONDITIONS[name](found) for name in ("machine", "threads", "allocator", "samples", "suite")
    )
    place = Place(machine, threads, allocator, samples, located.reference)
    known = {name: value for name, value in details(found, of={"machine", "allocator"}).items() if value}
    for phase in planned.phases:
        if not matches(phase, only.get("phase", ("*",))):
            continue
        row = evidence.row(number, phase, clock=clock)
        interval = speedups.interval(number, phase, clock=clock) if row.status is Status.OK else None
        reason = row.reason
        if row.status is Status.OK and interval is None:
            reason = f"no turns of the reference, {located.reference}, in the same rounds"
        yield Reading(
            key=RowKey(planned.id, case.implementation, case.norm_mode, phase.value, clock.value),
            place=place,
            details=known,
            definition=definition,
            label=workload.label,
            margin=case.margin,
            torch_version=located.torch_version or "",
            status=row.status,
            reason=reason,
            interval=interval,
            over_copy=_over_copy(speedups, evidence.reference(number), phase, clock),
        )


def _over_copy(speedups: Speedups, reference: int | None, phase: Phase, clock: Clock) -> float | None:
    found = {} if reference is None else speedups.against_copy(reference, phase, clock=clock)
    return fmean(found.values()) if found else None
