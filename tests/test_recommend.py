"""What to use: the fastest that is known to be, is right and stable; ties, costs, and when nothing is decided."""

import json

import pytest
from fabricate import (
    batch_run,
    case,
    ended,
    everything,
    finished,
    memory_use,
    noisy_turns,
    run,
    turn,
    wide_run,
    workload,
)
from golden_files import expected

from lnbench.analysis.recommend import Certainty, recommend, sentences
from lnbench.conductor.formats import RECOMMENDATION_FORMATS
from lnbench.events import Built
from lnbench.fastest import fastest_cases
from lnbench.planned import Status
from lnbench.summaries import summarize
from lnbench.view import view_run
from lnbench.workload import Phase

STEP = (Phase.FORWARD_BACKWARD,)


def recommended(true_s, *, names=("fused", "a", "b"), processes=3, extra=(), **noise):
    """What is recommended for a step, where cases take these times."""
    turns = noisy_turns(dict(enumerate(true_s)), **{"processes": processes, "noise": 0.005, **noise})
    made = run([workload()], [case(name) for name in names[: len(true_s)]], [*turns, *extra])
    (found,) = recommend(view_run(made), phases=STEP)
    return found


def test_the_fastest_is_recommended_with_what_it_gains():
    found = recommended([2e-4, 1e-4, 3e-4])

    assert (found.use, found.fastest, found.is_tie) == ("a", ("a",), False)
    assert found.certainty is Certainty.SIGNIFICANT
    assert found.row.speedup == pytest.approx(2, rel=0.02)
    assert found.runner_up[0] == "fused"


def test_of_those_not_told_apart_the_reference_is_recommended():
    found = recommended([1e-4, 1e-4, 3e-4], noise=0.05)

    assert (found.use, set(found.fastest)) == ("fused", {"fused", "a"})
    assert found.certainty is Certainty.REFERENCE


def test_of_those_not_told_apart_the_one_with_less_memory_is_recommended():
    memory = [
        memory_use(number, peak_b=peak, output_b=1, saved_b=0, temporary_b=0) for number, peak in ((1, 300), (2, 200))
    ]
    found = recommended([3e-4, 1e-4, 1e-4], noise=0.05, extra=memory)

    assert (found.use, set(found.fastest)) == ("b", {"a", "b"})


def test_a_faster_one_that_is_wrong_or_unstable_or_another_function_is_left_out_with_the_reason():
    cases = [case("fused"), case("wrong"), case("unstable"), case("rms", function="rms_norm")]
    events = [
        *noisy_turns({0: 2e-4, 2: 1e-4, 3: 1e-4}, processes=3),
        ended(1, Status.WRONG, "dbias is off"),
        ended(2, Status.UNSTABLE, "half of the rounds were spoiled"),
    ]
    (found,) = recommend(view_run(run([workload()], cases, events)), phases=STEP)

    assert found.use == "fused"
    assert dict(found.left_out) == {"wrong": "wrong", "unstable": "unstable", "rms": "computes rms_norm"}


def test_one_process_does_not_make_a_difference_significant():
    found = recommended([2e-4, 1e-4], processes=1)

    assert found.use == "a"
    assert found.certainty is Certainty.FEW_PROCESSES
    assert "Fewer than 3 processes" in " ".join(sentences([found]))


def test_without_a_reference_that_is_ok_nothing_is_recommended_and_the_reason_is_said():
    events = [*noisy_turns({1: 1e-4}), ended(0, Status.OOM, "out of memory")]
    (found,) = recommend(view_run(run([workload()], [case("fused"), case("a")], events)), phases=STEP)

    assert (found.use, found.fastest) == ("", ())
    assert found.why_not == "the reference is oom, so nothing can be compared"


def test_intervals_too_wide_to_tell_recommend_nothing():
    times = {0: (1e-4, 9e-4), 1: (5e-5, 1e-4)}
    turns = [turn(number, seconds, round=at) for number, each in times.items() for at, seconds in enumerate(each)]
    (found,) = recommend(view_run(run([workload()], [case("fused"), case("a")], turns)), phases=STEP)

    assert found.use == ""
    assert "too wide" in found.why_not


