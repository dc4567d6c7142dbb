"""Ends of workers that are nobody's fault, a plug-in's, or memory's, and a user who wants a run to end."""

import os
import signal

import fabricate
import pytest
from scripted import EAGER, FUSED, TUNED, Theatre, ending, honest, of_kind, plan, three

from lnbench.conductor.interrupts import Interrupts
from lnbench.conductor.loaded import Loaded
from lnbench.conductor.processes import WorkerDiedError
from lnbench.events import Ended, Noticed, Turn, WorkloadFinished
from lnbench.planned import PluginSource, Stage, Status
from lnbench.standing import Standing
from lnbench.store.journal import Journal
from lnbench.worker.protocol import Announce, ImportFailed, Importing, Leaving

KILLED = WorkerDiedError("SIGKILL", signal=signal.SIGKILL)
PLUGINS = Loaded((PluginSource(path="good.py"), PluginSource(path="bad.py")), {"eager": 0, "tuned": 1})


@pytest.fixture
def theatre(tmp_path, monkeypatch):
    return Theatre(tmp_path, monkeypatch)


def ends(run):
    return [(ended.case, ended.status, ended.stage, ended.reason) for ended in of_kind(run, Ended)]


def test_the_first_kill_from_outside_is_nobody_s_fault_and_is_told(theatre):
    _, run, workers, _ = theatre.measure(three(), ending(TUNED, Stage.TIMING, KILLED), honest)

    assert ends(run) == []
    assert list(workers[1].orders[0].cases) == [EAGER, FUSED, TUNED]
    (noticed,) = of_kind(run, Noticed)
    assert noticed.notice.code == "worker-ended"
    assert noticed.notice.text == "a worker was ended by SIGKILL from outside at timing; a fresh one went on"


def test_a_second_kill_while_the_same_case_is_at_work_is_the_case_s(theatre):
    killed = ending(TUNED, Stage.TIMING, KILLED)

    _, run, _, _ = theatre.measure(three(), killed, killed, honest)

    assert ends(run) == [(TUNED, Status.CRASH, Stage.TIMING, "SIGKILL in backward, at timing")]


def test_a_kill_while_the_kernel_counts_one_for_want_of_memory_is_an_oom_at_once(theatre):
    theatre.kills = [3, 4]

    _, run, _, _ = theatre.measure(three(), ending(TUNED, Stage.VERIFY, KILLED), honest)

    reason = "the system ran out of memory and killed the process in backward, at verify"
    assert ends(run) == [(TUNED, Status.OOM, Stage.VERIFY, reason)]


def test_after_an_oom_larger_shapes_of_the_same_are_skipped_and_smaller_ones_and_others_are_tried(theatre):
    planned = plan("shapes: [[64, 64], [128, 64], [32, 64]]")

    def failing(setup, order):
        for case, of in order.cases.items():
            if of.implementation == "eager" and order.index == 0:
                yield fabricate.ended(case, Status.OOM, "no memory", process=setup.process)
        yield from honest(setup, order)

    _, run, _, _ = theatre.measure(planned, failing)

    assert ends(run) == [
        (0, Status.OOM, Stage.TIMING, "no memory"),
        (
            2,
            Status.SKIPPED,
            Stage.START,
            "eager ran out of memory at 64x64, where x has 16.0 KiB; here it has 32.0 KiB",
        ),
    ]


def test_a_plugin_that_dies_when_imported_costs_its_own_cases_in_all_workloads_and_is_not_loaded_again(theatre):
    def dying(setup, order):
        yield Importing(plugin=1)
        yield WorkerDiedError("SIGSEGV", signal=signal.SIGSEGV)

    planned = plan("shapes: [[8, 64], [4, 32]]", implementations="eager, fused, tuned")

    _, run, workers, _ = theatre.measure(planned, dying, honest, plugins=PLUGINS)

    assert {(ended.case, ended.status, ended.stage) for ended in of_kind(run, Ended)} == {
        (2, Status.CRASH, Stage.IMPORT),
        (5, Status.CRASH, Stage.IMPORT),
    }
    assert [list(worker.setup.plugins) for worker in workers] == [[0, 1], [0]]
    assert {turn.case for turn in of_kind(run, Turn)} == {0, 1, 3, 4}


