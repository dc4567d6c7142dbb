"""The run over workers that follow a script: who is blamed for what, who goes on, and what the journal holds."""

from collections import deque
from itertools import count

import fabricate
import planning
import pytest

from lnbench.conductor import runner
from lnbench.conductor.processes import WorkerDiedError, WorkerHungError
from lnbench.events import Ended, Noticed, Turn, WorkerStarted, WorkloadFinished
from lnbench.planned import Notice, Stage, Status
from lnbench.store.journal import Journal
from lnbench.store.reading import read_run
from lnbench.worker.protocol import Announce, Idle, Progress

EAGER, FUSED, TUNED = range(3)
TIMEOUT_S = 7.0


class Workers:
    """Stands in for WorkerProcess: each worker started follows the next script, the last script from then on."""

    def __init__(self, *scripts):
        self._scripts = deque(scripts)
        self.started = []

    def __call__(self, setup, *, verbose, compile_cache):
        script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        self.started.append(Worker(setup, script))
        return self.started[-1]


class Worker:
    """One that answers an order with what its script gives, and raises the exceptions among that."""

    def __init__(self, setup, script):
        self.setup = setup
        self.orders = []
        self.patience = []
        self.ends = []
        self._script = script
        started = WorkerStarted(
            process=setup.process, worker=setup.worker, device=setup.device, device_name="a fake", import_s=0.1
        )
        self._messages = deque([started, Idle()])

    def send(self, order):
        self.orders.append(order)
        self._messages.extend([*self._script(self.setup, order), Idle()])

    def receive(self, *, timeout_s, while_waiting):
        self.patience.append(timeout_s)
        message = self._messages.popleft()
        if isinstance(message, BaseException):
            raise message
        return message

    def printed_tail(self):
        return "last words"

    def kill(self):
        self.ends.append("killed")

    def close(self):
        self.ends.append("closed")


class Watcher:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.told = []

    def workload_began(self, process, workload):
        self.told.append(("began", process, workload))

    def announced(self, case, stage):
        self.told.append(("announced", case, stage))

    def progressed(self, share):
        self.told.append(("progressed", share))

    def waited(self):
        pass

    def happened(self, event):
        self.told.append(("happened", event.event))


def honest(setup, order, *, rounds=3):
    """Every case takes its turns."""
    for number in range(order.first_round, order.first_round + rounds):
        for case in order.cases:
            yield Announce(case=case, stage=Stage.TIMING)
            yield fabricate.turn(
                case, 1e-4, of=order.index, process=setup.process, round=number, started_s=0.5 * number
            )
        yield Progress(share=number / 10)
    yield WorkloadFinished(
        process=setup.process, workload=order.index, rounds=rounds, stopped_by="budget", rounds_s=1.0
    )


def ending(case, stage, error):
    """A script that is honest for two rounds, in which then a case comes to an end of its process."""

    def script(setup, order):
        yield from list(honest(setup, order, rounds=2))[:-1]
        yield Announce(case=case, stage=stage)
        yield error

    return script


