"""What a busy machine leaves of a row, from turns to summaries, baselines and checks."""

import condensed as small
import fabricate
import numpy as np
import pytest
from fabricate import case, looked_at, turn, workload
from hypothesis import given
from hypothesis import strategies as st

from lnbench.comparison import compare_runs
from lnbench.condense import condense
from lnbench.cost_tables import cost_table
from lnbench.event_log import EventLog
from lnbench.evidence import Evidence
from lnbench.fastest import Unknown, contests
from lnbench.observed import Conditions
from lnbench.planned import Status
from lnbench.summaries import summarize
from lnbench.turn_disturbances import Disturbances
from lnbench.undisturbed import LEAST_PAIRS, Means
from lnbench.verdict import Verdict
from lnbench.view import view_run
from lnbench.workload import Clock, Phase

EAGER, FUSED = 0, 1
PHASE = Phase.INFERENCE
LOST_S = 0.5
ROUNDS = 40


QUIET, LOST = looked_at(), looked_at(delay_s=LOST_S, wakeups=1, involuntary=1)


def turns(lost, *, rounds=ROUNDS, processes=1, seconds=(2e-4, 1e-4), spread=0.01, slow=20.0, seed=1):
    """Rounds of eager and fused. `lost`: the rounds in which a case was disturbed, and took `slow` times as long."""
    draw = np.random.default_rng(seed)
    return [
        turn(
            number,
            seconds[number] * float(np.exp(draw.normal(0, spread))) * (slow if round_ in lost.get(number, ()) else 1.0),
            process=process,
            round=round_,
            started_s=round_ + 0.1 * number,
            **(LOST if round_ in lost.get(number, ()) else QUIET),
        )
        for process in range(processes)
        for round_ in range(rounds)
        for number in (EAGER, FUSED)
    ]


def busy_run(lost, *, load=4.1, run_id="made", **fields):
    """A run of one phase on two threads and two cores."""
    conditions = Conditions(
        process=0, workload=0, first_round=0, last_round=ROUNDS - 1, seconds=9.0, readings={"load": load}
    )
    return fabricate.run(
        [workload(phases=(PHASE,))], [case("eager"), case("fused")], [conditions, *turns(lost, **fields)], run_id=run_id
    )


def rows(run):
    return {row.implementation: row for row in summarize(run)}


def test_figures_rest_on_undisturbed_samples_alone():
    found = rows(busy_run({EAGER: range(0, 40, 2), FUSED: range(0, 40, 4)}))

    assert found["eager"].median_s == pytest.approx(2e-4, rel=0.02)
    assert found["eager"].speedup == pytest.approx(0.5, rel=0.02)
    assert (found["eager"].samples, found["eager"].rounds) == (20, 20)
    assert (found["eager"].undisturbed_share, found["fused"].undisturbed_share) == (0.5, 0.75)
    assert found["eager"].judged_by == Means.DELAY


def test_a_row_with_too_few_undisturbed_rounds_is_unstable_and_says_why_and_what_helps():
    left = LEAST_PAIRS - 1
    found = rows(busy_run({EAGER: range(left, ROUNDS)}))

    assert found["eager"].status is Status.UNSTABLE
    assert found["eager"].reason == (
        "5 of 40 rounds undisturbed (2 threads, 2 cores, load 4.1): free a core, or use threads: 1"
    )
    assert found["eager"].speedup is found["eager"].speedup_low is None
    assert found["eager"].median_s == pytest.approx(2e-4, rel=0.02)


def test_a_row_with_just_enough_undisturbed_rounds_has_a_speedup():
    found = rows(busy_run({EAGER: range(LEAST_PAIRS, ROUNDS)}))

    assert found["eager"].status is Status.OK
    assert found["eager"].speedup == pytest.approx(0.5, rel=0.03)


def test_an_unstable_row_hands_on_its_undisturbed_turns_of_processes_that_do_not_count_too():
    events = [
        made
        for process, lost in enumerate([0, ROUNDS - 2, ROUNDS - 3])
        for made in (it.model_copy(update={"process": process}) for it in turns({EAGER: range(lost)}, seed=process))
    ]
    run = fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events)
    found = Evidence(run).row(EAGER, PHASE, clock=Clock.WALL)

    assert found.status is Status.UNSTABLE
    assert {process: len(held.rounds) for process, held in found.series.items()} == {0: ROUNDS, 1: 2, 2: 3}


def test_rounds_in_which_one_of_both_was_disturbed_do_not_count():
    found = rows(busy_run({EAGER: range(0, 40, 2), FUSED: range(1, 40, 2)}))

    assert found["eager"].status is Status.UNSTABLE
    assert found["eager"].reason.startswith("0 of 40 rounds undisturbed")


