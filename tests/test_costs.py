"""What rows cost beside time: accuracy, compiling, limits, conditions, from events made of plain numbers."""

import math

import numpy as np
import pytest
from fabricate import case, memory_use, noisy_turns, run, turn, workload
from hypothesis import given
from hypothesis import strategies as st

from lnbench.break_even import calls_to_pay
from lnbench.condense import condense
from lnbench.costs import limited_by
from lnbench.events import PROBE_CASE, Built, HardInputs, Verified, WorkerStarted
from lnbench.observed import Conditions
from lnbench.planned import Status
from lnbench.ratios import Share
from lnbench.summaries import summarize
from lnbench.workload import Phase


def rows_of(cases, events, **axes):
    """The rows of one workload, by implementation and phase."""
    made = run([workload(**axes)], cases, events)
    return {(row.implementation, row.phase): row for row in summarize(made)}


def only(events, *, phase=Phase.FORWARD_BACKWARD, **axes):
    return rows_of([case("fused")], events, **axes)["fused", phase]


def verified(errors, *, repeats=None, process=0):
    return Verified(
        process=process, case=0, moment="before", max_relative_error=errors, share_of_tolerance={}, repeats=repeats
    )


def test_errors_are_told_in_units_of_the_dtype_s_epsilon():
    events = [turn(0, 1e-4), verified({"y": 2**-22, "inference_y": 2**-21, "dx": 2**-23}), verified({"dx": 2**-20})]
    row = only(events, dtype="float32")

    assert (row.y_error_eps, row.dx_error_eps, row.dweight_error_eps) == (4, 8, None)
    assert row.max_relative_error == 2**-20


def test_a_new_residual_counts_to_y_and_the_residual_s_gradient_to_dx():
    row = only([turn(0, 1e-4), verified({"y": 2**-22, "new_residual": 2**-20, "dx": 2**-22, "dresidual": 2**-21})])

    assert (row.y_error_eps, row.dx_error_eps) == (8, 4)


def test_16_bit_errors_have_the_epsilon_of_16_bits_and_hard_inputs_that_of_their_own_judgement():
    hard = HardInputs(process=0, case=0, dtype="float32", max_relative_error={"constant rows": {"y": 2**-20, "dx": 0}})
    row = only([turn(0, 1e-4), verified({"y": 2**-7}), hard], dtype="bfloat16", param_dtype="bfloat16")

    assert row.y_error_eps == 1
    assert row.hard_error_eps == 8


@pytest.mark.parametrize(("repeats", "told"), [([True, True], True), ([True, False], False), ([None], None)])
def test_backward_repeats_only_if_it_always_did(repeats, told):
    events = [turn(0, 1e-4), *(verified({"y": 0.0}, repeats=it, process=n) for n, it in enumerate(repeats))]

    assert only(events).repeats is told


@pytest.mark.parametrize(
    ("launch", "faults", "copy", "limit"),
    [
        ((0.0, 0.0), 0.0, 50.0, ""),
        ((0.0, 0.0), 0.0, 70.0, "bandwidth-bound"),
        ((0.5, 0.6), 0.0, 90.0, "launch-bound"),
        ((0.3, 0.3), 0.0, 90.0, ""),
        ((0.9, 0.9), 0.5, 90.0, "page-fault-bound"),
        ((0.49, 0.49), 0.49, None, ""),
    ],
)
def test_what_takes_half_of_the_time_limits_a_row(launch, faults, copy, limit):
    assert limited_by(launch_share=Share(*launch), least_fault_share=faults, least_percent_of_copy=copy) == limit


@pytest.mark.parametrize("launch", [(0.0, 0.3), (0.4, 0.6), (0.0, 1.0)])
def test_a_share_whose_interval_reaches_the_limit_from_either_side_says_nothing_of_the_row(launch):
    assert limited_by(launch_share=Share(*launch), least_fault_share=0.0, least_percent_of_copy=90.0) == ""


def started(fault_s):
    return WorkerStarted(process=0, worker=0, device="cpu", device_name="CPU", import_s=1.0, fault_s=fault_s)


