"""The graph clock's part of a run, over scripted workers: a process of its own, after the others."""

import fabricate
import planning
import pytest
from scripted import EAGER, FUSED, STACKS, Theatre, honest, of_kind

from lnbench.conductor.processes import WorkerDiedError
from lnbench.events import Ended, Turn
from lnbench.observed import Launching
from lnbench.planned import Stage, Status
from lnbench.standing import Standing
from lnbench.worker.protocol import Announce, Leaving
from lnbench.workload import Clock, Phase

ENTRY = "shapes: [[8, 64]], devices: cuda, clocks: [device, graph]"


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs a plan with scripted workers; gives whether it came to its end, the run read back, workers and watcher."""
    return Theatre(tmp_path, monkeypatch).measure


def plan(entry=ENTRY, **options):
    return planning.plan(entry, machine=planning.GPU_MACHINE, options={"processes": 1, **options})


def by_clock(setup, order, *, rounds=3):
    """Every case takes its turns, on the clock that the order is about."""
    clock = Clock.GRAPH if order.on_graph else Clock.DEVICE
    for message in honest(setup, order, rounds=rounds):
        if isinstance(message, Turn):
            samples = message.wall_s
            yield message.model_copy(update={"wall_s": {}, clock.field: samples})
        elif message.event == "workload_finished":
            yield message.model_copy(update={"on_graph": order.on_graph})
        else:
            yield message


def test_the_graph_clock_is_measured_by_a_second_worker_of_each_process_after_the_first_is_gone(measured):
    finished, run, workers, _ = measured(plan(processes=2), by_clock)

    assert finished
    assert [(worker.setup.process, worker.orders[0].on_graph) for worker in workers] == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]
    assert [worker.ends for worker in workers] == [["closed"]] * 4
    graph = [turn for turn in of_kind(run, Turn) if turn.graph_s]
    assert {turn.round for turn in graph} == {3, 4, 5}
    assert all(not turn.graph_s for turn in of_kind(run, Turn) if turn.round < 3)


def test_all_workloads_are_measured_on_other_clocks_before_any_graph_is_captured(measured):
    _, _, workers, _ = measured(
        plan(["shapes: [[8, 64]], devices: cuda, clocks: [graph, device]", "shapes: [[4, 64]], devices: cuda"]),
        by_clock,
    )

    assert [[(order.index, order.on_graph) for order in worker.orders] for worker in workers] == [
        [(0, False), (1, False)],
        [(0, True)],
    ]


def test_a_worker_that_a_capture_kills_costs_that_case_its_row_on_the_graph_clock_alone(measured):
    def killing(setup, order):
        if not order.on_graph or FUSED not in order.cases:
            yield from by_clock(setup, order)
            return
        yield Announce(case=FUSED, stage=Stage.CAPTURE)
        yield WorkerDiedError("SIGSEGV", signal=11)

    finished, run, workers, _ = measured(plan(processes=2), killing)

    assert finished
    (end,) = of_kind(run, Ended)
    assert (end.case, end.status, end.stage, end.clock) == (FUSED, Status.CRASH, Stage.CAPTURE, Clock.GRAPH)
    assert STACKS in end.detail
    orders = [(sorted(order.cases), order.on_graph) for worker in workers for order in worker.orders]
    assert orders == [
        ([EAGER, FUSED], False),
        ([EAGER, FUSED], True),
        ([EAGER], True),
        ([EAGER, FUSED], False),
        ([EAGER], True),
    ]


def test_a_worker_that_leaves_after_a_refused_capture_is_followed_by_one_for_the_others(measured):
    def refusing(setup, order):
        if order.on_graph and EAGER in order.cases:
            yield Announce(case=EAGER, stage=Stage.CAPTURE)
            yield fabricate.ended(EAGER, Status.UNSUPPORTED, "refused", stage=Stage.CAPTURE, clock=Clock.GRAPH)
            yield Leaving()
            yield WorkerDiedError("exited with 3")
            return
        yield from by_clock(setup, order)

    finished, run, workers, _ = measured(plan(), refusing)

    assert finished
    assert [(sorted(worker.orders[0].cases), worker.orders[0].on_graph) for worker in workers] == [
        ([EAGER, FUSED], False),
        ([EAGER, FUSED], True),
        ([FUSED], True),
    ]
    assert {turn.case for turn in of_kind(run, Turn) if turn.graph_s} == {FUSED}


def test_the_kernels_that_were_counted_are_told_to_the_worker_that_captures(measured):
    def counting(setup, order):
        *turns, last = by_clock(setup, order)
        yield from turns
        if not order.on_graph:
            yield Launching(process=0, case=EAGER, launches={Phase.FORWARD: 6.0, Phase.BACKWARD: 11.0})
        yield last

    _, _, workers, _ = measured(plan(), counting)

    assert [worker.orders[0].launches for worker in workers] == [{}, {EAGER: 11.0}]


def test_a_run_that_was_interrupted_before_its_graphs_goes_on_with_them(measured):
    planned = plan()
    _, run, _, _ = measured(planned, by_clock)
    standing = Standing(planned.workloads, planned.cases)
    for event in run.events:
        if not (getattr(event, "graph_s", None) or getattr(event, "on_graph", False)):
            standing.note(event)

    _, _, workers, _ = measured(planned, by_clock, standing=standing)

    assert [(order.on_graph, order.first_round) for worker in workers for order in worker.orders] == [(True, 3)]


def test_the_bar_counts_the_graph_clock_s_part_apart(measured):
    _, _, _, watcher = measured(plan(processes=2), by_clock)

    assert len([told for told in watcher.told if told[0] == "began"]) == 4
