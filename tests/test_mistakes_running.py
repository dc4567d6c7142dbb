"""The mistakes of running that can be made so far: 27, one failure takes others along; 28, it vanishes."""

import pytest
import torch
import zoo
from fabricate import case, ended, everything, finished, noisy_turns, run
from fabricate import workload as planned_workload
from stage import ScriptedSampler, cases, timed, workload

from lnbench.errors import Unsupported
from lnbench.events import PROBE_CASE
from lnbench.measure.sampler import HostSampler, Rotation
from lnbench.planned import Status
from lnbench.render.csv import render_csv
from lnbench.render.markdown import render_report
from lnbench.summaries import summarize
from lnbench.tables import results_table
from lnbench.view import view_run
from lnbench.worker.judging import Judge

pytestmark = pytest.mark.usefixtures("one_thread")


def raising(error):
    """A builder whose forward raises."""

    def build(on):
        def forward(x, weight, bias):
            raise error

        return forward

    return build


def too_large(on):
    """Runs out of memory where there are more than 10 rows."""
    norm = zoo.honest(on)

    def forward(x, weight, bias):
        if on.rows > 10:
            raise torch.OutOfMemoryError("tried to allocate 20 GiB")
        return norm(x, weight, bias)

    return forward


def refusing(on):
    raise Unsupported("needs an even number of rows")


FAILING = {
    "raises": raising(ValueError("no such mode")),
    "exits": raising(SystemExit(1)),
    "oom": too_large,
    "no memory": raising(MemoryError()),
    "refuses": refusing,
    "no builder": lambda on: 42,
    "wrong": zoo.by_hand(dbias=zoo.scaled(0.98)),
    "detached": zoo.after(lambda y, x, weight: y.detach()),
}


def test_mistake_27_each_failure_ends_its_own_case_with_a_status_and_a_reason():
    made, heard = cases(FAILING | {"honest": zoo.honest}, workload(64, 16))
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()

    turns = timed(made, heard, ScriptedSampler(), reference=len(FAILING))
    judge.after()

    told = {list(FAILING)[number]: (end.status, bool(end.reason)) for number, end in heard.ends().items()}
    assert told == {
        "raises": (Status.ERROR, True),
        "exits": (Status.ERROR, True),
        "oom": (Status.OOM, True),
        "no memory": (Status.OOM, True),
        "refuses": (Status.UNSUPPORTED, True),
        "no builder": (Status.ERROR, True),
        "wrong": (Status.WRONG, True),
        "detached": (Status.WRONG, True),
    }
    assert list(made.live) == [len(FAILING)]
    assert {found.case for found in turns} == {len(FAILING), PROBE_CASE}


def test_mistake_27_a_case_that_fails_while_timed_leaves_the_others_their_rounds():
    calls = []

    def failing_late(on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            if calls:
                raise RuntimeError("the third disk is full")
            return norm(x, weight, bias)

        return forward

    made, heard = cases({"late": failing_late, "honest": zoo.honest}, workload(8, 16))
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    samples = iter(range(100))

    def fail_from_the_third_round_on():
        if next(samples) >= 8:  # two samples of two cases in each round
            calls.append(None)

    turns = timed(made, heard, ScriptedSampler(fail_from_the_third_round_on), rounds=8, reference=0)

    assert heard.ends()[0].status is Status.ERROR
    assert "third disk" in heard.ends()[0].reason
    assert [found.round for found in turns if found.case == 1 and found.round < 8] == list(range(8))


def test_mistake_27_a_shape_that_does_not_fit_is_tried_again_at_the_next_shape():
    large, heard_large = cases({"oom": too_large}, workload(64, 16))
    small, heard_small = cases({"oom": too_large}, workload(8, 16))
    for made in (large, small):
        made.build_all()
        judge = Judge(made, judged={})
        judge.before()

    assert heard_large.ends()[0].status is Status.OOM
    assert heard_small.ends() == {}
    assert list(small.live) == [0]


def test_mistake_27_a_reference_that_failed_leaves_times_and_says_why_there_are_no_speedups():
    made = run(
        [planned_workload()],
        [case("fused"), case("eager")],
        [ended(0, Status.CRASH, "the worker died of SIGSEGV"), *noisy_turns({1: 1e-4}), finished()],
    )

    rows = [row for row in summarize(made) if row.implementation == "eager"]

    assert all(row.median_s and row.speedup is None for row in rows)
    assert all("reference-not-ok" in {notice.code for notice in row.notices} for row in rows)


def test_mistake_28_every_planned_case_has_its_rows_however_it_ended():
    made = everything()

    rows = summarize(made)

    wanted = {
        (number, phase, clock)
        for number, planned in enumerate(made.header.cases)
        for phase in made.header.workloads[planned.workload].phases
        for clock in made.header.workloads[planned.workload].clocks
    }
    assert {(row.case, row.phase, row.clock) for row in rows} == wanted
    assert all(row.reason for row in rows if not row.status.has_times)
    assert all(row.median_s is None for row in rows if not row.status.has_times)


def test_mistake_28_failed_cases_stand_in_the_csv_and_in_the_report_with_their_reasons():
    made = everything()

    csv, report = render_csv(results_table(made)), render_report(view_run(made))

    for reason in (
        "dbias is 40 times its tolerance off",
        "the worker died of SIGSEGV in backward",
        "there is no cuda:7",
    ):
        assert reason in csv
        assert reason in report


def test_a_case_judged_after_a_rotation_through_cold_buffers_is_still_right():
    made, heard = cases({"fused": "fused", "planted": zoo.honest}, workload(8, 16, cache="cold"), pairs=3)
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()

    turns = timed(made, heard, HostSampler(rotation=Rotation(3, seed=1)), rounds=4)
    for live in made.live.values():
        live.prepared.select(2)
    judge.after()

    assert heard.ends() == {}
    assert turns
