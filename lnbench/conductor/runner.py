"""The run itself: process after process over the plan, every event into the journal as it happens."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from lnbench.conductor.processes import WorkerDiedError, WorkerHungError, WorkerProcess
from lnbench.events import Confirming, Ended, Event, Noticed, RunFinished, Turn
from lnbench.plan import Plan, rotation_buffers
from lnbench.planned import Environment, Notice, PluginSource, Stage, Status
from lnbench.store.journal import Journal
from lnbench.worker.protocol import Announce, Idle, Measure, Progress, Setup

DEFAULT_TIMEOUT_S = 300.0
"""How long one stage of one case may take; a cold compilation takes up to a minute."""

LEAST_START_S = 120.0
"""A worker may take this long to start and to fill its buffers, however short the time limit of a case is; importing
torch from a slow disk takes half a minute."""

MOST_BARE_DEATHS = 2
"""Deaths of a workload's worker that no case can be blamed for, before the workload is given up."""


class Observer(Protocol):
    """Who watches a run: the progress bar."""

    def workload_began(self, process: int, workload: int) -> None: ...

    def announced(self, case: int, stage: Stage) -> None: ...

    def progressed(self, share: float) -> None: ...

    def waited(self) -> None: ...

    def more_to_do(self, workloads: int) -> None: ...

    def happened(self, event: Event) -> None: ...


@dataclass(frozen=True)
class _Group:
    """Workloads that one worker process can measure: same device, allocator and threads."""

    device: str
    allocator: str
    threads: int


@dataclass
class _Follow:
    """What was heard from a worker about the workload under way."""

    case: int | None = None
    stage: Stage = Stage.START
    rounds: int = 0
    spent_s: float = 0.0


