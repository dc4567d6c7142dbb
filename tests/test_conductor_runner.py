"""The run over workers that follow a script: who is blamed for what, who goes on, and what the journal holds."""

import fabricate
import planning
import pytest
from scripted import (
    EAGER,
    FUSED,
    STACKS,
    TIMEOUT_S,
    TUNED,
    Theatre,
    Watcher,
    Worker,
    ending,
    honest,
    never_starting,
    of_kind,
    plan,
    three,
)

from lnbench.conductor.listening import LEAST_START_S
from lnbench.conductor.processes import WorkerDiedError, WorkerHungError
from lnbench.events import Ended, Noticed, Turn, WorkloadFinished
from lnbench.measure.neighbours import MachineUse
from lnbench.observed import MachineLook
from lnbench.planned import Notice, Stage, Status
from lnbench.standing import Standing
from lnbench.store.journal import Journal
from lnbench.store.reading import read_run
from lnbench.worker.protocol import Announce


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs a plan with scripted workers; gives whether it came to its end, the run read back, workers and watcher."""
    return Theatre(tmp_path, monkeypatch).measure


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
        (WorkerDiedError("SIGSEGV", signal=11), Status.CRASH, "SIGSEGV in backward, at timing"),
        (WorkerHungError("no progress for 7 s"), Status.TIMEOUT, "no progress for 7 s in backward, at timing"),
    ],
    ids=["death", "hang"],
)
def test_the_end_of_a_worker_is_put_down_to_the_case_that_was_at_work(measured, error, status, reason):
    _, run, workers, watcher = measured(three(), ending(TUNED, Stage.TIMING, error), honest)

    (ended,) = of_kind(run, Ended)
    assert (ended.case, ended.status, ended.stage, ended.reason) == (TUNED, status, Stage.TIMING, reason)
    assert ended.detail == f"last words\n{STACKS}"
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


TWO_SHAPES = "shapes: [[8, 64], [4, 64]]"


def taking(*seconds):
    """A script in which the rounds of one workload after another take so long."""
    left = iter(seconds)

    def script(setup, order):
        events = list(honest(setup, order))
        finished = events.pop()
        return [*events, finished.model_copy(update={"rounds_s": next(left)})]

    return script


def extras(workers):
    return [order.extra_s for worker in workers for order in worker.orders]


def with_budget(planned):
    """The standing of a run of a plan that has just begun."""
    return Standing(planned.workloads, planned.cases, budget_s=planned.sampling.budget_s)


def test_what_a_busy_machine_may_take_is_shared_evenly(measured):
    planned = plan(TWO_SHAPES, processes=2, budget_s=5.0)

    _, _, workers, _ = measured(planned, taking(5.0, 5.0, 5.0, 5.0), standing=with_budget(planned))

    # Three times 20 s may be spent; of the 40 s beyond, what one of four does not need is left to those after it.
    assert extras(workers) == pytest.approx([40 / 4, 40 / 3, 40 / 2, 40 / 1])


def test_what_a_workload_took_beyond_its_budget_is_taken_off(measured):
    planned = plan(TWO_SHAPES, budget_s=5.0, budget_total_s=16.0)

    _, _, workers, _ = measured(planned, taking(9.0, 7.0), standing=with_budget(planned))

    assert extras(workers) == pytest.approx([6 / 2, 2 / 1])


def test_a_total_as_large_as_the_budgets_leaves_nothing_beyond_them(measured):
    planned = plan(TWO_SHAPES, budget_s=5.0, budget_total_s=10.0)

    _, _, workers, _ = measured(planned, taking(5.0, 5.0), standing=with_budget(planned))

    assert extras(workers) == [0.0, 0.0]


def test_what_a_worker_took_before_it_died_is_taken_off_too(measured):
    planned = three(budget_s=5.0, budget_total_s=16.0)

    def dying(setup, order):
        yield Announce(case=EAGER, stage=Stage.TIMING)
        yield fabricate.turn(EAGER, 1e-4, of=order.index, started_s=13.0)
        yield WorkerDiedError("SIGSEGV")

    _, _, workers, _ = measured(planned, dying, honest, standing=with_budget(planned))

    assert extras(workers) == pytest.approx([11.0, 3.0])


def test_a_resumed_run_counts_what_was_spent_before(measured):
    planned = plan(TWO_SHAPES, budget_s=5.0, budget_total_s=16.0)
    standing = with_budget(planned)
    standing.note(WorkloadFinished(process=0, workload=0, rounds=9, stopped_by="budget", rounds_s=10.0))

    _, _, workers, _ = measured(planned, taking(5.0), standing=standing)

    assert extras(workers) == pytest.approx([1.0])


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
    assert {first.reason, second.reason} == {"the process exited with 1 before any case was at work"}
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
    assert worker.patience[:3] == [LEAST_START_S] * 3
    assert set(worker.patience[3:]) == {TIMEOUT_S}


def test_an_error_of_our_own_ends_the_worker_and_is_not_swallowed(measured, monkeypatch):
    workers = []
    monkeypatch.setattr(Worker, "kill", lambda self: workers.append(self))

    with pytest.raises(ZeroDivisionError):
        measured(three(), ending(EAGER, Stage.TIMING, ZeroDivisionError()))

    assert len(workers) == 1


def test_the_observer_is_told_what_begins_who_is_at_work_and_how_far(measured):
    _, _, _, watcher = measured(three(), honest)

    assert watcher.told[:3] == [("looked", None, 0.1), ("happened", "machine_look"), ("began", 0, 0)]
    assert ("announced", FUSED, Stage.TIMING) in watcher.told
    assert ("progressed", 0.2) in watcher.told
    assert watcher.told[-1] == ("happened", "run_finished")


def test_cold_caches_are_ordered_with_the_pairs_to_rotate_through(measured):
    _, _, (worker,), _ = measured(plan("shapes: [[64, 1024]], cache: cold"), honest)

    # Twice 32 MiB of last-level cache in pairs of 2 x 256 KiB.
    assert worker.orders[0].pairs == 128


def test_a_notice_about_the_whole_run_stands_in_the_journal(tmp_path, monkeypatch):
    made_of = three()
    with Journal.create(tmp_path, fabricate.header(made_of.workloads, made_of.cases)) as journal:
        made = Theatre(tmp_path, monkeypatch).runner(made_of, journal, Watcher())

        made.notice("no-nvml", "GPU memory is not read")

    assert read_run(tmp_path).events == (Noticed(notice=Notice(code="no-nvml", text="GPU memory is not read")),)


def looks_of(run):
    return [(look.process, look.workload, look.wanted, look.others) for look in of_kind(run, MachineLook)]


def test_the_journal_holds_a_look_before_the_run_and_the_worst_one_of_each_workload_and_process(tmp_path, monkeypatch):
    theatre = Theatre(tmp_path, monkeypatch)
    theatre.meter.usages = [MachineUse(0.5, cores=4, others=others) for others in (3.0, 0.0, 2.5, 0.5, 1.0)]

    _, run, _, watcher = theatre.measure(plan("shapes: [[8, 64]], threads: [1, 2]", processes=2), honest)

    found = looks_of(run)
    assert found[0] == (None, None, 2, 3.0)
    assert [look[:3] for look in found[1:]] == [(0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 1, 2)]
    shown = [told for told in watcher.told if told[0] == "looked"]
    assert len(shown) > len(found)  # each is shown, the worst kept
    assert max(look[3] for look in found[1:]) == 2.5


def test_a_gpu_s_work_wants_one_core_of_the_host(tmp_path, monkeypatch):
    theatre = Theatre(tmp_path, monkeypatch)
    planned = planning.plan("shapes: [[8, 64]], devices: cuda", machine=planning.GPU_MACHINE)

    _, run, _, _ = theatre.measure(planned, honest)

    assert {look[2] for look in looks_of(run)} == {1}


def test_an_interrupted_workload_keeps_its_look(tmp_path, monkeypatch):
    theatre = Theatre(tmp_path, monkeypatch)

    def interrupting(setup, order):
        yield from list(honest(setup, order))[:3]
        theatre.interrupts.asked = True
        yield Announce(case=EAGER, stage=Stage.TIMING)

    finished, run, _, _ = theatre.measure(three(), interrupting)

    assert not finished
    assert [look[:2] for look in looks_of(run)] == [(None, None), (0, 0)]
