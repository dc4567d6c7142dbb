"""What is derived from a run's raw samples: one summary per case, phase and clock."""

import math
from itertools import product

import fabricate
import pytest
from fabricate import case, ended, everything, finished, noisy_turns, run, turn, workload

from lnbench.events import PROBE_CASE, Built, Noticed, RunFinished, Verified
from lnbench.observed import DeviceMemory
from lnbench.planned import Notice, Status
from lnbench.record import Run
from lnbench.row_summary import RowSummary
from lnbench.summaries import summarize
from lnbench.workload import Clock, Phase

FUSED_AND_EAGER = [case("fused"), case("eager")]


def row(made: Run, implementation: str, phase=Phase.FORWARD, clock=Clock.WALL, **fields) -> RowSummary:
    """The one summary of a case, phase and clock."""
    wanted = {"implementation": implementation, "phase": phase, "clock": clock, **fields}
    (found,) = (
        summary for summary in summarize(made) if all(getattr(summary, name) == value for name, value in wanted.items())
    )
    return found


def codes(summary: RowSummary) -> list[str]:
    """The codes of a summary's notices."""
    return [notice.code for notice in summary.notices]


def test_every_planned_case_has_a_row_for_each_phase_and_clock_also_when_it_failed():
    made = everything()
    expected = {
        (planned.workload, planned.implementation, planned.norm_mode, phase, clock)
        for planned in made.header.cases
        for phase, clock in product(
            made.header.workloads[planned.workload].phases, made.header.workloads[planned.workload].clocks
        )
    }
    ids = [planned.id for planned in made.header.workloads]

    found = [(ids.index(s.workload), s.implementation, s.norm_mode, s.phase, s.clock) for s in summarize(made)]

    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("status", [status for status in Status if not status.has_times])
def test_a_status_without_times_empties_all_rows_of_its_case_though_it_took_turns(status):
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), ended(1, status, "because")]
    summary = row(run([workload()], FUSED_AND_EAGER, events), "eager")

    assert (summary.status, summary.reason) == (status, "because")
    assert summary.median_s is summary.speedup is summary.gb_per_s is None
    assert summary.samples == 0


def test_an_unstable_case_keeps_its_times_and_has_no_speedup():
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), ended(1, Status.UNSTABLE, "half of the rounds were spoiled")]
    summary = row(run([workload()], FUSED_AND_EAGER, events), "eager")

    assert summary.status is Status.UNSTABLE
    assert summary.median_s == pytest.approx(2e-4, rel=0.02)  # 40 rounds of 1 % noise: 2 % is beyond 6 standard errors
    assert summary.speedup is summary.speedup_low is None


def test_the_reason_of_an_unstable_row_is_why_it_has_no_speedup_and_its_reference_is_not_blamed():
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), ended(1, Status.UNSTABLE, "half of the rounds were spoiled")]

    assert "reference-not-ok" not in codes(row(run([workload()], FUSED_AND_EAGER, events), "eager"))


def test_beside_an_unstable_reference_times_stand_and_a_notice_says_why_there_is_no_speedup():
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), ended(0, Status.UNSTABLE, "half of the rounds were spoiled")]
    made = run([workload()], FUSED_AND_EAGER, events)
    summary = row(made, "eager")

    assert (summary.status, summary.speedup) == (Status.OK, None)
    assert summary.median_s is not None
    assert Notice(code="reference-not-ok", text="no speedups: the reference, fused, is unstable") in summary.notices
    assert row(made, "fused").speedup is None


def test_a_crash_counts_before_the_instability_that_came_first():
    events = [ended(1, Status.UNSTABLE, "spoiled"), ended(1, Status.CRASH, "died", process=1)]

    assert row(run([workload()], FUSED_AND_EAGER, events), "eager").status is Status.CRASH


def test_a_case_that_an_interrupted_run_did_not_reach_is_skipped_and_says_so():
    summary = row(run([workload()], FUSED_AND_EAGER, noisy_turns({0: 1e-4})), "eager")

    assert (summary.status, summary.reason) == (Status.SKIPPED, "the run ended before this case was measured")