def test_a_plugin_that_fails_when_imported_costs_its_own_cases(theatre):
    def failing(setup, order):
        yield ImportFailed(plugin=0, reason="good.py:3: OSError: no weights")
        yield from honest(setup, order)

    _, run, _, _ = theatre.measure(three(), failing, plugins=PLUGINS)

    assert ends(run) == [(EAGER, Status.ERROR, Stage.IMPORT, "good.py:3: OSError: no weights")]


def test_turns_of_a_worker_that_leaves_when_it_is_done_are_not_kept_twice(theatre):
    def leaving(setup, order):
        yield from honest(setup, order)
        yield Leaving()
        yield WorkerDiedError("the process exited with 3")

    written = []

    class Writing(Journal):
        """A journal beside which the worker's turns stand, as they do until it is idle."""

        def append(self, event):
            super().append(event)
            if isinstance(event, Turn):
                written.append(event)
                os.write(self.turns_fd, f"{event.model_dump_json()}\n".encode())

    theatre.journal = Writing

    _, run, _, _ = theatre.measure(three(), leaving)

    assert of_kind(run, Turn) == written
    assert len(written) == 9


def test_a_worker_that_ends_itself_after_a_case_s_end_was_told_costs_nothing_more(theatre):
    def spoiled(setup, order):
        yield Announce(case=TUNED, stage=Stage.WARM_UP)
        yield fabricate.ended(TUNED, Status.ERROR, "it leaves something running", process=setup.process)
        yield WorkerDiedError("the process exited with 3")

    _, run, workers, _ = theatre.measure(three(), spoiled, honest)

    assert [case for case, *_ in ends(run)] == [TUNED]
    assert list(workers[1].orders[0].cases) == [EAGER, FUSED]


def test_a_user_who_asks_for_an_end_gets_the_turn_under_way_and_no_more(theatre):
    def asking(setup, order):
        yield Announce(case=EAGER, stage=Stage.TIMING)
        yield lambda: theatre.interrupts._handle(signal.SIGINT, None)
        yield fabricate.turn(EAGER, 1e-4)
        yield Announce(case=FUSED, stage=Stage.TIMING)
        yield fabricate.turn(FUSED, 1e-4)

    finished, run, (worker,), watcher = theatre.measure(three(), asking)

    assert not finished
    assert [turn.case for turn in of_kind(run, Turn)] == [EAGER]
    assert run.events[-1].interrupted
    assert "stopping" in watcher.told
    assert worker.ends == ["killed", "closed"]
    assert ends(run) == []


def test_a_user_who_asks_for_an_end_while_nothing_is_timed_does_not_wait(theatre):
    def asking(setup, order):
        yield Announce(case=EAGER, stage=Stage.BUILD)
        yield lambda: theatre.interrupts._handle(signal.SIGINT, None)
        yield fabricate.turn(EAGER, 1e-4)

    finished, run, _, _ = theatre.measure(three(), asking)

    assert not finished
    assert of_kind(run, Turn) == []


@pytest.fixture
def interruptible():
    """SIGINT as Python has it: where tests run in the background of a shell, it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_second_interrupt_stops_at_once():
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)

        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
def test_signals_go_back_to_who_had_them_and_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            inside = signal.getsignal(signal.SIGINT)

        assert not interrupts.asked
        assert inside == interrupts._handle
        assert signal.getsignal(signal.SIGINT) is not inside
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_goes_on_measures_what_is_left_with_the_rounds_and_the_budget_that_are_left(theatre):
    planned = plan("shapes: [[8, 64], [4, 32]]", processes=2, budget_s=4.0)
    standing = Standing(planned.workloads, planned.cases)
    for event in (
        fabricate.turn(0, 1e-4, of=0, round=7),
        WorkloadFinished(process=0, workload=0, rounds=8, stopped_by="budget", rounds_s=1.0),
        fabricate.turn(2, 1e-4, of=1, round=4, started_s=1.5),
        fabricate.ended(3, Status.WRONG, "off", process=0),
    ):
        standing.note(event)

    _, _, workers, _ = theatre.measure(planned, honest, standing=standing)

    told = [(worker.setup.process, order.index, list(order.cases)) for worker in workers for order in worker.orders]
    assert told == [(0, 1, [2]), (1, 0, [0, 1]), (1, 1, [2])]
    assert (workers[0].orders[0].first_round, workers[0].orders[0].budget_s) == (5, 2.5)
