"""The events of a run, grouped by case and workload."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from statistics import median
from typing import NamedTuple, assert_never

from lnbench.amounts import LEAST_SEEN_S
from lnbench.busyness import alone, busy_line, busy_look
from lnbench.case_turns import NO_NUMBERS, CaseTurns, Series
from lnbench.crowding import CrowdedRow, Crowding, ProcessesLeft, crowding
from lnbench.disturbances import Spoiling
from lnbench.events import (
    NO_DEVICE_TIME,
    OWN_DY,
    PROBE_CASE,
    Built,
    Condensed,
    Confirming,
    Ended,
    HardInputs,
    Noticed,
    Resumed,
    RunFinished,
    Turn,
    Verified,
    WorkerStarted,
    WorkloadFinished,
)
from lnbench.observed import Conditions, DeviceMemory, EnergyUse, Launching, MachineLook, MemoryUse
from lnbench.pairing import Turns
from lnbench.planned import Notice, PlannedCase, PlannedWorkload, Status
from lnbench.record import Run
from lnbench.turn_disturbances import Disturbances
from lnbench.undisturbed import POOLS
from lnbench.workload import STEP_PHASES, Cache, Clock, Phase

INTERRUPTED = "the run ended before this case was measured"
"""The reason of a case that was planned and has no times, though nothing was said against it."""


BELOW_CLOCK = "too short for this clock: its resolution is longer than a call; larger shapes have times"
"""The reason of a row whose samples hold no time."""

MOST_UNSEEN = 0.05
"""Of a row's samples. Leaving so many out at the short end moves the median by a fortieth of them."""


class Row(NamedTuple):
    """How a row (case, phase and clock) stands: why, where it is not ok, and its samples, where it has times."""

    status: Status
    reason: str
    series: Series


