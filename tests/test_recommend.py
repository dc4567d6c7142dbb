"""What to use: the fastest that is known to be, is right and stable; ties, costs, and when nothing is decided."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from fabricate import (
    batch_run,
    case,
    ended,
    everything,
    memory_use,
    noisy_turns,
    run,
    turn,
    wide_run,
    workload,
)
from golden_files import expected

from lnbench.analysis.recommend import Certainty, recommend
from lnbench.conductor.formats import RECOMMENDATION_FORMATS
from lnbench.events import Built, Noticed
from lnbench.fastest import Unknown, contests, lead_of_a_process
from lnbench.planned import Notice, ProcessSpread, Status
from lnbench.render.advice import sentences
from lnbench.summaries import summarize
from lnbench.view import fastest_legend, view_run
from lnbench.workload import Phase

STEP = (Phase.FORWARD_BACKWARD,)


def recommended(true_s, *, names=("fused", "a", "b"), processes=3, extra=(), **noise):
    """What is recommended for a step, where cases take these times."""
    turns = noisy_turns(dict(enumerate(true_s)), **{"processes": processes, "noise": 0.005, **noise})
    made = run([workload()], [case(name) for name in names[: len(true_s)]], [*turns, *extra])
    (found,) = recommend(view_run(made), phases=STEP)
    return found


def stars(view, phase=Phase.FORWARD_BACKWARD):
    """The titles that the table marks in a phase."""
    return {row.title for table in view.tables for row in table.rows if phase in row.fastest}


def captions(view):
    return [line for table in view.tables for line in table.caption]


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


def test_a_faster_one_that_is_wrong_or_computes_another_function_is_left_out_with_the_reason():
    cases = [case("fused"), case("wrong"), case("eager"), case("rms", function="rms_norm")]
    events = [*noisy_turns({0: 2e-4, 2: 3e-4, 3: 1e-4}, processes=3), ended(1, Status.WRONG, "dbias is off")]
    (found,) = recommend(view_run(run([workload()], cases, events)), phases=STEP)

    assert found.use == "fused"
    assert dict(found.left_out) == {"wrong": "wrong", "rms": "computes rms_norm"}


def test_a_rival_that_is_unstable_leaves_it_undecided_whatever_its_figures_are():
    for seconds in (1e-4, 9e-4):
        events = [*noisy_turns({0: 2e-4, 1: seconds}, processes=3), ended(1, Status.UNSTABLE, "load 4.1 on 2 cores")]
        view = view_run(run([workload()], [case("fused"), case("noisy")], events))
        (found,) = recommend(view, phases=STEP)

        assert (found.use, found.fastest, found.unclear) == ("", (), (("noisy", Unknown.UNSTABLE),))
        assert found.left_out == ()
        assert stars(view) == set()
        assert "undecided at 256x768/float32/cpu: some rows are unstable" in " ".join(sentences([found]))
        assert "fastest undecided in inference, forward, backward, forward_backward: noisy (unstable)" in captions(view)


def test_an_unstable_row_without_a_speedup_leaves_it_undecided_too():
    rows = summarize(run([workload()], [case("fused"), case("a")], noisy_turns({0: 2e-4, 1: 1e-4}, processes=3)))
    bare = [replace(it, status=Status.UNSTABLE, speedup=None) if it.case == 1 else it for it in rows]
    (found,) = contests(bare, phase=Phase.BACKWARD, function="layer_norm").values()

    assert (found.fastest, [why for _, why in found.unknown]) == ((), [Unknown.UNSTABLE])


def test_one_process_does_not_make_a_difference_significant():
    found = recommended([2e-4, 1e-4], processes=1)

    assert found.use == "a"
    assert found.certainty is Certainty.FEW_PROCESSES
    assert "Fewer than 3 processes" in " ".join(sentences([found]))


def test_without_a_reference_that_is_ok_nothing_is_recommended_and_the_reason_is_said():
    events = [*noisy_turns({1: 1e-4}), ended(0, Status.OOM, "out of memory")]
    (found,) = recommend(view_run(run([workload()], [case("fused"), case("a")], events)), phases=STEP)

    assert (found.use, found.fastest) == ("", ())
    assert found.why_not == "the reference ended as oom, so nothing can be compared"


def few_rounds(times):
    """Three rounds, from which no interval follows, of cases that take these times."""
    return [turn(number, seconds, round=at) for number, seconds in times.items() for at in range(3)]


@pytest.mark.parametrize("seconds", [5e-5, 9e-4], ids=["faster", "slower"])
def test_too_few_rounds_for_an_interval_leave_it_undecided_whoever_looks_faster(seconds):
    view = view_run(run([workload()], [case("fused"), case("eager")], few_rounds({0: 1e-4, 1: seconds})))
    (found,) = recommend(view, phases=STEP)

    assert (found.use, found.fastest, found.unclear) == ("", (), (("eager", Unknown.NO_INTERVAL),))
    assert found.why_not == "too few rounds for an interval"
    assert stars(view) == set()
    assert sentences([found]) == [
        "A training step (forward_backward): undecided at 256x768/float32/cpu: too few rounds for an interval."
    ]


def wide(number, seconds):
    """Turns whose times differ by powers of ten, around a time."""
    spread = np.random.default_rng(1).normal(0, 2.5, 40)
    return [turn(number, seconds * math.exp(it), round=at) for at, it in enumerate(spread - np.median(spread))]


@pytest.mark.parametrize("seconds", [1e-4, 2e-4], ids=["as fast", "slower by its median"])
def test_an_interval_too_wide_leaves_it_undecided_where_it_reaches_the_best_one_s(seconds):
    steady = noisy_turns({0: 1.5e-4, 1: 1e-4}, noise=0.003)
    view = view_run(run([workload()], [case("fused"), case("a"), case("noisy")], [*steady, *wide(2, seconds)]))
    (found,) = recommend(view, phases=STEP)

    assert (found.use, found.fastest, found.unclear) == ("", (), (("noisy", Unknown.TOO_WIDE),))
    assert found.why_not == "intervals too wide to determine which is fastest"
    assert stars(view) == set()


def test_a_rival_with_a_wide_interval_wholly_below_the_best_one_s_is_known_to_be_slower():
    steady = noisy_turns({0: 1.5e-4, 1: 1e-4}, noise=0.003)
    view = view_run(run([workload()], [case("fused"), case("a"), case("noisy")], [*steady, *wide(2, 1.0)]))
    (found,) = recommend(view, phases=STEP)

    assert (found.use, found.fastest, found.unclear) == ("a", ("a",), ())
    assert stars(view) == {"a"}


@pytest.mark.parametrize("rounds", [3, 40])
def test_an_implementation_that_alone_was_measured_is_the_only_one_measured_and_has_no_star(rounds):
    events = [*noisy_turns({0: 1e-4}, rounds=rounds), ended(1, Status.ERROR, "no such operator")]
    view = view_run(run([workload()], [case("fused"), case("eager")], events))
    (found,) = recommend(view, phases=STEP)

    assert (found.use, found.is_only_one, found.fastest) == ("fused", True, ())
    assert stars(view) == set()
    told = sentences([found])[0]
    assert told.endswith("fused is the only layer_norm measured on 256x768/float32/cpu.")
    assert "the only layer_norm measured" in RECOMMENDATION_FORMATS["terminal"]([found])


def test_an_unstable_row_that_alone_was_measured_is_not_recommended():
    events = [*noisy_turns({0: 1e-4}), ended(0, Status.UNSTABLE, "load 4.1 on 2 cores")]
    (found,) = recommend(view_run(run([workload()], [case("fused")], events)), phases=STEP)

    assert (found.use, found.is_only_one) == ("", False)
    assert "unstable" in found.why_not


def compared(lead, *, processes=1, spread=(), names=("fused", "a"), noise=0.001):
    """The view of a run in which the last implementation is faster than the others by so much."""
    times = dict.fromkeys(range(len(names) - 1), 1e-4) | {len(names) - 1: 1e-4 / (1 + lead)}
    turns = noisy_turns(times, processes=processes, noise=noise)
    return view_run(run([workload()], [case(name) for name in names], turns, process_spread=spread))


def spread_of(deviation, *, freedom=60, device_name="Fabricated CPU @ 2.50GHz"):
    return (ProcessSpread(device_name=device_name, deviation=deviation, freedom=freedom, runs=1),)


@pytest.mark.parametrize(
    ("lead", "processes", "spread", "starred"),
    [
        (0.025, 1, (), {"fused", "a"}),
        (0.045, 1, (), {"a"}),
        (0.025, 3, (), {"a"}),  # several processes: the interval holds what they differ by
        (0.045, 1, spread_of(0.02), {"fused", "a"}),
        (0.09, 1, spread_of(0.02), {"a"}),
        (0.045, 1, spread_of(0.001), {"a"}),
        (0.025, 1, spread_of(0.001), {"fused", "a"}),  # 3 % at least
        (0.045, 1, spread_of(0.02, device_name="another"), {"a"}),
    ],
)
def test_from_a_single_process_only_a_lead_beyond_what_processes_differ_by_earns_a_star_alone(
    lead, processes, spread, starred
):
    view = compared(lead, processes=processes, spread=spread)
    (found,) = recommend(view, phases=STEP)

    assert stars(view) == starred
    assert set(found.fastest) == starred
    assert found.use == ("a" if starred == {"a"} else "fused")


def test_the_lead_that_counts_grows_with_the_number_of_rivals_and_with_how_little_is_known_of_the_spread():
    (known,), (guessed,) = spread_of(0.02), spread_of(0.02, freedom=2)
    leads = [lead_of_a_process(known, rivals=count) for count in (2, 4, 12)]

    assert leads == sorted(set(leads))
    assert leads[0] == pytest.approx(math.expm1(math.sqrt(2) * 0.02 * 2.0), rel=0.01)  # t(60) at 97.5 %: 2.0
    assert lead_of_a_process(guessed, rivals=2) > leads[0]
    assert lead_of_a_process(None, rivals=12) == 0.03


@pytest.mark.parametrize("deviation", [0.0, 1e-300, 60.0])
def test_any_spread_that_a_journal_can_hold_gives_a_lead_between_3_and_100_percent(deviation):
    (spread,) = spread_of(deviation, freedom=1)

    assert 0.03 <= lead_of_a_process(spread, rivals=1000) <= 1.0


def test_what_is_several_times_slower_shares_no_star_however_far_processes_lay_apart():
    assert stars(compared(5.0, spread=spread_of(0.8))) == {"a"}


def test_the_legend_of_a_single_process_names_the_lead_that_counts():
    tables = [compared(0.2, processes=count, spread=spread_of(0.02)).tables[0] for count in (1, 3)]
    of_one, of_three = map(fastest_legend, tables)

    assert of_one == (
        "fastest layer_norm, or statistically tied with it; single process: leads up to 5.8 % count as ties"
    )
    assert of_three == "fastest layer_norm, or statistically tied with it"


def test_a_tie_of_a_single_process_recommends_the_reference():
    (found,) = recommend(compared(0.02), phases=STEP)

    assert (found.use, found.certainty) == ("fused", Certainty.REFERENCE)
    assert "fused and a are statistically tied" in " ".join(sentences([found]))


def test_equals_of_a_single_process_keep_their_stars_where_earlier_runs_show_what_processes_differ_by():
    draw, missed = np.random.default_rng(3), 0
    names = ["fused", *(f"r{number}" for number in range(5))]
    cases = [case(name) for name in names]
    for seed in range(40):
        shifted = {number: 1e-4 * math.exp(draw.normal(0, 0.02)) for number in range(len(names))}
        turns = noisy_turns(shifted, rounds=8, noise=0.002, seed=seed)
        view = view_run(run([workload()], cases, turns, process_spread=spread_of(0.028)))
        missed += stars(view) != set(names)

    assert missed <= 2  # 5 % of 40


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
    for made in (everything(), wide_run(workloads=3, implementations=4, processes=3, rounds=20)):
        view = view_run(made)
        starred = {
            (cell.workload, cell.phase): {row.title for row in table.rows if cell.phase in row.fastest}
            for table in view.tables
            for cell in table.rows[0].cells
        }
        found = recommend(view)
        assert found
        assert all(set(it.fastest) == starred[it.workload, it.phase] for it in found)


def test_a_choice_of_rows_does_not_make_a_loser_the_fastest():
    made = run([workload()], [case("fused"), case("eager"), case("a")], noisy_turns({0: 1e-4, 1: 3e-4, 2: 8e-5}))
    for only in ({"implementation": ("eager",)}, {"implementation": ("fused",)}, {"dtype": ("float32",)}):
        (found, _) = recommend(view_run(made), only=only)

        assert found.use == "a"
    assert recommend(view_run(made), only={"dtype": ("bfloat16",)}) == ()


def test_each_norm_mode_has_a_recommendation_of_its_own():
    modes = [(name, mode) for name in ("batch_norm", "other") for mode in ("train", "eval")]
    cases = [case(name, function="batch_norm", norm_mode=mode) for name, mode in modes]
    turns = noisy_turns({0: 2e-4, 1: 1e-4, 2: 1.5e-4, 3: 1.2e-4}, processes=3, noise=0.003)
    found = recommend(view_run(run([workload(reference="batch_norm")], cases, turns)), phases=STEP)

    assert [(it.norm_mode, it.use) for it in found] == [("train", "other (train)"), ("eval", "batch_norm (eval)")]
    assert [it.certainty for it in found] == [Certainty.SIGNIFICANT, Certainty.REFERENCE]


def test_gains_over_different_references_are_told_apart():
    workloads = [workload((8, 64)), workload((16, 64), reference="eager")]
    cases = [case(name, of=of) for of in range(2) for name in ("fused", "eager", "a")]
    turns = [
        made
        for of in range(2)
        for made in noisy_turns({3 * of: 2e-4, 3 * of + 1: 9e-4, 3 * of + 2: 1e-4}, of=of, processes=3, noise=0.002)
    ]
    (told,) = sentences(recommend(view_run(run(workloads, cases, turns)), phases=STEP))

    assert "x as fast as fused and " in told
    assert told.endswith("x as fast as eager.")


def test_each_workload_that_stays_open_has_its_own_reason():
    workloads = [workload((size, 64)) for size in (8, 16, 32)]
    cases = [case(name, of=of) for of in range(3) for name in ("fused", "a")]
    wide = [turn(5, s, of=2, round=at) for at, s in enumerate((1e-5, 9e-5))]
    wide += [turn(4, s, of=2, round=at) for at, s in enumerate((1e-4, 1e-4))]
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}), *noisy_turns({3: 1e-4}, of=1), *wide, ended(2, Status.OOM, "no memory")]
    told = " ".join(sentences(recommend(view_run(run(workloads, cases, events)), phases=STEP)))

    assert "undecided at 16x64/float32/cpu: the reference ended as oom" in told
    assert "undecided at 32x64/float32/cpu: too few rounds for an interval" in told


def test_the_device_s_clock_is_told_and_that_launching_decides():
    turns = noisy_turns({0: 3e-4, 1: 9e-4}, processes=3, noise=0.003, device_share=0.3)
    slow_host = [
        it.model_copy(update={"device_s": {name: 0.1 * s for name, s in it.wall_s.items()}}) if it.case == 1 else it
        for it in turns
    ]
    planned = workload(device="cuda", clocks=("wall", "device"))
    (found, _) = recommend(view_run(run([planned], [case("fused"), case("a")], slow_host)))
    told = " ".join(sentences([found]))

    assert found.clock == "device"
    assert "on the device's clock" in told
    assert "is launch-bound at" in told


def test_what_is_off_on_hard_inputs_is_recommended_with_that_caveat():
    noticed = Noticed(notice=Notice(code="inaccurate", text="off on inputs with a large mean"), workload=0, case=1)
    found = recommended([2e-4, 1e-4], extra=[noticed])

    assert [notice.code for notice in found.caveats] == ["inaccurate"]
    assert "a is inaccurate on hard inputs at 256x768/float32/cpu" in " ".join(sentences([found]))
    assert "large mean" in RECOMMENDATION_FORMATS["terminal"]([found])


def test_significance_counts_the_processes_in_which_both_took_turns():
    turns = [it for it in noisy_turns({0: 2e-4, 1: 1e-4}, processes=3) if it.case == 1 or it.process == 0]
    (found,) = recommend(view_run(run([workload()], [case("fused"), case("a")], turns)), phases=STEP)

    assert found.row.processes == 3
    assert found.certainty is Certainty.FEW_PROCESSES


def test_the_best_of_many_equals_is_seldom_called_significant():
    names = ["fused", *(f"r{number}" for number in range(8))]
    called = 0
    for seed in range(40):
        turns = noisy_turns(dict.fromkeys(range(9), 1e-4), processes=3, rounds=8, noise=0.01, between=0.02, seed=seed)
        (found,) = recommend(view_run(run([workload()], [case(name) for name in names], turns)), phases=STEP)
        called += found.certainty is Certainty.SIGNIFICANT

    assert called <= 2  # 5 % of 40


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
    assert re.search(r"; a at 32x768/float32/cpu, (1\.9\d|2\.00)x to 2\.0\dx as fast as fused\.$", told)


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
