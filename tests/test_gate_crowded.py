"""What a check comes to where a busy machine disturbed samples of head: it never hides a row that got slower."""

import math

import condensed as small
import fabricate
import pytest
from condensed import check_of, confirming
from fabricate import case, looked_at, turn, workload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnbench.condense import condense
from lnbench.decision import cases_to_confirm, decide
from lnbench.errors import ExitCode
from lnbench.events import PROBE_CASE
from lnbench.verdict import Verdict
from lnbench.workload import Phase

PASSES, REGRESSION, UNFIT = ExitCode.FINE, ExitCode.REGRESSION, ExitCode.UNFIT
PHASE = Phase.INFERENCE
ROUNDS = 12
WORKLOADS = 10
CASES = [case(name, of=of) for of in range(WORKLOADS) for name in ("fused", "mine")]
PLAN = [workload((64 * (of + 1), 768), phases=(PHASE,)) for of in range(WORKLOADS)]
MINE = 1
QUIET, LOST = looked_at(), looked_at(delay_s=0.5, wakeups=1, involuntary=1)
NOTHING: dict[int, int] = {}


def turns(factor=1.0, *, lost=NOTHING, first_process=0, among=range(WORKLOADS), slower=(MINE,), disturbed=MINE):
    """Three processes of every workload. On the first, the cases in `slower` take `factor` times as long.

    `lost`: by process, in how many rounds the `disturbed` case of the first workload was disturbed.
    """
    return [
        turn(
            2 * of + place,
            1e-4
            * (factor if of == 0 and place in slower else 1.0)
            * math.exp(0.002 * math.sin(7 * process + 3 * of + 2 * place) + 0.001 * math.sin(5 * round_ + place)),
            of=of,
            process=process,
            round=round_,
            started_s=round_ + 0.1 * place + 100.0 * of,
            **(LOST if (of, place) == (0, disturbed) and round_ < lost.get(process, 0) else QUIET),
        )
        for process in range(first_process, first_process + 3)
        for of in among
        for round_ in range(ROUNDS)
        for place in (0, MINE)
    ] + [
        turn(PROBE_CASE, 1e-4, of=of, process=process, round=round_, started_s=round_ + 0.3 + 100.0 * of).model_copy(
            update={"wall_s": {"copy": 6e-5}, "calls": {"copy": 50}}
        )
        for process in range(first_process, first_process + 3)
        for of in among
        for round_ in range(ROUNDS)
    ]


def run(events, **fields):
    return fabricate.run(PLAN, CASES, events, **fields)


def baseline(lost=NOTHING):
    return condense(run(turns(lost=lost), run_id="base"))


def losing(processes, rounds=ROUNDS):
    """The row is disturbed in so many processes."""
    return dict.fromkeys(range(processes), rounds)


def check(factor, lost, *, base_lost=NOTHING, fresh_lost=None, **fields):
    """A whole check against a baseline; `fresh_lost` None: fresh processes lose what the first ones lost."""
    head = turns(factor, lost=lost)
    made = check_of(baseline(base_lost), **fields)
    asked = cases_to_confirm(run(head, run_id="head", check=made))
    if not asked:
        return run(head, run_id="head", check=made)
    again = {process + 3: rounds for process, rounds in (lost if fresh_lost is None else fresh_lost).items()}
    among = sorted({CASES[number].workload for number in asked})
    fresh = turns(factor, lost=again, first_process=3, among=among)
    return run([*head, confirming(sorted(asked)), *fresh], run_id="head", check=made)


def row_of(decision):
    """The row that was disturbed, as it was read in the end."""
    (row,) = (row for row in decision.comparison.rows if row.workload == PLAN[0].id)
    return row


@pytest.mark.parametrize("allowed", [(), ("inconclusive",)])
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("factor", [1.05, 1.2, 2.0])
def test_a_slower_row_that_lost_processes_to_a_busy_machine_never_passes(factor, processes, allowed):
    decision = decide(check(factor, losing(processes), allowed=allowed))

    assert decision.exit_code is UNFIT
    assert row_of(decision).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_it_is_a_regression_where_fresh_processes_were_not_disturbed(processes):
    decision = decide(check(1.2, losing(processes), fresh_lost={}))

    assert decision.exit_code is REGRESSION
    assert row_of(decision).confirmed


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_identical_work_passes_where_fresh_processes_were_not_disturbed(processes):
    decision = decide(check(1.0, losing(processes), fresh_lost={}))

    assert decision.exit_code is PASSES
    assert (row_of(decision).verdict, row_of(decision).confirmed) == (Verdict.SAME, False)


def test_identical_work_that_stays_disturbed_is_unfit_and_the_reason_names_the_busy_machine():
    decision = decide(check(1.0, losing(1)))

    assert decision.exit_code is UNFIT
    assert decision.headline == (
        "1 row disturbed by other processes remained undecided in fresh processes: mine (1 of 3 processes was "
        "disturbed by other processes); free a core and measure again"
    )
    assert row_of(decision).reason == (
        "1 of 3 processes was disturbed by other processes at first, not found slower in fresh processes: only 2 "
        "processes on a side: a verdict takes 3 (1 of 3 processes was disturbed by other processes)"
    )