class Evidence:
    """What a run found out, by case number and workload number."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.workers: list[WorkerStarted] = []
        self.finished: dict[int, list[WorkloadFinished]] = defaultdict(list)
        self.resumed: list[Resumed] = []
        self.run_finished: RunFinished | None = None
        self.built: dict[int, list[Built]] = defaultdict(list)
        self.verified: dict[int, list[Verified]] = defaultdict(list)
        self.hard_inputs: dict[int, list[HardInputs]] = defaultdict(list)
        self.memory: dict[int, list[MemoryUse]] = defaultdict(list)
        self.device_memory: dict[int, list[DeviceMemory]] = defaultdict(list)
        self.energy: dict[int, list[EnergyUse]] = defaultdict(list)
        self.launching: dict[int, list[Launching]] = defaultdict(list)
        self.conditions: dict[int, list[Conditions]] = defaultdict(list)
        self.machine_looks: list[MachineLook] = []
        self.noticed: list[Noticed] = []
        self._notices: dict[tuple[int | None, int | None], list[Notice]] = defaultdict(list)
        self.confirming: Confirming | None = None
        self._condensed: dict[tuple[int, Phase, Clock], dict[int, Condensed]] = defaultdict(dict)
        self._condensed_cases: set[int] = set()
        self._processes: dict[int, set[int]] = defaultdict(set)
        self._ended: dict[tuple[int, Clock | None], list[Ended]] = defaultdict(list)
        self._cases: dict[int, list[int]] = defaultdict(list)
        self._named: dict[tuple[int, str], list[int]] = defaultdict(list)
        for number, case in enumerate(run.header.cases):
            self._cases[case.workload].append(number)
            self._named[case.workload, case.implementation].append(number)
        log = run.log
        disturbances = Disturbances.of(
            log.turns,
            {
                event.process: event.wakeup_s
                for event in log.others
                if isinstance(event, WorkerStarted) and event.wakeup_s is not None
            },
            alone=alone(event for event in log.others if isinstance(event, MachineLook)),
        )
        self._turns = {
            (workload, case): CaseTurns(
                log.turns,
                numbers,
                disturbances,
                has_pool=case != PROBE_CASE and not POOLS.isdisjoint(run.header.cases[case].libraries),
            )
            for (workload, case), numbers in log.turns.by_case().items()
        }
        self._no_turns = CaseTurns(log.turns, NO_NUMBERS, disturbances)
        self._crowding = cache(self._find_crowding)
        self._spoiling = cache(self._find_spoiling)
        self._kept_turns: dict[tuple[int, int, bool], CaseTurns] = {}
        for event in log.others:
            match event:
                case Turn():
                    raise AssertionError("turns are no others")
                case WorkerStarted():
                    self.workers.append(event)
                case Built():
                    self.built[event.case].append(event)
                case Verified():
                    self.verified[event.case].append(event)
                case WorkloadFinished():
                    self.finished[event.workload].append(event)
                    self._processes[event.workload].add(event.process)
                case Ended():
                    self._ended[event.case, event.clock].append(event)
                case Noticed():
                    self.noticed.append(event)
                    key = (None, event.case) if event.case is not None else (event.workload, None)
                    self._notices[key].append(event.notice)
                case HardInputs():
                    self.hard_inputs[event.case].append(event)
                case MemoryUse():
                    self.memory[event.case].append(event)
                case DeviceMemory():
                    self.device_memory[event.case].append(event)
                case EnergyUse():
                    self.energy[event.case].append(event)
                case Launching():
                    self.launching[event.case].append(event)
                case Conditions():
                    self.conditions[event.workload].append(event)
                case MachineLook():
                    self.machine_looks.append(event)
                case Condensed():
                    self._condensed[event.case, event.phase, event.clock][event.process] = event
                    self._condensed_cases.add(event.case)
                    self._processes[self.case(event.case).workload].add(event.process)
                case Confirming():
                    self.confirming = event
                case Resumed():
                    self.resumed.append(event)
                case RunFinished():
                    self.run_finished = event
                case _:
                    assert_never(event)

    def case(self, number: int) -> PlannedCase:
        """The case as it was planned."""
        return self.run.header.cases[number]

    def planned_workload(self, number: int) -> PlannedWorkload:
        """The workload of a case."""
        return self.run.header.workloads[self.case(number).workload]

    def turns(self, number: int, *, clock: Clock = Clock.WALL) -> CaseTurns:
        """The turns of a case, without those of the rounds that are dropped from rows of this clock."""
        return self._kept(self.case(number).workload, number, clock)

    def undisturbed(self, number: int) -> Iterator[tuple[str, list[int], list[bool]]]:
        """Of each kind of call of a case that was looked at: the numbers of its turns, and which are undisturbed."""
        turns = self._turns.get((self.case(number).workload, number), self._no_turns)
        for kind in self.run.log.turns.calls:
            found = turns.undisturbed(kind)
            if found.means:
                yield kind, turns.numbers.tolist(), found.kept.tolist()

    def dropped_rounds(self, number: int, *, clock: Clock) -> int | None:
        """How many rounds were left out of a case's rows on this clock; None where nothing was looked at."""
        workload = self.case(number).workload
        if not self.conditions.get(workload):
            return None
        return sum(map(len, self._spoiling(_is_on_device(clock)).dropped(workload).values()))

    def _find_spoiling(self, on_device: bool) -> Spoiling:
        measured: dict[tuple[int, int], set[int]] = defaultdict(set)
        for (workload, case), turns in self._turns.items():
            if case != PROBE_CASE and workload in self.conditions:
                for process, rounds in turns.rounds().items():
                    measured[workload, process] |= rounds
        return Spoiling(self.conditions, measured, on_device=on_device)

    def _kept(self, workload: int, case: int, clock: Clock) -> CaseTurns:
        """The turns of a case, or of the probe, without those of dropped rounds."""
        key = workload, case, _is_on_device(clock)
        if key not in self._kept_turns:
            turns = self._turns.get((workload, case), self._no_turns)
            self._kept_turns[key] = turns.without(self._spoiling(_is_on_device(clock)).dropped(workload))
        return self._kept_turns[key]

    def status(self, number: int, *, clock: Clock | None = None) -> tuple[Status, str]:
        """How a case ended, and why where it is not ok; a failure counts before instability.

        `clock`: what ended its rows on that clock alone counts too, where the whole case has no end.
        """
        planned = self.case(number)
        if planned.status is not None:
            return planned.status, planned.reason
        ended = self._ended.get((number, None)) or self._ended.get((number, clock))
        if ended:
            telling = next((event for event in ended if not event.status.has_times), ended[0])
            return telling.status, telling.reason
        if not self.turns(number) and number not in self._condensed_cases:
            return Status.SKIPPED, INTERRUPTED
        # Where a clock is left on which its times hold, its rows tell which are unstable.
        clocks = self.planned_workload(number).clocks
        reasons = [self._spoiling(_is_on_device(clock)).instability(planned.workload) for clock in clocks]
        return (Status.UNSTABLE, reasons[0]) if all(reasons) else (Status.OK, "")

    def row(self, number: int, phase: Phase, *, clock: Clock) -> Row:
        """How one row of a case stands, and its samples."""
        status, reason = self.status(number, clock=clock)
        if not status.has_times:
            return Row(status, reason, {})
        no_step = next((event.no_step for event in self.built.get(number, ()) if event.no_step), "")
        if no_step and phase in STEP_PHASES:
            return Row(Status.UNSUPPORTED, no_step, {})
        condensed = self.condensed(number, phase, clock=clock)
        if self._is_below_clock(number, phase, clock):
            return Row(Status.SKIPPED, BELOW_CLOCK, {})
        left = self._crowding(number, phase, clock)
        series = left.series or _medians(condensed)
        unstable = left.unstable or next((event.unstable for event in condensed.values() if event.unstable), "")
        if unstable:
            return Row(Status.UNSTABLE, unstable, series)
        if not series:
            return Row(Status.SKIPPED, self._why_no_sample(number, phase, clock), {})
        spoiled = self._spoiling(_is_on_device(clock)).instability(self.case(number).workload)
        return Row(Status.UNSTABLE, spoiled, series) if spoiled else Row(status, reason, series)

    def processes_left(self, number: int, phase: Phase, *, clock: Clock) -> ProcessesLeft:
        """How many processes of a row count after what a busy machine disturbed; none of an unstable row."""
        crowding = self._crowding(number, phase, clock)
        if crowding.unstable:
            return crowding.left._replace(counting=0)
        kept = self.condensed(number, phase, clock=clock)
        if not kept:
            return crowding.left
        measured = self._processes.get(self.case(number).workload, ())
        is_unstable = any(event.unstable for event in kept.values())
        return ProcessesLeft(0 if is_unstable else len(kept), len(measured))

    def _find_crowding(self, number: int, phase: Phase, clock: Clock) -> Crowding:
        """What a busy machine left of a row; one that is compared counts what it has in common with its reference."""
        turns, reference = self.turns(number, clock=clock), self.reference(number)
        series = self.series(number, phase, clock=clock)
        if clock is not Clock.WALL or turns.undisturbed_share(phase) is None:
            return Crowding(series)
        base = number if reference is None else reference
        workload = self.case(number).workload
        look = self.busy_look(workload)
        load = None if look is None else look.load
        return crowding(
            CrowdedRow(turns, phase),
            CrowdedRow(self.turns(base, clock=clock), phase),
            threads=self.planned_workload(number).workload.threads,
            cores=self.run.header.environment.physical_cores if look is None else look.cores,
            load=self.load(workload) if load is None else load,
        )

    def load(self, workload: int) -> float | None:
        """The median load while a workload was measured; None where it was not read."""
        loads = [look.readings["load"] for look in self.conditions.get(workload, ()) if "load" in look.readings]
        return median(loads) if loads else None

    def _is_below_clock(self, number: int, phase: Phase, clock: Clock) -> bool:
        """True where too many samples were too short for their clock: what is left would be the longest of them."""
        kept = self.condensed(number, phase, clock=clock).values()
        if any(event.median_s is not None and event.median_s < LEAST_SEEN_S for event in kept):
            return True
        return self.turns(number, clock=clock).unseen_share(phase, clock=clock) > MOST_UNSEEN

    def _why_no_sample(self, number: int, phase: Phase, clock: Clock) -> str:
        workload = self.planned_workload(number).workload
        is_part = phase in {Phase.FORWARD, Phase.BACKWARD}
        if workload.is_cuda and workload.cache != Cache.HOT and clock in {Clock.WALL, Clock.BATCH}:
            return f"the {clock} clock would hold what displaces L2 before each call"
        if workload.is_cuda and clock is Clock.WALL and is_part:
            return "the host's clock can't part forward from backward without waiting inside the step"
        if clock is Clock.BATCH and is_part:
            return "steps in a row between two events can't be parted into forward and backward"
        own_dy = any(notice.code == OWN_DY for notice in self.case_notices(number))
        if clock is Clock.BATCH and phase is Phase.FORWARD_BACKWARD and own_dy:
            return "backward writes into dy, which would have to be renewed between the calls of a batch"
        if clock is Clock.GRAPH and not any(event.on_graph for event in self.finished[self.case(number).workload]):
            return "the run ended before the graph clock's rounds"
        if clock is not Clock.WALL:
            unseen = [notice.text for notice in self.case_notices(number) if notice.code in NO_DEVICE_TIME]
            if unseen:
                return "; ".join(unseen)
        return f"no sample of {phase} on the {clock} clock"

    def reference(self, number: int) -> int | None:
        """The case that a case is compared with: its reference in the same norm mode, else in the first one."""
        planned, name = self.case(number), self.reference_name(number)
        candidates = self._named.get((planned.workload, name), ())
        same_mode = (candidate for candidate in candidates if self.case(candidate).norm_mode == planned.norm_mode)
        return next(same_mode, next(iter(candidates), None))

    def reference_name(self, number: int) -> str:
        """The implementation that a case is compared with: its own reference, or its workload's."""
        return self.case(number).reference or self.planned_workload(number).reference

    def cases_of(self, workload: int) -> Sequence[int]:
        """The cases of a workload, in plan order."""
        return self._cases.get(workload, ())

    def neighbours(self, number: int) -> list[int]:
        """The other cases of a case's workload."""
        return [other for other in self._cases[self.case(number).workload] if other != number]

    def series(self, number: int, name: str, *, clock: Clock) -> Series:
        """The samples of a case under a phase's name, or `disposal`."""
        return self.turns(number, clock=clock).series(name, clock=clock)

    def condensed(self, number: int, phase: Phase, *, clock: Clock) -> Mapping[int, Condensed]:
        """What each process found out about a row, where the turns themselves were not kept."""
        return self._condensed.get((number, phase, clock), {})

    def probe(self, workload: int, phase: Phase, *, clock: Clock) -> Series:
        """What a copy of x took in the working set of a phase: of x alone for inference, else of x and dy."""
        turns = self._kept(workload, PROBE_CASE, clock)
        copies = turns.series("step_copy", clock=clock, share=0.5) if phase is not Phase.INFERENCE else {}
        return copies or turns.series("copy", clock=clock)  # before version 3 there was this one only

    def launches(self, workload: int, *, clock: Clock) -> Series:
        """What a copy of one element took, in the probe's turns."""
        return self._kept(workload, PROBE_CASE, clock).series("launch", clock=clock)

    @property
    def busy_line(self) -> str:
        """How busy other processes kept the machine, in one line; "" where it was not busy or is not known."""
        return busy_line(self.machine_looks)

    def busy_look(self, workload: int) -> MachineLook | None:
        """The worst look at a machine that was busy while a workload was measured; None where it was not."""
        return busy_look(self.machine_looks, workload)

    def case_notices(self, number: int) -> list[Notice]:
        """What was noticed about a case; each once."""
        return _unique(self._notices.get((None, number), ()))

    def workload_notices(self, workload: int | None) -> list[Notice]:
        """What was noticed about a workload as a whole, or about the run (None); each once."""
        return _unique(self._notices.get((workload, None), ()))


def _is_on_device(clock: Clock) -> bool:
    return clock is not Clock.WALL


def _unique(notices: Iterable[Notice]) -> list[Notice]:
    return list(dict.fromkeys(notices))


def _medians(condensed: Mapping[int, Condensed]) -> Series:
    """One sample per process, in place of those that were not kept."""
    found = {process: event.median_s for process, event in sorted(condensed.items())}
    return {process: Turns([0], [0.0], [median_s]) for process, median_s in found.items() if median_s is not None}