def test_a_row_without_any_undisturbed_sample_has_no_time_either():
    found = rows(busy_run({EAGER: range(ROUNDS)}))

    assert (found["eager"].status, found["eager"].median_s) == (Status.UNSTABLE, None)
    assert found["eager"].undisturbed_share == 0.0
    assert found["fused"].status is Status.OK


def test_a_row_whose_long_samples_were_lost_is_unstable():
    found = rows(busy_run({EAGER: range(0, 200, 2)}, rounds=200, spread=0.25))

    assert found["eager"].status is Status.UNSTABLE
    assert found["eager"].reason.startswith("50 % of its samples undisturbed (2 threads, 2 cores, load 4.1), which")
    assert "favors short ones by about" in found["eager"].reason


@pytest.mark.parametrize(("disturbed", "whose"), [(EAGER, "its"), (FUSED, "the reference's")])
def test_a_row_with_under_a_tenth_of_its_samples_is_unstable_though_every_round_has_an_undisturbed_one(
    disturbed, whose
):
    events = [
        turn(number, 1e-4, round=round_, started_s=round_ + 0.1 * number, sample=sample, **usage)
        for round_ in range(20)
        for number in (EAGER, FUSED)
        for sample in range(16)
        for usage in [LOST if number == disturbed and sample else QUIET]
    ]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events))

    assert found["eager"].status is Status.UNSTABLE
    assert found["eager"].reason == (
        f"only 6.2 % of {whose} samples undisturbed (2 threads, 2 cores): free a core, or use threads: 1"
    )


def test_on_one_thread_there_is_one_thing_that_helps():
    conditions_free = [turn(number, 1e-4, round=r, **LOST) for r in range(20) for number in (EAGER, FUSED)]
    one = workload(phases=(PHASE,)).model_copy(update={"workload": workload().workload.__class__(
        shape=(64, 64), normalized_shape=(64,), threads=1
    )})  # fmt: skip
    found = rows(fabricate.run([one], [case("eager"), case("fused")], conditions_free))

    assert found["eager"].reason == "0 of 20 rounds undisturbed (1 thread, 2 cores): free a core"


@pytest.mark.parametrize(("processes_lost", "status"), [(0, Status.OK), (1, Status.OK), (2, Status.UNSTABLE)])
def test_most_processes_have_to_count(processes_lost, status):
    events = [
        made
        for process in range(3)
        for made in (
            it.model_copy(update={"process": process})
            for it in turns({EAGER: range(ROUNDS)} if process < processes_lost else {}, seed=process)
        )
    ]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events))

    assert found["eager"].status is status
    assert (found["eager"].speedup_processes == 3 - processes_lost) is (status is Status.OK)


def test_an_unstable_row_is_neither_fastest_nor_beaten():
    made = busy_run({EAGER: range(ROUNDS - 2)}, seconds=(1e-4, 2e-4))
    (table,) = view_run(made).tables
    (decided,) = contests(summarize(made), phase=PHASE, function="layer_norm").values()

    assert [(row.implementation, why) for row, why in decided.unknown] == [("eager", Unknown.UNSTABLE)]
    assert not any(line.fastest for line in table.rows)


def test_several_samples_of_a_turn_are_one_value_and_the_disturbed_among_them_are_left_out():
    events = [
        turn(number, seconds, round=round_, started_s=round_ + 0.1 * number, sample=place, **usage)
        for round_ in range(20)
        for number, times in ((EAGER, (2.9e-4, 3.1e-4, 9e-3)), (FUSED, (1.45e-4, 1.55e-4, 9e-3)))
        for place, (seconds, usage) in enumerate(zip(times, (QUIET, QUIET, LOST), strict=True))
    ]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events))

    assert found["eager"].median_s == pytest.approx(3e-4)  # the mean of 0.29 and 0.31 ms, in every turn
    assert found["eager"].speedup == pytest.approx(0.5)
    assert (found["eager"].rounds, found["eager"].samples) == (20, 40)
    assert found["eager"].undisturbed_share == pytest.approx(2 / 3)


def test_a_turn_during_which_a_hypervisor_took_cores_away_is_disturbed():
    events = turns({})
    stolen = [it.model_copy(update={"steal_s": 0.01}) if it.round < 10 and it.case == EAGER else it for it in events]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], stolen))

    assert found["eager"].undisturbed_share == 0.75
    assert found["fused"].undisturbed_share == 1.0