def test_a_clock_without_samples_is_skipped_for_that_row_only():
    made = run([workload(clocks=fabricate.BOTH_CLOCKS)], FUSED_AND_EAGER, noisy_turns({0: 1e-4, 1: 2e-4}))

    assert row(made, "eager").status is Status.OK
    assert row(made, "eager", clock=Clock.DEVICE).reason == "no sample of forward on the device clock"


def test_speedup_is_reference_time_over_implementation_time_with_an_interval_that_holds_the_truth():
    made = run([workload()], FUSED_AND_EAGER, noisy_turns({0: 1e-4, 1: 1.25e-4}, seed=5))
    summary = row(made, "eager")

    assert summary.speedup_low < 0.8 < summary.speedup_high
    assert summary.speedup == pytest.approx(0.8, rel=0.02)  # as above


def test_a_drift_that_all_share_does_not_reach_the_speedup():
    drifting = [
        turn(number, (1 + number) * 1e-4 * 1.05**step, round=step, started_s=step + 0.1 * number)
        for step in range(30)
        for number in (0, 1)
    ]

    summary = row(run([workload()], FUSED_AND_EAGER, drifting), "eager")

    assert (summary.speedup, summary.speedup_low, summary.speedup_high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_turn_is_paired_with_the_references_nearest_turn_in_its_round():
    turns = [turn(0, 1.0, started_s=0.0), turn(1, 4.0, started_s=9.0), turn(0, 2.0, started_s=10.0)]

    assert row(run([workload()], FUSED_AND_EAGER, turns), "eager").speedup == pytest.approx(0.5)


def test_the_references_own_row_reads_exactly_one():
    summary = row(everything(), "fused", workload="8x128x768/float32/cpu")

    assert (summary.speedup, summary.speedup_low, summary.speedup_high) == (1.0, 1.0, 1.0)


def test_each_norm_mode_is_compared_with_the_reference_in_the_same_mode():
    norm = {"function": "batch_norm"}
    modes = [case(name, norm_mode=mode, **norm) for name in ("native", "own") for mode in ("train", "eval")]
    true_s = {0: 1e-4, 1: 3e-4, 2: 2e-4, 3: 3e-4}
    made = run([workload(reference="native")], modes, noisy_turns(true_s, noise=0.0))

    found = [row(made, name, norm_mode=mode).speedup for name in ("native", "own") for mode in ("train", "eval")]

    assert found[:2] == [1.0, 1.0]
    assert found[2:] == pytest.approx([0.5, 1.0], rel=0.02)  # one sample in fifty is 30 % off


def test_a_case_without_modes_is_compared_with_the_references_first_mode():
    modes = [case("native", function="batch_norm", norm_mode=mode) for mode in ("train", "eval")]
    made = run([workload(reference="native")], [*modes, case("eager")], noisy_turns({0: 1e-4, 1: 3e-4, 2: 2e-4}))

    assert row(made, "eager").speedup == pytest.approx(0.5, rel=0.02)  # 6 standard errors


def test_where_the_reference_failed_times_stand_and_a_notice_says_why_there_is_no_speedup():
    events = [*noisy_turns({1: 2e-4}), ended(0, Status.OOM, "too large")]
    summary = row(run([workload()], FUSED_AND_EAGER, events), "eager")

    assert summary.median_s is not None
    assert summary.speedup is summary.speedup_low is None
    assert summary.notices == (Notice(code="reference-not-ok", text="no speedups: the reference, fused, ended as oom"),)


def test_turns_in_other_rounds_than_the_references_give_no_speedup():
    turns = [turn(0, 1.0, round=0), turn(1, 1.0, round=1)]
    summary = row(run([workload()], FUSED_AND_EAGER, turns), "eager")

    assert summary.speedup is None
    assert summary.notices[0].text.endswith("took no turn in the same rounds")


def test_forward_backward_is_the_samples_own_sum_and_medians_need_not_add():
    pairs = [(1.0, 9.0), (2.0, 3.0), (4.0, 2.0)]
    turns = [
        turn(0, 1.0, round=step, wall_s={"forward": f, "backward": b, "forward_backward": f + b})
        for step, (f, b) in enumerate(pairs)
    ]
    made = run([workload()], [case("fused")], turns)
    medians = [row(made, "fused", phase).median_s for phase in (Phase.FORWARD, Phase.BACKWARD, Phase.FORWARD_BACKWARD)]

    assert medians == pytest.approx([2.0, 3.0, 6.0])


def test_counts_say_how_many_processes_rounds_and_samples_stand_behind_a_row():
    turns = [turn(0, 1.0, process=p, round=r, started_s=s) for p in (0, 2) for r in range(3) for s in (0.0, 1.0)]
    summary = row(run([workload()], [case("fused")], turns), "fused")

    assert (summary.processes, summary.rounds, summary.samples) == (2, 6, 12)


def test_several_processes_are_the_unit_of_the_interval():
    plan = ([workload()], FUSED_AND_EAGER)
    one = row(run(*plan, noisy_turns({0: 1e-4, 1: 2e-4}, between=0.05)), "eager")
    three = row(run(*plan, noisy_turns({0: 1e-4, 1: 2e-4}, between=0.05, processes=3)), "eager")

    assert three.processes == 3
    assert three.speedup_high / three.speedup_low > one.speedup_high / one.speedup_low


def test_one_sample_has_a_median_and_no_bounds():
    summary = row(run([workload()], FUSED_AND_EAGER, [turn(0, 1.0), turn(1, 2.0)]), "eager")

    assert (summary.median_s, summary.min_s, summary.speedup) == pytest.approx((2.0, 2.0, 0.5))
    assert summary.low_s is summary.high_s is summary.speedup_low is summary.speedup_high is None


def test_a_sample_that_a_correction_left_without_time_is_not_counted():
    turns = [turn(0, 1.0, round=number) for number in range(30)]
    made = run([workload()], [case("fused")], [*turns, turn(0, 0.0, round=30)])

    assert row(made, "fused").samples == 30


def test_min_s_is_the_smallest_sample_of_any_process():
    turns = [turn(0, 3.0), turn(0, 2.0, round=1), turn(0, 1.5, process=1)]

    assert row(run([workload()], [case("fused")], turns), "fused").min_s == 1.5


def test_bandwidth_counts_the_minimum_bytes_and_is_held_against_the_copy_of_the_same_rounds():
    steps = range(20)
    speed = [1.0 if step % 2 else 3.0 for step in steps]  # the machine is three times slower every other round
    turns = [turn(0, 2e-5 * speed[step], round=step) for step in steps]
    copies = [turn(PROBE_CASE, 0, round=step, wall_s={"copy": 1e-5 * speed[step]}) for step in steps]
    summary = row(run([workload((256, 768))], [case("fused")], [*turns, *copies]), "fused", Phase.INFERENCE)
    moved = 2 * 256 * 768 * 4 + 2 * 768 * 4

    assert summary.minimum_bytes == moved
    assert summary.gb_per_s == pytest.approx(moved / summary.median_s / 1e9)
    assert summary.percent_of_copy == pytest.approx(100 * moved / (2 * 256 * 768 * 4) / 2)


def test_without_a_probe_the_percent_of_copy_is_empty():
    assert row(run([workload()], [case("fused")], [turn(0, 1e-4)]), "fused").percent_of_copy is None


def test_what_beats_the_copy_by_more_than_stores_explain_is_noticed():
    made = run([workload()], [case("fused")], noisy_turns({0: 1e-4}, copy_s=3e-4))

    assert "beats-copy" in codes(row(made, "fused"))


def test_bytes_of_batch_norm_say_which_bound_they_use():
    made = run(
        [workload((256, 768)), workload((65536, 768))],
        [case("bn", of=of, function="batch_norm", norm_mode="train") for of in (0, 1)],
        [],
    )

    assert codes(row(made, "bn", rows=256)) == ["ideal-bytes"]
    assert codes(row(made, "bn", rows=65536)) == ["practical-bytes"]


def test_a_row_of_another_function_than_the_references_says_so():
    made = everything()
    notice = Notice(code="another-function", text="computes batch_norm, the reference layer_norm")

    assert notice in row(made, "batch_norm").notices
    assert notice not in row(made, "compiled").notices


@pytest.mark.parametrize(("share", "noticed"), [(0.02, False), (0.05, True)])
def test_disposal_is_noticed_on_forward_backward_when_above_three_percent(share, noticed):
    made = run([workload()], [case("fused")], noisy_turns({0: 1e-4}, disposal=share))

    assert ("disposal" in codes(row(made, "fused", Phase.FORWARD_BACKWARD))) is noticed
    assert "disposal" not in codes(row(made, "fused", Phase.FORWARD))


def test_disposal_from_too_few_rounds_is_not_noticed():
    made = run([workload()], [case("fused")], noisy_turns({0: 1e-4}, disposal=0.05, rounds=4))

    assert "disposal" not in codes(row(made, "fused", Phase.FORWARD_BACKWARD))


@pytest.mark.parametrize(("share", "noticed"), [(0.9, False), (0.2, True)])
def test_a_row_whose_host_time_is_far_above_the_devices_is_launch_bound(share, noticed):
    planned = workload(clocks=fabricate.BOTH_CLOCKS)
    made = run([planned], [case("fused")], noisy_turns({0: 1e-4}, device_share=share))

    assert ("launch-bound" in codes(row(made, "fused", clock=Clock.DEVICE))) is noticed


@pytest.mark.parametrize(("seconds", "noticed"), [(3e-6, True), (9.9e-6, True), (12e-6, False)])
def test_short_times_on_the_devices_clock_say_that_launch_and_drain_are_in_them(seconds, noticed):
    events = noisy_turns({0: seconds}, noise=1e-4, device_share=1.0)
    made = run([workload(device="cuda", clocks=fabricate.BOTH_CLOCKS)], [case("fused")], events)

    device, wall = (codes(row(made, "fused", phase=Phase.FORWARD, clock=clock)) for clock in (Clock.DEVICE, Clock.WALL))

    assert ("launch-and-drain" in device) is noticed
    assert "launch-and-drain" not in wall


def test_too_few_rounds_call_no_row_launch_bound():
    planned = workload(clocks=fabricate.BOTH_CLOCKS)
    made = run([planned], [case("fused")], noisy_turns({0: 1e-4}, device_share=0.2, rounds=4))

    assert "launch-bound" not in codes(row(made, "fused", clock=Clock.DEVICE))


def test_notices_reach_their_case_their_workloads_cases_or_no_row_at_all():
    own, shared, general = (Notice(code=code, text=code) for code in ("own", "shared", "general"))
    events = [
        Noticed(notice=own, workload=0, case=1),
        Noticed(notice=own, workload=0, case=1),
        Noticed(notice=shared, workload=0),
        Noticed(notice=general),
    ]
    made = run([workload()], FUSED_AND_EAGER, events)

    assert codes(row(made, "fused")) == ["shared"]
    assert codes(row(made, "eager")) == ["shared", "own"]


def test_first_calls_are_told_apart_by_whether_they_compiled():
    events = [
        Built(process=0, case=0, build_s=0.1, first_call_s=20.0, compiled_cold=True),
        Built(process=1, case=0, build_s=0.1, first_call_s=2.0, compiled_cold=False),
        Built(process=2, case=0, build_s=0.1, first_call_s=3.0, compiled_cold=False),
        Built(process=0, case=1, build_s=0.1, first_call_s=0.5),
    ]
    made = run([workload()], FUSED_AND_EAGER, events)

    compiled, plain = row(made, "fused"), row(made, "eager")

    assert (compiled.cold_first_call_s, compiled.warm_first_call_s) == (20.0, 2.0)
    assert (plain.cold_first_call_s, plain.warm_first_call_s) == (None, 0.5)


@pytest.mark.parametrize(("worst", "shown"), [(3e-7, 3e-7), (math.inf, math.inf), (math.nan, math.inf)])
def test_the_relative_error_is_the_largest_over_tensors_and_moments(worst, shown):
    events = [
        Verified(process=0, case=0, moment=moment, max_relative_error={"y": 1e-7, "dx": error}, share_of_tolerance={})
        for moment, error in (("before", worst), ("after", 2e-7))
    ]

    assert row(run([workload()], [case("fused")], events), "fused").max_relative_error == shown


def test_page_faults_and_device_memory_are_kept():
    turns = [
        turn(0, 1.0, round=step, faults=faults)
        for step, faults in enumerate(({"step": 0.0}, {"step": 4.0}, {"step": 5.0}, {}))
    ]
    memory = [
        DeviceMemory(process=process, case=0, nvml_process_bytes=None, nvml_device_bytes=size)
        for process, size in enumerate((7, 9))
    ]
    summary = row(run([workload()], [case("fused")], [*turns, *memory]), "fused")

    assert summary.faults_per_call == 4.0
    assert (summary.nvml_process_bytes, summary.nvml_device_bytes) == (None, 9)


def test_the_rest_of_a_row_is_the_plan_and_the_machine():
    summary = row(everything(), "fused", workload="4096x4096/float32/cuda", clock=Clock.DEVICE)

    assert (summary.input_shape, summary.normalized_shape, summary.rows, summary.features) == (
        "4096x4096", "4096", 4096, 4096,
    )  # fmt: skip
    assert (summary.device_name, summary.torch_version) == ("NVIDIA Fabricated", "2.13.0")


def test_a_run_that_measured_nothing_still_has_its_rows():
    made = run([workload()], FUSED_AND_EAGER, [finished(rounds=0, stopped_by="nothing left"), RunFinished(wall_s=1)])

    assert {summary.status for summary in summarize(made)} == {Status.SKIPPED}


def test_what_the_call_through_a_module_adds_to_the_function_is_said_of_the_phases_that_pay_it():
    cases = [case("fused"), case("module")]
    made = run([workload((32, 128))], cases, noisy_turns({0: 7e-6, 1: 10e-6}))

    said = {phase for phase in Phase if "module-call" in codes(row(made, "module", phase))}
    notice = next(it for it in row(made, "module", Phase.INFERENCE).notices if it.code == "module-call")

    assert said == {Phase.INFERENCE, Phase.FORWARD}
    assert notice.text.startswith("the call through the module adds 2.7 µs (")
    assert notice.text.endswith("to the function's 6.3 µs of inference")


def test_nothing_is_said_of_a_module_s_call_where_it_can_t_be_told_from_the_function():
    cases = [case("fused"), case("module")]
    made = run([workload((32, 128))], cases, noisy_turns({0: 7e-6, 1: 7e-6}, noise=0.05))

    assert all("module-call" not in codes(row(made, "module", phase)) for phase in Phase)


def test_phases_that_a_case_does_not_have_are_unsupported_rows_with_its_reason_and_the_others_have_times():
    events = [
        *noisy_turns({0: 1e-4, 1: 2e-4}),
        Built(process=0, case=1, build_s=0.1, first_call_s=0.1, no_step="it computes no gradients"),
    ]
    made = run([workload()], FUSED_AND_EAGER, events)

    rows = {phase: row(made, "eager", phase) for phase in Phase}

    assert rows[Phase.INFERENCE].status is Status.OK
    for phase in (Phase.FORWARD, Phase.BACKWARD, Phase.FORWARD_BACKWARD):
        assert (rows[phase].status, rows[phase].reason) == (Status.UNSUPPORTED, "it computes no gradients")


def test_nothing_is_said_of_a_module_s_call_beside_a_long_function():
    cases = [case("fused"), case("module")]
    made = run([workload()], cases, noisy_turns({0: 7e-4, 1: 10e-4}))

    assert all("module-call" not in codes(row(made, "module", phase)) for phase in Phase)