class Runner:
    """Measures a plan into a journal.

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
        plugins: tuple[PluginSource, ...],
        seed: int,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        verbose: bool = False,
        energy: bool = False,
        compile_cache: str = "",
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._observer = observer
        self._environment = environment
        self._plugins = plugins
        self._seed = seed
        self._timeout_s = timeout_s
        self._verbose = verbose
        self._energy = energy
        self._compile_cache = compile_cache
        self._workers = 0
        self._over: set[int] = {number for number, case in enumerate(plan.cases) if case.status is not None}
        self._said: set[tuple[int | None, int | None, str]] = set()
        self._started = perf_counter()

    def measure(self) -> bool:
        """Measure everything; True when it came to its end, False when the user interrupted it."""
        return self._measure(range(self._plan.sampling.processes))

    def confirm(self, cases: Collection[int]) -> bool:
        """Measure these cases again, in as many fresh processes as before; True when it came to its end."""
        processes = self._plan.sampling.processes
        self._over |= set(range(len(self._plan.cases))) - set(cases)
        self._observer.more_to_do(processes * sum(len(workloads) for _, workloads in self._groups()))
        self._record(Confirming(first_process=processes, cases=tuple(sorted(cases))))
        return self._measure(range(processes, 2 * processes))

    def finish(self, *, interrupted: bool) -> None:
        """Write the last line."""
        self._record(RunFinished(wall_s=perf_counter() - self._started, interrupted=interrupted))
        self._journal.sync()

    def _measure(self, processes: range) -> bool:
        try:
            for process in processes:
                for group, workloads in self._groups():
                    self._run_group(process, group, workloads)
        except KeyboardInterrupt:
            return False
        return True

    def notice(self, code: str, text: str) -> None:
        """Record a notice about the whole run."""
        self._record(Noticed(notice=Notice(code=code, text=text)))

    def _groups(self) -> Iterator[tuple[_Group, list[int]]]:
        """The workloads with a case to measure, by the process that can measure them, in the order of the plan."""
        groups: dict[_Group, list[int]] = {}
        wanted = {case.workload for number, case in enumerate(self._plan.cases) if number not in self._over}
        for number in sorted(wanted):
            workload = self._plan.workloads[number].workload
            key = _Group(workload.device, workload.allocator, workload.threads)
            groups.setdefault(key, []).append(number)
        yield from groups.items()

    def _run_group(self, process: int, group: _Group, workloads: list[int]) -> None:
        """Measure a group's workloads in one worker, or in as many as it takes when some die."""
        worker: WorkerProcess | None = None
        try:
            for number in workloads:
                self._observer.workload_began(process, number)
                follow, bare_deaths = _Follow(), 0
                while self._remaining(number):
                    try:
                        follow.case, follow.stage = None, Stage.START
                        if worker is None:
                            worker = self._start(process, group)
                            self._listen(worker, follow)
                        worker.send(self._order(process, number, follow))
                        self._listen(worker, follow)
                        break
                    except (WorkerDiedError, WorkerHungError) as death:
                        assert worker is not None
                        bare_deaths += follow.case is None
                        self._bury(process, number, worker, follow, death, give_up=bare_deaths >= MOST_BARE_DEATHS)
                        worker = None
                self._journal.sync()
        except BaseException:
            if worker is not None:
                worker.kill()
            raise
        finally:
            if worker is not None:
                worker.close()

    def _start(self, process: int, group: _Group) -> WorkerProcess:
        self._workers += 1
        setup = Setup(
            process=process,
            worker=self._workers - 1,
            device=group.device,
            threads=group.threads,
            allocator=group.allocator,
            plugins=self._plugins,
        )
        return WorkerProcess(setup, verbose=self._verbose, compile_cache=self._compile_cache)

    def _order(self, process: int, number: int, follow: _Follow) -> Measure:
        planned, sampling = self._plan.workloads[number], self._plan.sampling
        return Measure(
            index=number,
            workload=planned,
            cases={case: self._plan.cases[case] for case in self._remaining(number)},
            precision=sampling.precision,
            budget_s=max(sampling.budget_s - follow.spent_s, sampling.budget_s / 4),
            first_round=follow.rounds,
            seed=self._seed,
            energy=self._energy and process == 0,
            pairs=rotation_buffers(planned.workload, self._environment.caches, self._environment.memory_b),
        )

    def _remaining(self, workload: int) -> list[int]:
        return [n for n, case in enumerate(self._plan.cases) if case.workload == workload and n not in self._over]

    def _listen(self, worker: WorkerProcess, follow: _Follow) -> None:
        """Take messages until the worker is idle."""
        while True:
            timeout_s = self._timeout_s if follow.case is not None else max(self._timeout_s, LEAST_START_S)
            message: Any = worker.receive(timeout_s=timeout_s, while_waiting=self._observer.waited)
            match message:
                case Idle():
                    follow.case = None
                    return
                case Announce(case=case, stage=stage):
                    follow.case, follow.stage = case, stage
                    self._observer.announced(case, stage)
                case Progress(share=share):
                    self._observer.progressed(share)
                case _:
                    self._note(message, follow)

    def _bury(
        self,
        process: int,
        workload: int,
        worker: WorkerProcess,
        follow: _Follow,
        death: WorkerDiedError | WorkerHungError,
        *,
        give_up: bool,
    ) -> None:
        """Record whose fault a worker's end was; with nobody at work and patience spent, everyone's."""
        worker.kill()
        status = Status.TIMEOUT if isinstance(death, WorkerHungError) else Status.CRASH
        detail = worker.printed_tail()
        worker.close()
        guilty = [follow.case] if follow.case is not None else self._remaining(workload) if give_up else []
        for case in guilty:
            where = "before any case was at work" if follow.case is None else f"at {follow.stage}"
            ended = Ended(
                process=process,
                case=case,
                status=status,
                stage=follow.stage,
                reason=f"{death} {where}",
                detail=detail,
            )
            self._note(ended, follow)

    def _note(self, event: Event, follow: _Follow) -> None:
        match event:
            case Turn():
                follow.rounds = max(follow.rounds, event.round + 1)
                follow.spent_s = max(follow.spent_s, event.started_s)
            case Ended():
                self._over.add(event.case)
            case Noticed(notice=notice, workload=workload, case=case):
                said = (workload, case, notice.code)
                if said in self._said:
                    return
                self._said.add(said)
            case _:
                pass
        self._record(event)

    def _record(self, event: Event) -> None:
        self._journal.append(event)
        self._observer.happened(event)