def test_turns_that_a_later_wait_reaches_back_to_are_disturbed_whatever_case_they_are_of():
    events = turns({})
    # Fused, round 20, began at 20.1 s; a thread had been waiting since 19.05 s, during eager's turn of round 19.
    late = [it.model_copy(update={"reach_s": 1.05}) if (it.round, it.case) == (20, FUSED) else it for it in events]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], late))

    assert found["eager"].undisturbed_share == pytest.approx(38 / 40)  # rounds 19 and 20
    assert found["fused"].undisturbed_share == pytest.approx(39 / 40)  # round 19


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.0, 0.4, 1.3, 99.0])), min_size=1, max_size=12))
def test_a_wait_disturbs_every_turn_that_ends_after_it_began(found):
    begun = [place + 0.25 * process for place, (process, _) in enumerate(found)]
    events = [
        turn(EAGER, 1e-4, process=process, round=place, started_s=begun[place], reach_s=reach_s)
        for place, (process, reach_s) in enumerate(found)
    ]
    expected = []
    for place, (process, _) in enumerate(found):
        later = [it for it in range(place + 1, len(found)) if found[it][0] == process]
        end_s = begun[later[0]] if later else np.inf
        expected.append(any(begun[it] - found[it][1] < end_s and found[it][1] > 0 for it in later))

    assert Disturbances.of(EventLog.of(events).turns, {}).reached.tolist() == expected


def test_a_wait_reaches_back_within_its_process_only():
    events = turns({}, processes=2)
    late = [
        it.model_copy(update={"reach_s": 30.05}) if (it.process, it.round, it.case) == (1, 39, FUSED) else it
        for it in events
    ]
    run = fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], late)

    assert run.log.turns.process.max() == 1
    assert rows(run)["eager"].undisturbed_share == pytest.approx((40 + 9) / 80)


def test_the_cost_of_a_wake_up_in_a_process_is_what_it_measured():
    woken = looked_at(delay_s=100 * 15e-6, wakeups=100)
    events = [turn(number, 1e-4, round=r, **woken) for r in range(20) for number in (EAGER, FUSED)]
    cheap = fabricate.WorkerStarted(process=0, worker=0, device="cpu", device_name="made", import_s=0.0, wakeup_s=5e-6)
    dear = cheap.model_copy(update={"wakeup_s": 14e-6})
    plan = ([workload(phases=(PHASE,))], [case("eager"), case("fused")])

    # A row's own 15 us are believed up to three times the machine's.
    assert rows(fabricate.run(*plan, [dear, *events]))["eager"].undisturbed_share == 1.0
    assert (
        rows(fabricate.run(*plan, [cheap.model_copy(update={"wakeup_s": 4e-6}), *events]))["eager"].undisturbed_share
        == 0.0
    )


def test_an_unstable_row_and_the_line_about_the_machine_count_the_same_cores_and_load():
    run = busy_run({EAGER: range(5, 40)})
    look = fabricate.machine_look(of=0, others=3.5, cores=4, load=5.0)
    evidence = Evidence(run.model_copy(update={"events": EventLog.of((*run.events, look))}))

    assert "(2 threads, 4 cores, load 5.0)" in evidence.row(EAGER, PHASE, clock=Clock.WALL).reason
    assert "up to 3.5 of 4 cores in 1 of 1 workload (load up to 5.0)" in evidence.busy_line


def test_asking_for_the_load_of_a_workload_whose_conditions_were_not_read_changes_nothing():
    run = fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], turns({}))
    asked, plain = Evidence(run), Evidence(run)

    assert asked.load(0) is None
    assert asked.conditions == plain.conditions


QUIET_LOOK = fabricate.machine_look(of=0, others=0.01)


def test_threads_that_wait_for_each_other_where_no_other_process_ran_are_the_row_s_own_time():
    waiting = [it.model_copy(update=LOST) if it.case == EAGER else it for it in turns({})]
    plan = ([workload(phases=(PHASE,))], [case("eager"), case("fused")])

    found = rows(fabricate.run(*plan, [*waiting, QUIET_LOOK]))

    assert (found["eager"].status, found["eager"].undisturbed_share) == (Status.OK, 1.0)
    assert found["eager"].judged_by == Means.ALONE
    assert found["fused"].judged_by == Means.DELAY
    assert found["eager"].speedup == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(
    "looks",
    [
        [],
        [fabricate.machine_look(of=0, others=None, load=0.0)],
        [fabricate.machine_look(of=0, others=0.3)],
        [QUIET_LOOK, fabricate.machine_look(of=0, others=0.3)],
        [fabricate.machine_look(others=0.0)],
    ],
    ids=["no look", "not known", "another ran", "another ran once", "a look before the run alone"],
)
def test_where_another_process_may_have_run_threads_that_wait_are_disturbed(looks):
    waiting = [it.model_copy(update=LOST) if it.case == EAGER else it for it in turns({})]

    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], [*waiting, *looks]))

    assert (found["eager"].status, found["eager"].undisturbed_share) == (Status.UNSTABLE, 0.0)