def test_page_faults_that_take_half_of_the_time_are_named_with_what_helps():
    turns = [turn(0, 1e-4, round=at, faults={"inference": 600.0, "step": 0.0}) for at in range(8)]
    events = [started(1e-7), *turns]
    slow, quick = only(events, phase=Phase.INFERENCE), only(events)

    assert slow.limited_by == "page-fault-bound"
    assert quick.limited_by == ""
    (text,) = [notice.text for notice in slow.notices if notice.code == "page-fault-bound"]
    assert "600 page faults an inference are about 60 %" in text
    assert "allocator: retained" in text


def test_page_faults_of_a_time_that_is_not_known_well_enough_are_not_called_its_limit():
    events = [started(1e-7), *(turn(0, 1e-4, round=at, faults={"inference": 600.0, "step": 0.0}) for at in range(3))]
    slow = only(events, phase=Phase.INFERENCE)

    assert (slow.limited_by, slow.notices) == ("", ())


def probed(launch_s, *, copy_s=1e-5, rounds=8):
    """A case of 1 ms beside a probe whose copies of all bytes and of one element take these times, round by round."""
    return [
        made
        for at in range(rounds)
        for made in (
            turn(0, 1e-3, round=at),
            turn(
                PROBE_CASE,
                0,
                round=at,
                wall_s={"copy": copy_s, "step_copy": 2 * copy_s, "launch": launch_s[at % len(launch_s)]},
            ),
        )
    ]


@pytest.mark.parametrize(
    ("launch_s", "rounds", "limit"),
    [
        ([0.6e-5], 8, "launch-bound"),
        ([0.4e-5], 8, ""),
        ([0.6e-5], 4, ""),  # too few for an interval
        ([0.9e-5, 0.2e-5, 0.9e-5, 0.2e-5, 0.9e-5], 40, ""),  # the median is above a half, its interval is not
    ],
)
def test_a_workload_whose_copy_is_mostly_launch_is_launch_bound(launch_s, rounds, limit):
    assert only(probed(launch_s, rounds=rounds)).limited_by == limit


def fast_rows(copy_s, *, launch_s=1e-7, cache="hot", spread=1.0):
    """An inference of 0.1 ms whose copy takes these times, one round after the other, times a spread."""
    shifts = np.random.default_rng(3).normal(0, math.log(spread), len(copy_s))
    shifts = np.exp(shifts - np.median(shifts))
    copies = [
        turn(PROBE_CASE, 0, round=at, wall_s={"copy": float(it), "launch": launch_s})
        for at, it in enumerate(np.array(copy_s) * shifts)
    ]
    turns = [turn(0, 1e-4, round=at) for at in range(len(copy_s))]
    return only([*turns, *copies], phase=Phase.INFERENCE, cache=cache)


def codes(row):
    return {notice.code for notice in row.notices}


@pytest.mark.parametrize(
    ("row", "noticed"),
    [
        (lambda: fast_rows([2e-4] * 8), True),
        (lambda: fast_rows([2e-4] * 5), False),  # too few rounds for an interval
        (lambda: fast_rows([2e-4] * 12, spread=10.0), False),  # the interval reaches below the copy
        (lambda: fast_rows([2e-4] * 8, launch_s=1.2e-4), False),  # the copy is mostly its own call
        (lambda: fast_rows([2e-4] * 8, launch_s=0.8e-4), False),  # a good part of it
        (lambda: fast_rows([2e-4] * 8, launch_s=0.2e-4), True),
    ],
)
def test_more_than_the_copy_s_bandwidth_is_noticed_only_where_the_interval_lies_above_and_the_copy_moves_bytes(
    row, noticed
):
    found = row()

    assert found.percent_of_copy > 115
    assert ("beats-copy" in codes(found)) is noticed


def test_a_row_is_bandwidth_bound_only_where_the_interval_of_its_share_lies_above_the_limit():
    assert fast_rows([1e-4] * 8).limited_by == "bandwidth-bound"
    assert fast_rows([1e-4] * 5).limited_by == ""
    assert fast_rows([1e-4] * 12, spread=10.0).limited_by == ""