def test_the_only_one_of_its_function_is_recommended():
    assert recommended([1e-4]).use == "fused"


def test_a_device_that_is_not_there_is_no_workload_of_the_recommendation():
    assert {it.workload for it in recommend(view_run(everything()))} == {
        "8x128x768/float32/cpu",
        "8x128x768/bfloat16/cpu",
        "4096x4096/float32/cuda",
    }


def test_a_step_and_inference_are_recommended_unless_other_phases_are_asked_for():
    view = view_run(batch_run())

    assert {it.phase for it in recommend(view)} == {Phase.INFERENCE, Phase.FORWARD_BACKWARD}
    assert {it.phase for it in recommend(view, phases=(Phase.BACKWARD,))} == {Phase.BACKWARD}


def test_the_table_s_star_and_the_recommendation_agree():
    for made in (everything(), batch_run(), wide_run(workloads=3, implementations=4, processes=3, rounds=20)):
        view = view_run(made)
        starred = {
            (cell.workload, cell.phase): {row.title for row in table.rows if cell.phase in row.fastest}
            for table in view.tables
            for cell in table.rows[0].cells
        }
        for it in recommend(view):
            assert set(it.fastest) == starred[it.workload, it.phase] or len(it.fastest) == 1


def test_an_unstable_row_is_never_the_fastest():
    events = [*noisy_turns({0: 1e-4, 1: 5e-5, 2: 3e-4}), ended(1, Status.UNSTABLE, "spoiled"), finished()]
    rows = summarize(run([workload()], [case("fused"), case("a"), case("b")], events))

    assert fastest_cases(rows, phase=Phase.BACKWARD, function="layer_norm") == {0}


def test_what_compiling_costs_is_told():
    built = [
        Built(process=0, case=0, build_s=0.01, first_call_s=0.002),
        Built(process=0, case=1, build_s=0.01, first_call_s=20.0, compiled_cold=True, graphs=2, graph_breaks=0),
    ]
    made = run(
        [workload()], [case("fused"), case("a")], [*built, *noisy_turns({0: 2e-4, 1: 1e-4}, processes=3, noise=0.003)]
    )
    text = RECOMMENDATION_FORMATS["terminal"](recommend(view_run(made), phases=STEP))

    assert "first call 20 s (cold)" in text
    assert "pays off after" in text


def test_sentences_name_the_most_common_winner_first_and_where_another_wins():
    workloads = [workload((size, 768)) for size in (8, 16, 32)]
    cases = [case(name, of=of) for of in range(3) for name in ("fused", "a")]
    times = [(1e-4, 2e-4), (1e-4, 2e-4), (2e-4, 1e-4)]
    turns = [
        made
        for of, pair in enumerate(times)
        for made in noisy_turns({2 * of: pair[0], 2 * of + 1: pair[1]}, of=of, processes=3, noise=0.003)
    ]
    (told,) = sentences(recommend(view_run(run(workloads, cases, turns)), phases=STEP))

    assert told.startswith("A training step (forward_backward): fused is the fastest layer_norm on 2 of 3 workloads")
    assert "a at 32x768/float32/cpu, 2.00x as fast as fused" in told.replace("1.99x", "2.00x").replace("2.01x", "2.00x")


def test_a_run_of_nothing_has_nothing_to_say():
    assert recommend(view_run(run([], [], []))) == ()
    assert sentences(()) == []


@pytest.mark.parametrize(("name", "file"), [("terminal", "recommend.txt"), ("markdown", "recommend.md")])
def test_recommendations_are_as_expected(name, file):
    text = "".join(
        f"{line.rstrip()}\n" for line in RECOMMENDATION_FORMATS[name](recommend(view_run(everything()))).splitlines()
    )

    assert text == expected(file, text)


def test_json_holds_every_recommendation_with_null_for_what_is_not_known():
    found = json.loads(RECOMMENDATION_FORMATS["json"](recommend(view_run(everything()))))

    assert len(found["recommendations"]) == 6
    assert any(it["use"] is None and it["why_not"] for it in found["recommendations"])
    assert all(it["speedup"] for it in found["recommendations"] if it["use"])
