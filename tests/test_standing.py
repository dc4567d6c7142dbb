"""How far a run is, told by its events alone."""

import fabricate
import pytest

from lnbench.events import Confirming, Noticed, WorkerStarted, WorkloadFinished
from lnbench.observed import Launching
from lnbench.planned import Notice, Status
from lnbench.standing import Standing
from lnbench.workload import Clock, Phase

SMALL = fabricate.workload((64, 64))
LARGE = fabricate.workload((128, 64))


def standing(*workloads, names=("fused", "eager"), **fields):
    """Nothing done yet of these implementations on these workloads."""
    cases = [fabricate.case(name, of=number, **fields) for number, _ in enumerate(workloads) for name in names]
    return Standing(tuple(workloads), tuple(cases))


def finished(process, workload, **fields):
    return WorkloadFinished(process=process, workload=workload, rounds=1, stopped_by="budget", rounds_s=1.0, **fields)


def test_what_is_known_not_to_be_measurable_is_over_from_the_start():
    found = standing(SMALL, status=Status.SKIPPED, reason="no such device")

    assert list(found.left(range(3))) == []
    assert found.remaining(0, 0) == []


def test_a_process_is_done_with_a_workload_when_it_says_so_and_others_are_not():
    found = standing(SMALL, LARGE)
    found.note(finished(0, 0))

    assert list(found.left(range(2))) == [(0, 1), (1, 0), (1, 1)]
    assert found.remaining(0, 0) == []
    assert found.remaining(1, 0) == [0, 1]


def test_a_case_that_ended_is_over_in_every_process():
    found = standing(SMALL)
    found.note(fabricate.ended(0, Status.CRASH, "SIGSEGV"))

    assert found.remaining(0, 0) == found.remaining(2, 0) == [1]


def test_rounds_go_on_counting_and_the_seconds_of_every_worker_add_up():
    found = standing(SMALL)
    for number, started_s in enumerate((0.0, 1.0, 2.0, 0.0, 0.5)):  # a fresh worker from the fourth on
        found.note(fabricate.turn(0, 1e-4, round=number, started_s=started_s))

    begun = found.begun(0, 0)
    assert (begun.rounds, begun.spent_s) == (5, 2.5)
    assert found.begun(1, 0).rounds == 0


def test_what_a_workload_took_beyond_its_budget_adds_up_and_what_it_left_is_not_given_back():
    found = Standing((SMALL, LARGE), (), budget_s=5.0)
    for workload, rounds_s in ((0, 9.0), (1, 2.0)):
        found.note(WorkloadFinished(process=0, workload=workload, rounds=9, stopped_by="budget", rounds_s=rounds_s))

    assert found.extra_s == 4.0


def test_several_samples_of_a_turn_are_known_apart():
    found = standing(SMALL)
    first, second = (fabricate.turn(0, 1e-4, started_s=1.0, sample=sample) for sample in (0, 1))
    found.note(first)

    assert found.knows(first)
    assert not found.knows(second)
    assert found.begun(0, 0).rounds == 1


def test_a_notice_is_new_once():
    found = standing(SMALL)
    notice = Noticed(notice=Notice(code="inaccurate", text="off"), workload=0, case=1)

    assert found.note(notice)
    assert not found.note(notice)


def test_workers_are_counted_on_from_the_last_one():
    found = standing(SMALL)
    found.note(WorkerStarted(process=1, worker=4, device="cpu", device_name="a cpu", import_s=1.0))

    assert found.workers == 5


def test_once_a_check_confirms_only_the_chosen_cases_are_left():
    found = standing(SMALL, LARGE)
    found.note(Confirming(first_process=3, cases=(2, 3)))

    assert list(found.left(range(3, 5))) == [(3, 1), (4, 1)]