def test_the_few_samples_that_the_kernel_disturbs_on_a_quiet_machine_are_left_out():
    few = range(0, ROUNDS, 20)
    events = [*turns({EAGER: few}), QUIET_LOOK]

    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events))

    assert (found["eager"].undisturbed_share, found["eager"].judged_by) == (0.95, Means.DELAY)


@pytest.mark.parametrize("calls", [{"inference": 0}, {}, {"inference": 0, "step": 0}])
@pytest.mark.parametrize("kind", ["inference", "step", "forward_backward"])
def test_what_the_scheduler_did_during_samples_without_calls_counts_as_not_looked_at(calls, kind):
    usage = looked_at(delay_s=LOST_S, wakeups=1, kinds=(kind,))
    events = [
        turn(number, 1e-4, round=r, started_s=r + 0.1 * number, **usage).model_copy(update={"calls": calls})
        for r in range(20)
        for number in (EAGER, FUSED)
    ]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events))

    assert (found["eager"].undisturbed_share, found["eager"].judged_by, found["eager"].cpu_s) == (None, "", None)
    assert found["eager"].median_s == pytest.approx(1e-4)


def test_of_an_older_journal_it_is_not_known_and_its_rows_read_as_before():
    events = [
        turn(number, 1e-4 * (1 + 9 * (r % 2)), round=r, started_s=r + 0.1 * number)
        for r in range(20)
        for number in (EAGER, FUSED)
    ]
    found = rows(fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], events))

    assert (found["eager"].undisturbed_share, found["eager"].judged_by, found["eager"].cpu_s) == (None, "", None)
    assert found["eager"].samples == 20
    assert found["eager"].status is Status.OK


def test_the_cpu_time_of_a_call_is_that_of_undisturbed_samples():
    found = rows(busy_run({EAGER: range(0, 40, 2)}))

    assert found["eager"].cpu_s == pytest.approx(0.02 / 100)  # a sample of 100 calls


def test_the_disturbance_of_rows_is_shown_where_it_is_known():
    (known,) = view_run(busy_run({EAGER: range(0, 40, 2)})).tables
    (unknown,) = view_run(
        fabricate.run([workload(phases=(PHASE,))], [case("eager"), case("fused")], fabricate.noisy_turns({0: 1e-4}))
    ).tables

    assert "undisturbed" in cost_table(known, "disturbance").headings
    assert cost_table(unknown, "disturbance").rows == ()


def test_a_baseline_keeps_that_a_row_is_unstable_and_why():
    made = busy_run({EAGER: range(3, ROUNDS)})
    kept = rows(condense(made))["eager"]

    assert (kept.status, kept.reason) == (Status.UNSTABLE, rows(made)["eager"].reason)
    assert kept.speedup is None
    assert kept.median_s == pytest.approx(rows(made)["eager"].median_s)


def test_a_baseline_keeps_an_unstable_row_that_has_no_time_at_all():
    made = busy_run({EAGER: range(ROUNDS)})
    kept = rows(condense(made))["eager"]

    assert (kept.status, kept.median_s) == (Status.UNSTABLE, None)
    assert kept.reason == rows(made)["eager"].reason


@pytest.mark.parametrize("left", [3, 0])
def test_a_check_calls_an_unstable_row_inconclusive_on_either_side(left):
    quiet = busy_run({}, processes=3, run_id="quiet")
    busy = busy_run({EAGER: range(left, ROUNDS)}, processes=3, run_id="busy")

    for base, head in ((quiet, busy), (busy, quiet), (condense(busy), quiet), (quiet, condense(busy))):
        (row,) = compare_runs(base, head).rows
        assert row.verdict is Verdict.INCONCLUSIVE
        assert "unstable" in row.reason
        assert f"{left} of 40 rounds" in row.reason or f"{3 * left} of 120 rounds" in row.reason


def test_condensed_runs_of_before_have_no_unstable_rows():
    cases = small.suite(1)
    run = small.run(cases, small.found(cases, {1: [0.1, 0.1, 0.1]}))

    assert {row.status for row in summarize(run) if row.median_s is not None} == {Status.OK}