def never_starting(setup, order):
    yield WorkerDiedError("SIGKILL")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs a plan with scripted workers; gives whether it came to its end, the run read back, workers and watcher."""
    numbers = count()

    def measure(planned, *scripts):
        workers, watcher = Workers(*scripts), Watcher()
        monkeypatch.setattr(runner, "WorkerProcess", workers)
        folder = tmp_path / f"run{next(numbers)}"
        header = fabricate.header(planned.workloads, planned.cases)
        with Journal.create(folder, header) as journal:
            made = runner.Runner(
                planned, journal, watcher, environment=fabricate.ENVIRONMENT, plugins=(), seed=5, timeout_s=TIMEOUT_S
            )
            finished = made.measure()
            made.finish(interrupted=not finished)
        return finished, read_run(folder), workers.started, watcher

    return measure


def plan(workload="shapes: [[8, 64]]", *, implementations="eager, fused", processes=1, **options):
    """A plan for one process, where nothing else is said."""
    return planning.plan(workload, implementations=implementations, options={"processes": processes, **options})


def three(**options):
    return plan(implementations="eager, fused, tuned", **options)


def of_kind(run, kind):
    return [event for event in run.events if isinstance(event, kind)]


def test_every_process_is_a_fresh_worker_that_measures_every_case(measured):
    finished, run, workers, _ = measured(three(processes=3), honest)

    assert finished
    assert [(worker.setup.process, worker.setup.worker) for worker in workers] == [(0, 0), (1, 1), (2, 2)]
    assert [list(worker.orders[0].cases) for worker in workers] == [[EAGER, FUSED, TUNED]] * 3
    assert [worker.ends for worker in workers] == [["closed"]] * 3
    assert run.events[-1].event == "run_finished"
    assert not run.events[-1].interrupted


def test_workloads_that_need_the_same_kind_of_process_share_one(measured):
    axes = "shapes: [[8, 64], [4, 32]], threads: [1, 2], allocators: [retained, system]"

    _, _, workers, _ = measured(plan(axes), honest)

    kinds = [(worker.setup.threads, worker.setup.allocator) for worker in workers]
    assert sorted(kinds) == [(1, "retained"), (1, "system"), (2, "retained"), (2, "system")]
    assert [len(worker.orders) for worker in workers] == [2] * 4


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (WorkerDiedError("SIGSEGV"), Status.CRASH, "SIGSEGV at timing"),
        (WorkerHungError("no sign of life for 7 s"), Status.TIMEOUT, "no sign of life for 7 s at timing"),
    ],
    ids=["death", "hang"],
)
def test_the_end_of_a_worker_is_put_down_to_the_case_that_was_at_work(measured, error, status, reason):
    _, run, workers, watcher = measured(three(), ending(TUNED, Stage.TIMING, error), honest)

    (ended,) = of_kind(run, Ended)
    assert (ended.case, ended.status, ended.stage, ended.reason) == (TUNED, status, Stage.TIMING, reason)
    assert ended.detail == "last words"
    assert workers[0].ends == ["killed", "closed"]
    assert ("happened", "ended") in watcher.told


def test_the_others_go_on_in_a_fresh_worker_with_the_rounds_and_the_budget_that_remain(measured):
    _, run, workers, _ = measured(three(budget_s=4.0), ending(EAGER, Stage.TIMING, WorkerDiedError("SIGSEGV")), honest)

    (again,) = workers[1].orders
    assert list(again.cases) == [FUSED, TUNED]
    assert again.first_round == 2
    # The last turn heard of began half a second after the first.
    assert again.budget_s == 3.5
    assert [turn.round for turn in of_kind(run, Turn) if turn.case == FUSED] == [0, 1, 2, 3, 4]


def test_after_most_of_the_budget_a_fresh_worker_still_gets_a_quarter(measured):
    _, _, workers, _ = measured(three(budget_s=0.6), ending(EAGER, Stage.TIMING, WorkerDiedError("SIGSEGV")), honest)

    assert workers[1].orders[0].budget_s == pytest.approx(0.15)


def test_one_death_before_any_case_was_at_work_is_forgiven(measured):
    _, run, workers, _ = measured(three(), never_starting, honest)

    assert of_kind(run, Ended) == []
    assert len(workers) == 2
    assert {turn.case for turn in of_kind(run, Turn)} == {EAGER, FUSED, TUNED}


def test_a_second_death_before_any_case_was_at_work_ends_the_workload_but_not_the_run(measured):
    two = plan("shapes: [[8, 64], [4, 32]]")

    finished, run, workers, _ = measured(two, never_starting, never_starting, honest)

    first, second = (event for event in of_kind(run, Ended))
    assert finished
    assert {first.case, second.case} == {0, 1}
    assert {first.reason, second.reason} == {"SIGKILL before any case was at work"}
    assert {turn.case for turn in of_kind(run, Turn)} == {2, 3}
    assert len(workers) == 3


def test_a_case_that_ended_is_left_out_of_the_processes_after(measured):
    def failing(setup, order):
        for case in order.cases:
            yield Announce(case=case, stage=Stage.VERIFY)
            if case == EAGER:
                yield fabricate.ended(case, Status.WRONG, "off", process=setup.process, stage=Stage.VERIFY)

    _, run, workers, _ = measured(three(processes=2), failing)

    assert [list(worker.orders[0].cases) for worker in workers] == [[EAGER, FUSED, TUNED], [FUSED, TUNED]]
    assert len(of_kind(run, Ended)) == 1


def test_when_every_case_has_ended_no_further_process_is_started(measured):
    def failing(setup, order):
        for case in order.cases:
            yield fabricate.ended(case, Status.ERROR, "no", process=setup.process)

    finished, _, workers, _ = measured(three(processes=3), failing)

    assert finished
    assert len(workers) == 1


def test_a_notice_is_recorded_once_however_many_processes_say_it(measured):
    def noticing(setup, order):
        for code in ("inaccurate", "graph-break", "inaccurate"):
            yield Noticed(notice=Notice(code=code, text=code), workload=0, case=EAGER)

    _, run, _, _ = measured(three(processes=2), noticing)

    assert [event.notice.code for event in of_kind(run, Noticed)] == ["inaccurate", "graph-break"]


def test_starting_has_more_time_than_a_stage_of_a_case(measured):
    _, _, (worker,), _ = measured(three(), honest)

    # Its start and Idle, then the order until the first case is announced; from then on each message has the limit.
    assert worker.patience[:3] == [runner.LEAST_START_S] * 3
    assert set(worker.patience[3:]) == {TIMEOUT_S}


def test_an_interrupted_run_ends_its_worker_at_once_and_keeps_what_it_heard(measured):
    finished, run, (worker,), _ = measured(three(), ending(EAGER, Stage.TIMING, KeyboardInterrupt()))

    assert not finished
    assert worker.ends == ["killed", "closed"]
    assert run.events[-1].interrupted
    assert len(of_kind(run, Turn)) == 6
    assert of_kind(run, Ended) == []


def test_an_error_of_our_own_ends_the_worker_and_is_not_swallowed(measured, monkeypatch):
    workers = []
    monkeypatch.setattr(Worker, "kill", lambda self: workers.append(self))

    with pytest.raises(ZeroDivisionError):
        measured(three(), ending(EAGER, Stage.TIMING, ZeroDivisionError()))

    assert len(workers) == 1


def test_the_observer_is_told_what_begins_who_is_at_work_and_how_far(measured):
    _, _, _, watcher = measured(three(), honest)

    assert watcher.told[0] == ("began", 0, 0)
    assert ("announced", FUSED, Stage.TIMING) in watcher.told
    assert ("progressed", 0.2) in watcher.told
    assert watcher.told[-1] == ("happened", "run_finished")


def test_cold_caches_are_ordered_with_the_pairs_to_rotate_through(measured):
    _, _, (worker,), _ = measured(plan("shapes: [[64, 1024]], cache: cold"), honest)

    # Twice 32 MiB of last-level cache in pairs of 2 x 256 KiB.
    assert worker.orders[0].pairs == 128


def test_a_notice_about_the_whole_run_stands_in_the_journal(tmp_path):
    made_of = three()
    with Journal.create(tmp_path, fabricate.header(made_of.workloads, made_of.cases)) as journal:
        made = runner.Runner(made_of, journal, Watcher(), environment=fabricate.ENVIRONMENT, plugins=(), seed=5)

        made.notice("no-nvml", "GPU memory is not read")

    assert read_run(tmp_path).events == (Noticed(notice=Notice(code="no-nvml", text="GPU memory is not read")),)