def test_a_row_without_any_undisturbed_sample_says_how_many_rounds_are_left():
    decision = decide(check(1.0, losing(3)))

    assert "mine (head is unstable: 0 of 36 rounds undisturbed" in decision.headline


def test_a_few_disturbed_rounds_change_nothing():
    assert cases_to_confirm(check(1.0, losing(3, rounds=4))) == frozenset()
    assert decide(check(1.0, losing(3, rounds=4))).exit_code is PASSES


@pytest.mark.parametrize("processes", [2, 3])
def test_a_row_that_both_sides_lost_stays_inconclusive_within_the_allowance(processes):
    decision = decide(check(1.0, losing(processes), base_lost=losing(processes)))

    assert decision.exit_code is PASSES
    assert row_of(decision).verdict is Verdict.INCONCLUSIVE


def test_a_row_that_both_sides_lost_as_much_of_is_flagged_where_it_reads_slower():
    decision = decide(check(2.0, losing(1), base_lost=losing(1)))

    assert decision.exit_code is UNFIT


def test_a_row_that_the_baseline_lost_alone_stays_inconclusive_within_the_allowance():
    assert decide(check(1.0, {}, base_lost=losing(3))).exit_code is PASSES
    assert decide(check(1.0, {}, base_lost=losing(1))).exit_code is PASSES


def test_fresh_processes_that_were_never_asked_leave_a_lost_row_open():
    made = run(turns(1.2, lost=losing(3)), run_id="head", check=check_of(baseline()))

    decision = decide(made)

    assert cases_to_confirm(made) == {0, MINE}
    assert decision.exit_code is UNFIT
    assert "not measured again in fresh processes" in row_of(decision).reason


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_slower_reference_that_lost_processes_is_found_in_fresh_ones(processes):
    everything = {"slower": (0, MINE), "disturbed": 0}
    head = turns(1.2, lost=losing(processes), **everything)
    made = check_of(baseline())
    asked = cases_to_confirm(run(head, run_id="head", check=made))
    fresh = turns(1.2, first_process=3, among=[0], **everything)

    decision = decide(run([*head, confirming(sorted(asked)), *fresh], run_id="head", check=made))

    assert asked == {0, MINE}
    assert decision.exit_code is UNFIT
    assert decision.headline.startswith("everything but a plain copy got slower")


# Two versions beside each other.

SIDES = [case(name, of=of, reference="mine@base") for of in range(WORKLOADS) for name in ("mine@base", "mine")]
SIDES_PLAN = [it.model_copy(update={"reference": "mine@base"}) for it in PLAN]


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(("fresh_is_lost", "code"), [(True, UNFIT), (False, REGRESSION)])
def test_a_slower_version_that_lost_processes_beside_the_old_one_never_passes(processes, fresh_is_lost, code):
    lost = losing(processes)
    head = turns(1.2, lost=lost)
    screened = fabricate.run(SIDES_PLAN, SIDES, head, check=check_of())
    again = {process + 3: rounds for process, rounds in lost.items()} if fresh_is_lost else {}
    fresh = turns(1.2, lost=again, first_process=3, among=[0])

    decision = decide(fabricate.run(SIDES_PLAN, SIDES, [*head, confirming([0, 1]), *fresh], check=check_of()))

    assert cases_to_confirm(screened) == {0, 1}
    assert decision.exit_code is code


def test_two_versions_that_were_disturbed_all_the_time_are_a_row_that_is_inconclusive():
    events = [it.model_copy(update=LOST) if it.workload == 0 and it.case != PROBE_CASE else it for it in turns()]

    decision = decide(fabricate.run(SIDES_PLAN, SIDES, events, check=check_of()))

    assert len(decision.comparison.rows) == WORKLOADS
    assert row_of(decision).verdict is Verdict.INCONCLUSIVE
    assert decision.exit_code is PASSES


rounds_lost = st.dictionaries(st.integers(0, 2), st.integers(0, ROUNDS), max_size=3)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([1.05, 1.2, 2.0]), rounds_lost, rounds_lost, st.booleans())
def test_taking_undisturbed_samples_away_from_a_slower_row_never_makes_a_check_pass(factor, lost, more, again):
    """A row that got slower by more than the margin makes exit 1 with all samples."""
    decision = decide(check(factor, lost, fresh_lost=more if again else {}))

    assert decision.exit_code in {REGRESSION, UNFIT}


# Baselines of before.


def test_figures_of_all_samples_are_not_comparable_with_those_of_undisturbed_ones():
    cases = small.suite(1)
    found = small.found(cases, {1: [0.0, 0.001, -0.001], 2: [0.0] * 3, 3: [0.0] * 3})
    base = small.run(cases, found, run_id="base", schema_version=6)

    def made(version=7, **fields):
        return small.run(cases, found, run_id="head", schema_version=version, check=check_of(base, **fields))

    refused = decide(made())
    assert refused.exit_code in {ExitCode.NOTHING_MEASURED, UNFIT}
    assert {row.reason for row in refused.comparison.rows} == {"samples: all there, undisturbed here"}
    assert decide(made(different=("samples",))).exit_code is PASSES
    assert decide(made(version=6)).exit_code is PASSES
