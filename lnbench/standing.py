"""How far a run is, told by its events alone: what is over, what a process is done with, and what is left to do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lnbench.events import AnyEvent, Confirming, Ended, Noticed, Turn, WorkerStarted, WorkloadFinished
from lnbench.observed import Launching
from lnbench.planned import PlannedCase, PlannedWorkload, Status
from lnbench.units import format_bytes, format_shape
from lnbench.workload import Clock, Phase, Workload


@dataclass(slots=True)
class Begun:
    """What was measured of a workload in one process: the rounds, and the seconds of budget that they took.

    `before_s`: those of the workers before the latest one.
    """

    rounds: int = 0
    before_s: float = 0.0
    _latest_s: float = 0.0
    _turns: set[tuple[int, int, float, int]] = field(default_factory=set)

    @property
    def spent_s(self) -> float:
        """The sum over the workers that took part, each of which counts from its own first turn."""
        return self.before_s + self._latest_s

    def note(self, turn: Turn) -> None:
        """Take a turn into account."""
        self.rounds = max(self.rounds, turn.round + 1)
        if turn.started_s < self._latest_s:
            self.before_s += self._latest_s
        self._latest_s = turn.started_s
        self._turns.add((turn.round, turn.case, turn.started_s, turn.sample))

    def has(self, turn: Turn) -> bool:
        """True for a turn that was taken into account."""
        return (turn.round, turn.case, turn.started_s, turn.sample) in self._turns


Part = tuple[int, int, bool]
"""A process and a workload, and whether it is the graph clock's part of it, which another worker measures."""