def test_a_step_is_held_against_a_copy_of_its_own_working_set():
    turns = [turn(0, 1e-3, round=step) for step in range(4)]
    copies = [
        turn(PROBE_CASE, 0, round=step, wall_s={"copy": 1e-4, "step_copy": 4e-4, "launch": 1e-7}) for step in range(4)
    ]
    rows = rows_of([case("fused")], [*turns, *copies])
    step, inference = rows["fused", Phase.FORWARD_BACKWARD], rows["fused", Phase.INFERENCE]

    per_byte = {"step": 4e-4 / 4, "inference": 1e-4 / 2}  # of 4 and of 2 times x
    x_b = 256 * 768 * 4
    assert step.percent_of_copy == pytest.approx(100 * step.minimum_bytes / x_b * per_byte["step"] / step.median_s)
    assert inference.percent_of_copy == pytest.approx(
        100 * inference.minimum_bytes / x_b * per_byte["inference"] / inference.median_s
    )


def card(device, *, process=0, **bus):
    return WorkerStarted(process=process, worker=process, device=device, device_name="a card", import_s=1.0, **bus)


H100 = {"memory_clock_hz": 2.619e9, "memory_bus_bits": 5120}


@pytest.mark.parametrize(
    ("device", "workers", "peak"),
    [
        ("cuda", [card("cuda", **H100)], 3352.32e9),
        ("cuda", [card("cuda:1", memory_clock_hz=1e9, memory_bus_bits=64), card("cuda", **H100)], 3352.32e9),
        ("cuda", [card("cuda"), card("cuda", process=1, **H100)], 3352.32e9),
        ("cuda", [card("cuda", memory_clock_hz=2.619e9)], None),
        ("cuda", [card("cuda", memory_bus_bits=5120)], None),
        ("cuda", [], None),
        ("cpu", [card("cpu"), card("cuda", **H100)], None),
    ],
)
def test_the_share_of_peak_is_of_two_transfers_per_clock_over_the_bus_of_the_row_s_device(device, workers, peak):
    row = only([*workers, *(turn(0, 1e-4, round=step) for step in range(4))], device=device)

    assert row.percent_of_peak == (
        None if peak is None else pytest.approx(100 * row.minimum_bytes / row.median_s / peak)
    )
    assert row.gb_per_s is not None


def compiled_run(compiled_s, *, first_call_s=20.0, rounds=40):
    """A compiled case beside fused and eager: 100 and 300 us a step."""
    events = [
        Built(process=0, case=0, build_s=0.0, first_call_s=first_call_s, compiled_cold=True, graphs=2),
        Built(process=0, case=1, build_s=0.0, first_call_s=0.0),
        Built(process=0, case=2, build_s=0.0, first_call_s=0.0),
        *noisy_turns({0: compiled_s, 1: 1e-4, 2: 3e-4}, rounds=rounds, noise=0.001),
    ]
    return rows_of([case("compiled"), case("fused"), case("eager")], events)["compiled", Phase.FORWARD_BACKWARD]


def test_compiling_pays_off_after_its_first_call_over_what_each_call_saves():
    row = compiled_run(0.5e-4)

    saved_s = row.median_s  # half of the reference's time
    assert row.break_even_calls == pytest.approx(20 / saved_s, rel=0.02)
    assert row.break_even_calls_eager == pytest.approx(20 / (5 * saved_s), rel=0.02)


def test_what_is_slower_never_pays_off():
    row = compiled_run(2e-4)

    assert row.break_even_calls == math.inf
    assert row.break_even_calls_eager < math.inf


def test_what_is_not_known_to_be_faster_or_slower_has_no_break_even():
    row = compiled_run(1e-4)

    assert row.speedup_low < 1 < row.speedup_high
    assert row.break_even_calls is None


def test_what_is_not_known_to_be_faster_or_slower_than_eager_has_no_break_even_against_it():
    assert compiled_run(3e-4).break_even_calls_eager is None
    assert compiled_run(3.3e-4).break_even_calls_eager == math.inf