def test_an_out_of_memory_at_a_shape_rules_out_the_same_implementation_at_larger_ones_alone():
    found = standing(SMALL, LARGE, fabricate.workload((32, 64)))
    found.note(fabricate.ended(0, Status.OOM, "no memory"))

    assert [bool(found.outgrown(number)) for number in range(6)] == [True, False, True, False, False, False]
    assert found.outgrown(2) == "fused ran out of memory at 64x64, where x has 16.0 KiB; here it has 32.0 KiB"


@pytest.mark.parametrize(
    "axis", [{"dtype": "bfloat16"}, {"device": "cuda"}, {"affine": "none"}, {"cache": "cold"}], ids=str
)
def test_another_kind_of_workload_is_tried_although_it_is_larger(axis):
    found = standing(SMALL, fabricate.workload((128, 64), **axis))
    found.note(fabricate.ended(0, Status.OOM, "no memory"))

    assert found.outgrown(2) == ""


def test_another_failure_rules_nothing_out():
    found = standing(SMALL, LARGE)
    found.note(fabricate.ended(0, Status.CRASH, "SIGSEGV"))

    assert found.outgrown(2) == ""


ON_GRAPH = fabricate.workload((64, 64), device="cuda", clocks=(Clock.DEVICE, Clock.GRAPH))


def test_the_graph_clock_s_part_of_a_workload_is_left_until_its_own_worker_is_done():
    found = standing(SMALL, ON_GRAPH)
    found.note(finished(0, 1))

    assert list(found.left([0])) == [(0, 0)]
    assert list(found.left([0], on_graph=True)) == [(0, 1)]
    assert found.remaining(0, 1) == []
    assert found.remaining(0, 1, on_graph=True) == [2, 3]
    assert found.parts_left([0, 1]) == 2 + 3

    found.note(finished(0, 1, on_graph=True))

    assert list(found.left([0], on_graph=True)) == []


def test_a_case_that_ended_on_the_graph_clock_alone_is_measured_on_the_others():
    found = standing(ON_GRAPH)
    found.note(fabricate.ended(0, Status.UNSUPPORTED, "not captured", clock=Clock.GRAPH))
    found.note(fabricate.ended(1, Status.OOM, "out of memory", clock=Clock.GRAPH))

    assert found.remaining(1, 0) == [0, 1]
    assert found.remaining(1, 0, on_graph=True) == []
    assert found.outgrown(1) == ""


def test_rounds_of_the_graph_clock_have_numbers_of_their_own_after_the_others_and_a_budget_of_their_own():
    found = standing(ON_GRAPH)
    found.note(fabricate.turn(0, 1e-5, round=6, started_s=3.0, clock=Clock.DEVICE))
    found.note(finished(0, 0))

    assert found.rounds(0, 0) == 7
    assert found.begun(0, 0, on_graph=True).spent_s == 0

    found.note(fabricate.turn(0, 1e-5, round=7, started_s=0.5, clock=Clock.GRAPH))

    assert (found.rounds(0, 0), found.begun(0, 0, on_graph=True).spent_s) == (8, 0.5)
    assert found.knows(fabricate.turn(0, 1e-5, round=7, started_s=0.5, clock=Clock.GRAPH))


@pytest.mark.parametrize(("clocks", "left"), [((Clock.DEVICE, Clock.GRAPH), []), ((Clock.GRAPH,), [(3, 0)])])
def test_confirming_asks_the_graph_clock_only_where_it_decides(clocks, left):
    found = standing(fabricate.workload((64, 64), device="cuda", clocks=clocks))
    found.note(Confirming(first_process=3, cases=(0,)))

    assert list(found.left([3], on_graph=True)) == left


def test_how_many_kernels_a_call_launches_is_kept_for_the_graphs():
    found = standing(ON_GRAPH)
    found.note(Launching(process=0, case=1, launches={"forward": 2.0, "backward": 7.0, "forward_backward": 9.0}))
    found.note(Launching(process=0, case=0, launches={"forward_backward": 5.0}))
    found.note(Launching(process=1, case=1, host_overhead_s={Phase.FORWARD: 1e-6}))

    assert found.launches == {0: 5.0, 1: 7.0}
