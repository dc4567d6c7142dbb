"""The tool's own rates: planted work is exactly as long as it says, and counts are those of a check's own judging."""

import math

import condensed
import numpy as np
import pytest
import torch
from command import run_lnbench
from hypothesis import given
from hypothesis import strategies as st
from planning import MACHINE
from scipy import stats as oracle
from stage import OperationLog, workload

from lnbench.analysis.rates import Rate
from lnbench.analysis.selftest import TWIN, judge_repetitions
from lnbench.gate import doctor
from lnbench.gate.selftest import BLOCK, PLANTED, REFERENCE, SHARES, schedule, suite_text
from lnbench.implementations.planted import planted
from lnbench.implementations.registry import BUILT_IN
from lnbench.plan import Known, make_plan
from lnbench.suite import read_suite


@given(st.integers(0, 50), st.integers(1, 50))
def test_a_rate_s_bounds_are_those_of_clopper_and_pearson(hits, more):
    trials = hits + more - 1 or 1
    hits = min(hits, trials)

    low, high = Rate(hits, trials).bounds()

    assert low == pytest.approx(0.0 if not hits else oracle.beta.ppf(0.025, hits, trials - hits + 1), abs=1e-9)
    assert high == pytest.approx(1.0 if hits == trials else oracle.beta.ppf(0.975, hits + 1, trials - hits), abs=1e-9)


def test_without_trials_nothing_is_known():
    assert Rate(0, 0).value is None
    assert Rate(0, 0).bounds() == (0.0, 1.0)


@pytest.mark.parametrize("repeats", [1, 100, 105])
def test_planted_work_calls_the_kernel_exactly_as_often_as_it_says(repeats):
    log: list[str] = []
    forward = planted(workload(4, 8), repeats=repeats)

    with torch.no_grad(), OperationLog(log):
        forward(torch.ones(4, 8), None, None)

    assert log.count("native_layer_norm") == repeats


def test_the_suite_s_extra_shares_are_exact():
    suite = read_suite(suite_text(), source="selftest.yaml")
    repeats = {entry.name: entry.options["repeats"] for entry in suite.implementations}

    assert repeats == {REFERENCE: BLOCK, TWIN: BLOCK} | {name: BLOCK + round(100 * it) for name, it in SHARES.items()}


@pytest.mark.parametrize("text", [suite_text(), *map(doctor.suite_text, (1.0, 20.0, 77.7, 3600.0))])
def test_a_busy_machine_makes_the_suites_of_selftest_and_doctor_no_longer(text):
    known = {"planted": Known("layer_norm", {"repeats": 1})}
    made = make_plan(read_suite(text, source="made.yaml"), known=known, machine=MACHINE)

    assert made.most_timed_s == made.timed_s > 0


def test_planted_work_is_no_implementation_to_choose():
    assert "planted" not in BUILT_IN
    assert PLANTED.is_file()


def repetition(random, deviation, *, shift=0.0, rows=4):
    """Six processes in which each case takes its true share longer, give or take `deviation`."""
    names = (TWIN, *SHARES)
    cases = [
        case.model_copy(
            update={"reference": REFERENCE, "implementation": REFERENCE if place == 0 else case.implementation}
        )
        for number in range(rows)
        for place, case in enumerate(condensed.suite(1, names))
        for case in [case.model_copy(update={"workload": number})]
    ]
    truths = [0.0, 0.0, *SHARES.values()]
    logs = {
        number: (-math.log1p(truths[number % 5]) - shift + random.normal(0, deviation, 6)).tolist()
        for number in range(5 * rows)
        if number % 5
    }
    return condensed.run(cases, condensed.found(cases, logs), run_id=f"{random.random()}")


def test_quiet_repetitions_raise_no_alarm_and_catch_what_is_above_the_margin():
    random = np.random.default_rng(71)

    found = judge_repetitions([repetition(random, 0.002) for _ in range(4)], SHARES)

    assert (found.repetitions, found.false_alarms, found.false_checks) == (4, Rate(0, 16), Rate(0, 4))
    assert found.detected[0.05] == found.detected[0.10] == Rate(16, 16)
    assert found.detected[0.03].hits < 16  # exactly the margin
    assert 0.03 < found.smallest[0] <= found.smallest[1] < 0.05
    assert found.against_earlier == Rate(0, 3 * 16)


def test_intervals_hold_the_true_share_at_their_rate():
    random = np.random.default_rng(72)

    found = judge_repetitions([repetition(random, 0.01) for _ in range(30)], SHARES)

    for share in (0.0, *SHARES.values()):
        rate = found.covered[share]
        assert rate.trials == 120
        assert rate.hits >= oracle.binom.ppf(0.001, 120, 0.95)


def test_noisy_repetitions_catch_less_and_resolve_less():
    random = np.random.default_rng(73)

    found = judge_repetitions([repetition(random, 0.05) for _ in range(4)], SHARES)

    assert found.detected[0.05].value < 0.5
    assert found.smallest[0] > 0.1


def test_a_reference_that_moved_between_repetitions_is_no_alarm_against_the_one_before():
    random = np.random.default_rng(74)

    found = judge_repetitions([repetition(random, 0.002), repetition(random, 0.002, shift=0.08)], SHARES)

    assert found.checks_against_earlier == Rate(0, 1)
    assert found.against_earlier == Rate(0, 16)


def test_no_repetition_says_nothing():
    found = judge_repetitions([], SHARES)

    assert (found.repetitions, found.smallest) == (0, (None, None))
    assert found.false_checks == Rate(0, 0)


def test_too_few_minutes_are_refused_with_the_least(tmp_path):
    done = run_lnbench(tmp_path, "selftest", "--minutes", "0.01")

    assert done.code == 2
    assert "one repetition takes about" in done.stderr
    assert "is the least" in done.stderr


def test_a_schedule_fits_as_many_repetitions_as_there_is_time_for():
    planned = schedule(30, margin=None)

    assert planned.repetitions == int(30 * 60 // planned.repetition_s)
    assert {case.reference for case in planned.prepared.plan.cases} == {REFERENCE}
    assert planned.prepared.plan.sampling.processes == 6