def test_too_few_rounds_give_no_break_even():
    row = compiled_run(0.5e-4, rounds=4)

    assert (row.break_even_calls, row.break_even_calls_eager) == (None, None)


def test_what_is_not_compiled_has_no_break_even():
    events = [Built(process=0, case=0, build_s=0.0, first_call_s=1.0), turn(0, 1e-4)]

    assert only(events).break_even_calls is None


@given(st.floats(1e-3, 1e3), st.floats(1e-9, 1.0))
def test_one_call_fewer_has_not_paid_off(extra_s, saved_s):
    calls = calls_to_pay(extra_s=extra_s, saved_s=saved_s)

    assert calls * saved_s >= extra_s * (1 - 1e-9)
    assert (calls - 1) * saved_s < extra_s * (1 + 1e-9)


def test_no_extra_cost_is_paid_at_once_and_no_saving_never_pays():
    assert calls_to_pay(extra_s=-1.0, saved_s=-1.0) == 0
    assert calls_to_pay(extra_s=1.0, saved_s=0.0) == math.inf


def test_memory_is_told_by_phase_and_nothing_is_saved_by_an_inference():
    events = [turn(0, 1e-4), memory_use(0, peak_b=300, output_b=100, saved_b=50, temporary_b=7)]
    step, inference = only(events), only(events, phase=Phase.INFERENCE)

    assert (step.peak_memory_bytes, step.output_bytes, step.saved_bytes, step.temporary_bytes) == (300, 100, 50, 7)
    assert (inference.peak_memory_bytes, inference.saved_bytes) == (300, None)


def test_memory_that_autograd_does_not_know_of_is_noticed():
    use = memory_use(0, peak_b=300, output_b=100, saved_b=0, temporary_b=0).model_copy(update={"kept_b": 4000})

    codes = {notice.code for notice in only([turn(0, 1e-4), use]).notices}

    assert "kept-memory" in codes


def look(number, **readings):
    return Conditions(
        process=0, workload=0, first_round=number, last_round=number, seconds=0.5, readings=readings, throttling=()
    )


def test_conditions_are_summed_over_time_or_told_by_their_median():
    turns = [turn(0, 1e-4, round=step) for step in range(4)]
    looks = [
        look(0, steal_share=0.1, involuntary_switches=10, load=1.0, temperature_c=50),
        look(1, steal_share=0.2, involuntary_switches=30, load=3.0, temperature_c=60),
    ]
    row = only([*turns, *looks])

    assert row.steal_percent == pytest.approx(15)
    assert row.involuntary_switches_per_s == 40
    assert (row.load, row.temperature_c, row.quota_percent, row.dropped_rounds) == (2.0, 60, None, 0)


def test_an_unstable_row_stays_unstable_in_a_compact_baseline():
    turns = [turn(0, 1e-4, round=step) for step in range(8)]
    made = run([workload()], [case("fused")], [*turns, *(look(step, throttled_s=0.1) for step in range(4))])

    (before, *_), (after, *_) = summarize(made), summarize(condense(made))

    assert before.status is after.status is Status.UNSTABLE
    assert before.reason == after.reason
    assert after.median_s == before.median_s


@pytest.mark.parametrize(("cache", "noticed"), [("cold", True), ("hot", False)])
def test_more_than_105_percent_of_a_cold_copy_is_noticed(cache, noticed):
    steps = range(8)
    copies = [turn(PROBE_CASE, 0, round=step, wall_s={"copy": 1.1e-4}) for step in steps]
    row = only([*(turn(0, 1e-4, round=step) for step in steps), *copies], phase=Phase.INFERENCE, cache=cache)

    assert row.percent_of_copy == pytest.approx(110, rel=0.01)
    assert ("beats-copy" in {notice.code for notice in row.notices}) is noticed


def test_the_mode_of_denormals_is_told():
    quick = started(1e-7).model_copy(update={"flushes_denormals": True})

    assert only([quick, turn(0, 1e-4)]).flushes_denormals is True
    assert only([started(1e-7), turn(0, 1e-4)]).flushes_denormals is None