@dataclass
class Standing:
    """The standing of a run; an event that is noted moves it on, so a journal read again gives the same one.

    `over`: the cases of which nothing more is measured. `over_on_graph`: those that the graph clock leaves out.
    `launches`: how many kernels a call of a case launches at most, where that was counted.
    """

    workloads: tuple[PlannedWorkload, ...]
    cases: tuple[PlannedCase, ...]
    workers: int = 0
    over: set[int] = field(default_factory=set)
    over_on_graph: set[int] = field(default_factory=set)
    finished: set[Part] = field(default_factory=set)
    launches: dict[int, float] = field(default_factory=dict)
    left_out: set[tuple[int, int]] = field(default_factory=set)
    budget_s: float = field(default=0.0, kw_only=True)
    _measured: set[int] = field(default_factory=set)
    _begun: dict[Part, Begun] = field(default_factory=dict)
    _spent_s: dict[Part, float] = field(default_factory=dict)
    _out_of_memory: list[int] = field(default_factory=list)
    _said: set[tuple[int | None, int | None, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.over |= {number for number, case in enumerate(self.cases) if case.status is not None}

    def note(self, event: AnyEvent) -> bool:
        """Take an event into account. False for a notice that was given before, which need not be kept."""
        match event:
            case Turn():
                part = event.process, event.workload, bool(event.graph_s)
                self._begun.setdefault(part, Begun()).note(event)
                if part not in self.finished:
                    self._spent_s[part] = self._begun[part].spent_s
                self._measured.add(event.case)
            case WorkerStarted():
                self.workers = max(self.workers, event.worker + 1)
            case WorkloadFinished():
                part = event.process, event.workload, event.on_graph
                self.finished.add(part)
                self._spent_s[part] = self._begun.get(part, Begun()).before_s + event.rounds_s
            case Ended(clock=Clock.GRAPH):
                self.over_on_graph.add(event.case)
            case Ended():
                self.over.add(event.case)
                if event.status is Status.OOM:
                    self._out_of_memory.append(event.case)
            case Noticed(notice=notice, workload=workload, case=case):
                # Of the whole run there may be several of a kind; of a case, each is told once, whatever its numbers.
                said = (workload, case, notice.code if workload is not None else notice.text)
                if said in self._said:
                    return False
                self._said.add(said)
            case Launching() if event.launches:
                # A graph holds inference, forward or backward; a step in one piece has its whole alone.
                parts = {it: count for it, count in event.launches.items() if it != Phase.FORWARD_BACKWARD}
                self.launches[event.case] = max((parts or event.launches).values())
            case Confirming():
                self.over |= set(range(len(self.cases))) - set(event.cases)
                # What is confirmed is a verdict, and where the graph clock gives none it has nothing to add.
                clocks = {
                    number: self.workloads[case.workload].deciding_clock for number, case in enumerate(self.cases)
                }
                self.over_on_graph |= {number for number, clock in clocks.items() if clock is not Clock.GRAPH}
            case _:
                pass
        return True

    @property
    def extra_s(self) -> float:
        """The seconds of timed rounds spent beyond `budget_s`, workloads that are not finished included."""
        return sum(max(spent_s - self.budget_s, 0.0) for spent_s in self._spent_s.values())

    def begun(self, process: int, workload: int, *, on_graph: bool = False) -> Begun:
        """What a process has measured of a workload so far."""
        return self._begun.get((process, workload, on_graph), Begun())

    def rounds(self, process: int, workload: int) -> int:
        """How many rounds a process has measured of a workload, on whichever clock; the next has this number."""
        return max(self.begun(process, workload, on_graph=it).rounds for it in (False, True))

    def remaining(self, process: int, workload: int, *, on_graph: bool = False) -> list[int]:
        """The cases of a workload that a process still has to measure, on the graph clock or on all others."""
        if (process, workload, on_graph) in self.finished:
            return []
        return [
            number
            for number, case in enumerate(self.cases)
            if case.workload == workload
            and self._is_wanted(number, on_graph=on_graph)
            and (process, number) not in self.left_out
        ]

    def is_measured(self, case: int) -> bool:
        """True when some process has timed a case."""
        return case in self._measured

    def knows(self, turn: Turn) -> bool:
        """True for a turn that was noted, also of a workload that is finished: its worker may end before it is idle."""
        return self.begun(turn.process, turn.workload, on_graph=bool(turn.graph_s)).has(turn)

    def left(self, processes: Iterable[int], *, on_graph: bool = False) -> Iterator[tuple[int, int]]:
        """Every process and workload with a case that is still to be measured, on the graph clock or on all others."""
        wanted = sorted(
            {case.workload for number, case in enumerate(self.cases) if self._is_wanted(number, on_graph=on_graph)}
        )
        return ((it, number) for it in processes for number in wanted if (it, number, on_graph) not in self.finished)

    def parts_left(self, processes: Iterable[int]) -> int:
        """How many times a worker still has to measure a workload, the graph clock's part counted apart."""
        numbers = list(processes)
        return sum(1 for on_graph in (False, True) for _ in self.left(numbers, on_graph=on_graph))

    def is_over(self, case: int, *, on_graph: bool = False) -> bool:
        """True for a case of which nothing more is measured on the graph clock, or on all others."""
        return case in self.over or (on_graph and case in self.over_on_graph)

    def _is_wanted(self, number: int, *, on_graph: bool) -> bool:
        clocks = self.workloads[self.cases[number].workload].clocks
        return not self.is_over(number, on_graph=on_graph) and (not on_graph or Clock.GRAPH in clocks)

    def outgrown(self, number: int) -> str:
        """Why a case need not be tried: the same implementation ran out of memory on less of the same; else ""."""
        case = self.cases[number]
        workload = self._workload(number)
        for other in self._out_of_memory:
            smaller = self._workload(other)
            if (
                _memory_kind(self.cases[other], smaller) == _memory_kind(case, workload)
                and smaller.elements <= workload.elements
            ):
                return (
                    f"{case.title} ran out of memory at {format_shape(smaller.shape)}, where x has "
                    f"{format_bytes(smaller.x_bytes)}; here it has {format_bytes(workload.x_bytes)}"
                )
        return ""

    def _workload(self, number: int) -> Workload:
        return self.workloads[self.cases[number].workload].workload


def _memory_kind(case: PlannedCase, workload: Workload) -> tuple[object, ...]:
    """What two cases must have in common for the larger one to need more memory than the smaller one."""
    return (
        case.implementation,
        case.norm_mode,
        workload.device,
        workload.dtype,
        workload.param_dtype,
        workload.layout,
        workload.cache,
        workload.affine,
        workload.gradients,
        workload.autocast,
        workload.norm_axes,
    )
