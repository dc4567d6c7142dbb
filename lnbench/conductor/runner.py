"""The run itself: process after process over the plan, every event into the journal as it happens."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter

from lnbench.conductor.blame import is_from_outside, reason_of, status_of
from lnbench.conductor.busy_watch import BusyWatch
from lnbench.conductor.interrupts import Interrupts, StoppedError
from lnbench.conductor.listening import Listener, Observer
from lnbench.conductor.loaded import Loaded
from lnbench.conductor.orders import Group, Orders
from lnbench.conductor.processes import WorkerDiedError, WorkerHungError, WorkerProcess
from lnbench.events import AnyEvent, Confirming, Ended, Noticed, RunFinished
from lnbench.measure.host_memory import kernel_kills
from lnbench.plan import Plan
from lnbench.planned import Environment, Notice, Stage, Status
from lnbench.standing import Standing
from lnbench.store.beside import read_turns
from lnbench.store.journal import Journal
from lnbench.worker.protocol import ImportFailed
from lnbench.workload import Clock

DEFAULT_TIMEOUT_S = 300.0
"""How long one stage of one case may take; a cold compilation takes up to a minute."""

MOST_BARE_DEATHS = 2
"""Deaths of a workload's worker that nobody can be blamed for, before the workload is given up."""


@dataclass(frozen=True)
class Habits:
    """How workers are run. `verbose`: they print to stderr. `compile_cache`: its folder, "" for the user's own."""

    timeout_s: float = DEFAULT_TIMEOUT_S
    verbose: bool = False
    energy: bool = False
    compile_cache: str = ""


