"""What the plots are drawn from: each point's place, samples and readings put together without losing any."""

import json

import numpy as np
import pytest
from fabricate import batch_run, case, everything, noisy_turns, run, turn, wide_run, workload
from golden_files import expected
from hypothesis import given
from hypothesis import strategies as st

from lnbench.condition_points import condition_points_table
from lnbench.evidence import Evidence
from lnbench.observed import Conditions
from lnbench.points import place_names, points_table
from lnbench.render.plots.datasets import point_records, spread_out
from lnbench.render.plots.palette import looks
from lnbench.sample_points import LEAST_BINS, MOST_BINS, sample_points_table
from lnbench.tables import samples_table
from lnbench.view import view_run


def records(table):
    """A table as a list of dicts."""
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def test_the_points_of_a_run_are_as_expected():
    made = [{name: short(value) for name, value in it.items()} for it in points_of(everything())]
    text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in made)

    assert text == expected("points.jsonl", text)


def points_of(made):
    """The records of a run's points."""
    return point_records(view_run(made), looks([planned.title for planned in made.header.cases]))


def short(value):
    """Six digits: the last bits of exp and log differ from one C library to another."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def test_a_workload_s_short_name_leaves_out_what_all_have_in_common():
    planned = [workload((8, 768)), workload((16, 768)), workload((16, 768), dtype="bfloat16", param_dtype="bfloat16")]

    assert place_names(planned) == ["8x768 float32", "16x768 float32", "16x768 bfloat16"]
    assert place_names(planned[:2]) == ["8x768", "16x768"]
    assert place_names([]) == []


def test_a_label_stands_before_the_short_name():
    assert place_names([workload((8, 768), label="tiny"), workload((16, 768))]) == ["tiny: 8x768", "16x768"]


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["float32", "bfloat16"])), unique=True))
def test_no_two_workloads_have_the_same_short_name(chosen):
    planned = [workload((rows, 64), dtype=dtype) for rows, dtype in chosen]

    assert len(set(place_names(planned))) == len(chosen)


def test_a_case_that_failed_has_a_point_with_its_status_where_another_has_a_time():
    found = records(points_table(view_run(everything())))
    statuses = {it["implementation"]: it["status"] for it in found if it["order"] == 0}

    assert (statuses["shifted"], statuses["crashing"], statuses["odd"]) == ("wrong", "crash", "unsupported")
    assert all(it["median_s"] is None for it in found if it["status"] == "wrong")


def test_a_workload_of_which_nothing_was_measured_has_no_points():
    found = records(points_table(view_run(everything())))

    assert "2x64/float32/cuda:7" in [planned.id for planned in everything().header.workloads]
    assert "2x64/float32/cuda:7" not in {it["workload"] for it in found}


def test_workloads_that_differ_in_their_batch_size_alone_belong_together():
    found = records(points_table(view_run(batch_run())))

    assert {it["batch_of"] for it in found} == {"Nx1024"}
    assert sorted({it["batch"] for it in found}) == [1, 2, 4, 8, 16, 32, 64]


def test_two_batch_sizes_are_too_few_for_a_line():
    made = run([workload((8, 64)), workload((16, 64))], [case("fused"), case("fused", of=1)], [turn(0, 1e-4)])

    assert {it["batch_of"] for it in records(points_table(view_run(made)))} == {""}


def test_few_samples_are_plotted_as_they_are():
    made = run([workload()], [case("fused"), case("eager")], noisy_turns({0: 1e-4, 1: 2e-4}, rounds=20))
    found = [it for it in records(sample_points_table(Evidence(made))) if it["phase"] == "inference"]
    raw = [it for it in records(samples_table(made)) if it["phase"] == "inference"]

    for number, name in enumerate(("fused", "eager")):
        own = {it["round"]: it["sample_s"] for it in raw if it["implementation"] == name}
        assert {it["round"]: it["median_s"] for it in found if it["case"] == number} == own
        assert all(it["low_s"] == it["median_s"] == it["high_s"] for it in found)


def test_several_turns_of_a_round_are_one_point_that_spans_them():
    turns = [turn(0, seconds, round=0, started_s=seconds) for seconds in (3e-4, 1e-4, 2e-4)]
    (found,) = sample_points_table(Evidence(run([workload(phases=("inference",))], [case("fused")], turns))).rows

    assert found == (0, "inference", 0, 0, 3, 2e-4, 1e-4, 3e-4)


@given(rounds=st.integers(1, 400), processes=st.integers(1, 3))
def test_every_sample_is_counted_in_one_point(rounds, processes):
    turns = [
        turn(0, 1e-4 + number, round=number, process=process)
        for process in range(processes)
        for number in range(rounds)
    ]
    made = run([workload(phases=("inference",))], [case("fused")], turns)
    found = records(sample_points_table(Evidence(made), most=1))

    assert sum(it["samples"] for it in found) == rounds * processes
    assert len(found) == processes * min(rounds, LEAST_BINS)
    assert max(it["high_s"] for it in found) == pytest.approx(1e-4 + rounds - 1)


def test_a_line_never_has_more_points_than_a_screen_can_show():
    turns = [turn(0, 1e-4, round=number) for number in range(1000)]
    found = sample_points_table(Evidence(run([workload(phases=("inference",))], [case("fused")], turns)))

    assert len(found.rows) == MOST_BINS


def test_many_lines_share_the_points_that_a_page_can_hold():
    made = wide_run(workloads=10, implementations=8, processes=2, rounds=60)
    found = sample_points_table(Evidence(made), most=10_000)

    assert 0.5 * 10_000 < len(found.rows) <= 10_000


def look(number, *, process=0, **readings):
    """What was read after one round."""
    return Conditions(
        process=process, workload=0, first_round=number, last_round=number, seconds=0.1, readings=readings
    )


def test_readings_stand_at_the_second_of_their_last_turn_and_counts_become_rates():
    turns = [turn(0, 1e-4, round=number, started_s=2.0 * number) for number in range(4)]
    looks = [look(number, involuntary_switches=3.0, load=0.5 * number) for number in range(4)]
    found = records(condition_points_table(Evidence(run([workload()], [case("fused")], [*turns, *looks]))))

    assert [(it["second"], it["value"]) for it in found if it["reading"] == "load"] == [
        (0, 0),
        (2, 0.5),
        (4, 1),
        (6, 1.5),
    ]
    assert [it["value"] for it in found if it["reading"].startswith("preemptions")] == pytest.approx([30.0] * 4)


def test_a_reading_that_stayed_at_nothing_has_no_plot():
    looks = [look(number, steal_share=0.0, load=1.0) for number in range(4)]
    found = records(condition_points_table(Evidence(run([workload()], [case("fused")], [turn(0, 1e-4), *looks]))))

    assert {it["reading"] for it in found} == {"load"}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.floats(0.1, 3))
def test_names_at_the_ends_of_lines_keep_their_order_and_their_distance(values, gap):
    placed = spread_out(values, gap=gap, low=0, high=100)
    order = np.argsort(values, kind="stable")

    assert len(placed) == len(values)
    assert all(np.diff(np.array(placed)[order]) >= gap * (1 - 1e-6))
    if gap * (len(values) - 1) <= 100:
        assert min(placed) >= -1e-6
        assert max(placed) <= 100 + 1e-6


def test_a_name_that_has_room_stands_where_its_line_ends():
    assert spread_out([10.0, 50.0, 90.0], gap=5, low=0, high=100) == [10.0, 50.0, 90.0]
