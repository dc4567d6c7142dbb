"""The timing mistakes of order and of statistics, 12 to 14: turns, the one statistic, and what counts as evidence."""

from itertools import pairwise

import numpy as np
import pytest
import zoo
from fabricate import case, noisy_turns, run, turn
from fabricate import workload as planned_workload
from hypothesis import given
from hypothesis import strategies as st
from stage import ScriptedSampler, cases, timed, workload

from lnbench.events import PROBE_CASE
from lnbench.measure.sampler import HostSampler
from lnbench.render.markdown import render_report
from lnbench.summaries import summarize
from lnbench.tables import results_table
from lnbench.view import HOW_TO_READ, view_run
from lnbench.worker.turns import TurnOrder
from lnbench.workload import Phase

pytestmark = pytest.mark.usefixtures("one_thread")


def everything_with(reference, count):
    """All other cases are compared with one."""
    return {case: reference for case in range(count) if case != reference}


@given(st.integers(2, 9), st.integers(0, 2**31), st.booleans())
def test_mistake_12_turns_are_counterbalanced_within_each_pair_of_rounds(count, seed, with_reference):
    order = TurnOrder(range(count), references=everything_with(0, count) if with_reference else {}, seed=seed)
    short = dict.fromkeys(range(count), 1e-3)

    first, second = order.next_round(short), order.next_round(short)

    assert sorted(first) == list(range(count))
    assert second == first[::-1]


def test_mistake_12_over_many_rounds_every_case_comes_first_and_follows_every_other():
    order = TurnOrder(range(4), references=everything_with(0, 4), seed=1)
    rounds = [order.next_round(dict.fromkeys(range(4), 1e-3)) for _ in range(400)]

    firsts = [sum(found[0] == number for found in rounds) for number in range(4)]
    follows = {(before, after) for found in rounds for before, after in pairwise(found)}

    assert min(firsts) > 60  # 100 expected, with a standard deviation of 12 for 200 shuffles taken twice
    assert len(follows) == 12


@given(st.integers(1, 6), st.integers(0, 2**31), st.lists(st.floats(1e-4, 0.3), min_size=12, max_size=12))
def test_mistake_12_two_versions_stand_side_by_side_in_every_round(pairs, seed, turns_s):
    old, new = list(range(0, 2 * pairs, 2)), list(range(1, 2 * pairs, 2))
    order = TurnOrder([*old, *new], references=dict(zip(new, old, strict=True)), seed=seed)

    rounds = [order.next_round(dict(enumerate(turns_s))) for _ in range(4)]

    for found in rounds:
        assert sorted(found) == list(range(2 * pairs))
        assert all(abs(found.index(one) - found.index(other)) == 1 for one, other in zip(old, new, strict=True))
    assert rounds[1] == rounds[0][::-1]


def test_a_case_whose_reference_is_dropped_goes_on_by_itself():
    order = TurnOrder(range(4), references={1: 0, 3: 2}, seed=1)

    order.drop(0)

    assert sorted(order.next_round({})) == [1, 2, 3]


@given(st.lists(st.floats(1e-4, 0.2), min_size=3, max_size=12), st.integers(0, 2**31))
def test_mistake_12_what_is_compared_stands_close_in_time_in_long_rounds(turns_s, seed):
    expected = dict(enumerate(turns_s))
    room = max(0.1, 3 * expected[0])

    found = TurnOrder(range(len(turns_s)), references=everything_with(0, len(turns_s)), seed=seed).next_round(expected)

    gap = 0.0
    for before, number in zip([None, *found], found, strict=False):
        gap = 0.0 if number == 0 else gap + expected[number]
        assert gap <= room or before in {0, None}


def test_mistake_12_every_case_takes_a_turn_in_every_round_and_the_probe_in_every_fourth():
    made, heard = cases({"a": zoo.honest, "b": "fused", "c": "eager"}, workload(8, 16))
    made.build_all()

    turns = timed(made, heard, ScriptedSampler(), rounds=4, reference=1)

    by_round = [[turn.case for turn in turns if turn.round == n] for n in range(4)]
    without_probe = [[case for case in found if case != PROBE_CASE] for found in by_round]
    assert [PROBE_CASE in found for found in by_round] == [True, False, False, False]
    assert all(sorted(found) == [0, 1, 2] for found in without_probe)
    assert without_probe[1] == without_probe[0][::-1]
    assert without_probe[3] == without_probe[2][::-1]


def test_mistake_13_one_statistic_the_median_of_all_samples_is_shown_everywhere():
    seconds = [100e-6] * 20 + [900e-6, 1e-3, 50e-6]
    made = run(
        [planned_workload(phases=(Phase.INFERENCE,))],
        [case("fused")],
        [turn(0, s, round=n, started_s=n) for n, s in enumerate(seconds)],
    )

    (row,) = summarize(made)
    report = render_report(view_run(made))

    assert row.median_s == pytest.approx(float(np.median(seconds)))
    assert row.samples == len(seconds)  # none trimmed
    assert row.min_s == min(seconds)
    assert "mean_s" not in results_table(made).dtypes
    assert "the median" in HOW_TO_READ
    assert "| fused | 100.0 µs" in report
    assert HOW_TO_READ in report


def test_mistake_14_samples_of_one_process_do_not_narrow_what_processes_disagree_on():
    fused = planned_workload(phases=(Phase.INFERENCE,))
    true_s = {0: 100e-6, 1: 100e-6}

    def speedup(rounds):
        turns = noisy_turns(true_s, processes=4, rounds=rounds, between=0.2, seed=4)
        return summarize(run([fused], [case("eager"), case("fused")], turns))[0]

    few, many = speedup(30), speedup(300)
    medians = [
        np.log(np.median([t.wall_s["inference"] for t in turns if t.case == 1 and t.process == process]))
        - np.log(np.median([t.wall_s["inference"] for t in turns if t.case == 0 and t.process == process]))
        for turns in [list(noisy_turns(true_s, processes=4, rounds=300, between=0.2, seed=4))]
        for process in range(4)
    ]

    half_width = np.log(many.speedup_high / many.speedup_low) / 2
    # Student's t for four processes: 3.18 standard errors of their medians.
    assert half_width == pytest.approx(3.18 * np.std(medians, ddof=1) / 2, rel=0.05)
    assert few.processes == many.processes == 4


def test_mistake_14_a_result_of_one_process_says_so():
    fused = planned_workload()

    report = render_report(view_run(run([fused], [case("fused")], noisy_turns({0: 1e-4}))))

    assert "one process: intervals hold for it alone" in report


def test_mistake_14_parts_add_in_every_sample_and_the_tables_say_that_medians_do_not():
    made, heard = cases({"fused": "fused"}, workload(8, 16))
    made.build_all()

    turns = timed(made, heard, HostSampler(), rounds=5)

    for found in (made.wall_s for made in turns if made.case == 0):
        assert found["forward_backward"] == found["forward"] + found["backward"]
    assert "medians do not add" in HOW_TO_READ