class Runner:
    """Measures a plan into a journal, from where it stands.

    A case that ends, dies or hangs is recorded and left out from then on; the others of its workload go on, in a fresh
    worker where the old one is gone, with the rounds and the budget that remain.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        observer: Observer,
        *,
        environment: Environment,
        plugins: Loaded,
        seed: int,
        interrupts: Interrupts,
        standing: Standing,
        habits: Habits,
        busy_watch: BusyWatch,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._observer = observer
        self._plugins = dict(enumerate(plugins.sources))
        self._owners = plugins.owners
        self._standing = standing
        self._habits = habits
        self._orders = Orders(plan, standing, environment=environment, seed=seed, energy=habits.energy)
        self._busy_watch = busy_watch
        self._listener = Listener(observer, interrupts, timeout_s=habits.timeout_s, meanwhile=busy_watch.glance)
        self._worker: WorkerProcess | None = None
        self._process = 0
        self._processes = range(0)
        self._on_graph = False
        self._forgiven: set[int | None] = set()
        self._started = perf_counter()

    def look_before(self) -> None:
        """Record how busy the machine is before this run adds to it."""
        left = {number for _, number in self._standing.left(range(self._plan.sampling.processes))}
        self._note(self._busy_watch.before(max((self._orders.cores_wanted(number) for number in left), default=1)))

    def measure(self) -> bool:
        """Measure what is left; True when it came to its end, False when the user asked it to stop."""
        return self._measure(range(self._plan.sampling.processes))

    def confirm(self, cases: Collection[int]) -> bool:
        """Measure these cases again, in as many fresh processes as before; True when it came to its end."""
        processes = self._plan.sampling.processes
        again = range(processes, 2 * processes)
        self._note(Confirming(first_process=processes, cases=tuple(sorted(cases))))
        self._observer.more_to_do(self._standing.parts_left(again))
        return self._measure(again)

    def finish(self, *, interrupted: bool) -> None:
        """Write the last line."""
        self._note(RunFinished(wall_s=perf_counter() - self._started, interrupted=interrupted))
        self._journal.sync()

    def notice(self, code: str, text: str) -> None:
        """Record a notice about the whole run."""
        self._note(Noticed(notice=Notice(code=code, text=text)))

    def _measure(self, processes: range) -> bool:
        self._processes = processes
        try:
            for self._process in processes:
                for group, workloads in self._groups():
                    self._measure_group(group, workloads)
        except StoppedError:
            return False
        return True

    def _groups(self) -> Iterator[tuple[Group, list[int]]]:
        """The workloads with a case to measure, by the worker that can measure them, in the order of the plan."""
        groups: dict[Group, list[int]] = {}
        for on_graph in (False, True):  # graphs are captured last
            for _, number in self._standing.left([self._process], on_graph=on_graph):
                groups.setdefault(self._orders.group_of(number, on_graph=on_graph), []).append(number)
        yield from groups.items()

    def _measure_group(self, group: Group, workloads: list[int]) -> None:
        """Measure a group's workloads in one worker, or in as many as it takes when some die."""
        self._on_graph = group.on_graph
        try:
            for number in workloads:
                self._observer.workload_began(self._process, number)
                self._leave_out_what_outgrew_memory(number)
                self._busy_watch.begin(self._process, number, wanted=self._orders.cores_wanted(number))
                try:
                    self._measure_workload(group, number)
                except StoppedError:
                    self._note_look()
                    raise
                self._note_look()
                self._journal.sync()
        except BaseException:
            if self._worker is not None:
                self._worker.kill()
            raise
        finally:
            self._part_with_worker()

    def _measure_workload(self, group: Group, number: int) -> None:
        bare_deaths = departures = 0
        while self._remaining(number):
            kills = kernel_kills()
            try:
                if self._worker is None:
                    self._worker = WorkerProcess(
                        self._orders.setup(self._process, group, self._plugins),
                        turns=self._journal.turns_fd,
                        verbose=self._habits.verbose,
                        compile_cache=self._habits.compile_cache,
                    )
                    self._listener.until_idle(self._worker, self._take)
                    if not self._remaining(number):  # all were a plug-in's that can't be imported
                        return
                self._worker.send(self._orders.measure(self._process, number, self._processes, on_graph=self._on_graph))
                self._listener.until_idle(self._worker, self._take)
                self._journal.forget_turns_beside()
                return
            except (WorkerDiedError, WorkerHungError) as death:
                if self._listener.at_work.is_leaving and departures < len(self._plan.cases):
                    departures += 1
                    self._part_with_worker()
                    continue
                if not self._listener.at_work.is_anybody:
                    bare_deaths += 1
                give_up = bare_deaths >= MOST_BARE_DEATHS
                self._bury(number, death, give_up=give_up, out_of_memory=kernel_kills() > kills)

    def _part_with_worker(self) -> None:
        """Let the worker end, and keep the turns that it had taken and that were not heard of."""
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.close()
        for turn in read_turns(self._journal.path, self._standing):
            if not self._standing.knows(turn):
                self._note(turn)
        self._journal.forget_turns_beside()

    def _note_look(self) -> None:
        """Record the worst look at the machine while the workload was measured."""
        look = self._busy_watch.end()
        if look is not None:
            self._note(look)

    def _remaining(self, workload: int) -> list[int]:
        return self._standing.remaining(self._process, workload, on_graph=self._on_graph)

    def _leave_out_what_outgrew_memory(self, number: int) -> None:
        for case in self._remaining(number):
            reason = self._standing.outgrown(case)
            if reason:
                self._end([case], Status.SKIPPED, Stage.START, reason)

    def _bury(
        self, workload: int, death: WorkerDiedError | WorkerHungError, *, give_up: bool, out_of_memory: bool
    ) -> None:
        """Record whose fault a worker's end was; with nobody at work and patience spent, everyone's.

        The first end from outside while a case is at work is nobody's.
        """
        assert self._worker is not None  # it has just died
        at_work = self._listener.at_work
        stacks = self._worker.stacks()
        self._worker.kill()
        printed = self._worker.printed_tail()
        detail = "\n".join(filter(None, (printed, stacks)))
        self._part_with_worker()
        if at_work.plugin is not None:
            guilty = self._cases_of_plugin(at_work.plugin)
        elif at_work.case is not None:
            guilty = [] if self._standing.is_over(at_work.case, on_graph=self._on_graph) else [at_work.case]
        else:
            guilty = self._remaining(workload) if give_up else []
        if guilty and is_from_outside(death, out_of_memory=out_of_memory) and at_work.case not in self._forgiven:
            self._forgiven.add(at_work.case)
            text = f"a worker was ended by {death} from outside at {at_work.stage}; a fresh one went on"
            self._note(Noticed(notice=Notice(code="worker-ended", text=text), workload=workload, case=at_work.case))
            return
        stage = at_work.stage if at_work.is_anybody else None
        reason = reason_of(death, stage=stage, stacks=stacks, printed=printed, out_of_memory=out_of_memory)
        if at_work.plugin is not None:
            self._plugins.pop(at_work.plugin, None)
        status = status_of(death, out_of_memory=out_of_memory)
        self._end(guilty, status, at_work.stage, reason, detail=detail)

    def _take(self, message: AnyEvent | ImportFailed) -> None:
        if isinstance(message, Ended) and message.status is Status.SKIPPED:
            self._end([message.case], message.status, message.stage, message.reason)
            return
        if not isinstance(message, ImportFailed):
            self._note(message)
            return
        self._plugins.pop(message.plugin, None)
        self._end(self._cases_of_plugin(message.plugin), Status.ERROR, Stage.IMPORT, message.reason)

    def _cases_of_plugin(self, plugin: int) -> list[int]:
        """The cases of all workloads behind which this plug-in stands, and which are not over."""
        return [
            number
            for number, case in enumerate(self._plan.cases)
            if self._owners.get(case.use) == plugin and number not in self._standing.over
        ]

    def _end(self, cases: Iterable[int], status: Status, stage: Stage, reason: str, *, detail: str = "") -> None:
        """End cases; on the graph clock their rows of that clock alone."""
        clock = Clock.GRAPH if self._on_graph else None
        for case in cases:
            if status is Status.SKIPPED and clock is None and self._standing.is_measured(case):
                self._leave_out(case, reason)
                continue
            self._note(
                Ended(
                    process=self._process,
                    case=case,
                    status=status,
                    stage=stage,
                    reason=reason,
                    detail=detail,
                    clock=clock,
                )
            )

    def _leave_out(self, case: int, reason: str) -> None:
        """What an earlier process measured stays, where this one can't."""
        self._standing.left_out.add((self._process, case))
        text = f"process {self._process} left it out: {reason}"
        workload = self._plan.cases[case].workload
        self._note(Noticed(notice=Notice(code="left-out", text=text), workload=workload, case=case))

    def _note(self, event: AnyEvent) -> None:
        if self._standing.note(event):
            self._journal.append(event)
            self._observer.happened(event)
