"""Two runs compared: what is held against what, what can't be, and what moved as a whole."""

import math
from dataclasses import replace

import condensed
import fabricate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_checks import ROWS, Planted

from lnbench.comparison import compare_runs, compare_sides
from lnbench.condense import condense
from lnbench.events import Noticed, RunFinished, WorkerStarted
from lnbench.planned import Gpu, Notice, Status
from lnbench.summaries import summarize
from lnbench.verdict import Verdict
from lnbench.workload import Clock, Phase

MIRROR = {Verdict.SLOWER: Verdict.FASTER, Verdict.FASTER: Verdict.SLOWER}
LOG = math.log


def near(value: float, *, spread=0.001, count=3) -> list[float]:
    return [value + spread * (place - (count - 1) / 2) for place in range(count)]


def of(logs, *, names=("mine", "other", "third"), run_id="made", **fields):
    """A run of one workload: each implementation's log speedups over fused."""
    cases = condensed.suite(1, names)
    numbers = {number: logs[case.implementation] for number, case in enumerate(cases) if case.implementation in logs}
    return condensed.run(cases, condensed.found(cases, numbers), run_id=run_id, **fields)


BASE = of({"mine": near(0.0), "other": near(0.5), "third": near(-0.5)}, run_id="base")


def compared(head, base=BASE, **options):
    return {row.implementation: row for row in compare_runs(base, head, **options).rows}


def test_what_is_compared_is_time_relative_to_each_run_s_own_reference():
    head = of({"mine": near(-LOG(1.10)), "other": near(0.5 + LOG(1.10)), "third": near(-0.5)}, run_id="head")

    rows = compared(head)

    assert {name: row.verdict for name, row in rows.items()} == {
        "mine": Verdict.SLOWER,
        "other": Verdict.FASTER,
        "third": Verdict.SAME,
    }
    assert rows["mine"].slowdown == pytest.approx(1.10)
    assert rows["other"].slowdown == pytest.approx(1 / 1.10)


def test_references_are_no_rows():
    assert "fused" not in compared(of({"mine": near(0.0)}, run_id="head"))


def test_a_run_compared_with_itself_is_the_same_everywhere_also_from_one_noisy_process():
    single = of({"mine": [0.3], "other": [0.1], "third": [-3.0]})

    assert {row.verdict for row in compared(single, base=single).values()} == {Verdict.SAME}
    assert {row.verdict for row in compared(condense(single), base=single).values()} == {Verdict.SAME}


def test_two_runs_that_began_in_the_same_second_are_not_taken_for_one():
    head = of({"mine": near(-0.2), "other": near(0.5), "third": near(-0.5)}, run_id="base", seed=2)

    assert compared(head)["mine"].verdict is Verdict.SLOWER


def test_two_processes_a_side_judge_nothing():
    head = of({"mine": near(-1.0, count=2), "other": near(0.5), "third": near(-0.5)}, run_id="head")

    row = compared(head)["mine"]

    assert row.verdict is Verdict.INCONCLUSIVE
    assert "only 2 processes" in row.reason


def test_a_row_that_head_has_not_or_that_failed_there_is_missing():
    cases = condensed.suite(1)
    events = condensed.found(cases, {2: near(0.5), 3: near(-0.5)})
    head = condensed.run(cases, [*events, fabricate.ended(1, Status.WRONG, "dx is off")], run_id="head")
    without = of({"mine": near(0.0)}, names=("mine",), run_id="head")

    assert compared(head)["mine"].verdict is Verdict.MISSING
    assert compared(head)["mine"].reason == "head ended as wrong: dx is off"
    assert compared(without)["other"].verdict is Verdict.MISSING
    assert "other" not in compared(without, only_planned=True)


def test_a_new_row_is_told_and_not_judged():
    head = of(
        {name: near(0.0) for name in ("mine", "other", "third", "fresh")},
        names=("mine", "other", "third", "fresh"),
        run_id="head",
    )

    found = compare_runs(BASE, head)

    assert "fresh" not in {row.implementation for row in found.rows}
    assert "1 row is new, with nothing to compare: fresh" in found.notes


ENVIRONMENT = fabricate.ENVIRONMENT
OTHERS = {
    "machine": {"environment": ENVIRONMENT.model_copy(update={"cpu": "Another CPU"})},
    "torch": {"environment": ENVIRONMENT.model_copy(update={"versions": {"torch": "2.14.0"}})},
    "suite": {"suite": "another"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_conditions_are_not_comparable_unless_allowed(name):
    head = of({"mine": near(0.0), "other": near(0.5), "third": near(-0.5)}, run_id="head", **OTHERS[name])

    refused, allowed = compared(head)["mine"], compared(head, different=[name])["mine"]

    assert refused.verdict is Verdict.NOT_COMPARABLE
    assert refused.reason.startswith(f"{name}: ")
    assert allowed.verdict is Verdict.SAME


INTEL = "GenuineIntel family 6 model {} stepping 1"
"""Clouds call processors of several models by one name."""


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        (INTEL.format(85), INTEL.format(143), Verdict.NOT_COMPARABLE),
        (INTEL.format(85), INTEL.format(85), Verdict.SAME),
        ("", INTEL.format(85), Verdict.SAME),  # a journal from before they were recorded
        (INTEL.format(85), "", Verdict.SAME),
    ],
)
def test_processors_of_one_name_are_told_apart_where_both_runs_know_their_numbers(base, head, verdict):
    def measured_on(signature, run_id):
        environment = ENVIRONMENT.model_copy(update={"cpu_signature": signature})
        return of({"mine": near(0.0), "other": near(0.5), "third": near(-0.5)}, run_id=run_id, environment=environment)

    before, after = measured_on(base, "base"), measured_on(head, "head")
    row = compared(after, before)["mine"]

    assert row.verdict is verdict
    if verdict is Verdict.NOT_COMPARABLE:
        assert row.reason == f"machine: {base} there, {head} here"
        assert compared(after, before, different=["machine"])["mine"].verdict is Verdict.SAME


CARD = {
    "index": 0,
    "name": "NVIDIA H100",
    "power_limit_w": 700.0,
    "max_sm_clock_hz": 1980e6,
    "max_memory_clock_hz": 2619e6,
    "ecc": True,
    "mig": False,
    "persistence": True,
}


def on_a_card(run_id, *, versions=None, allocator="default", **changed):
    """A run on a GPU that is set up like CARD but for what changed; `allocator` None: not recorded."""
    cases = condensed.suite(1, ("mine",))
    (planned,) = condensed.workloads(1)
    on_gpu = replace(planned.workload, device="cuda")
    environment = ENVIRONMENT.model_copy(
        update={
            "gpus": (Gpu(**{**CARD, **changed}), Gpu(index=1, name="NVIDIA Display", power_limit_w=75.0)),
            "settings": {} if allocator is None else {"cuda_allocator": allocator},
            "versions": {"torch": "2.13.0+cu130", **(versions or {})},
        }
    )
    started = WorkerStarted(process=0, worker=0, device="cuda", device_name="NVIDIA H100", import_s=1.0)
    events = [started, *condensed.found(cases, {1: near(0.0)})]
    return fabricate.run(
        [planned.model_copy(update={"workload": on_gpu})], cases, events, run_id=run_id, environment=environment
    )


@pytest.mark.parametrize(
    ("base", "head", "reason"),
    [
        ({}, {}, ""),
        ({}, {"power_limit_w": 350.0}, "machine: power limit 700 W there, power limit 350 W here"),
        ({}, {"max_sm_clock_hz": 1755e6}, "machine: SM clock up to 1980 MHz there, SM clock up to 1755 MHz here"),
        ({}, {"ecc": False}, "machine: ECC on there, ECC off here"),
        ({}, {"mig": True}, "machine: MIG off there, MIG on here"),
        ({}, {"persistence": False}, ""),  # a GPU at work does not depend on it
        ({"power_limit_w": None, "ecc": None}, {"power_limit_w": 350.0}, ""),  # an older journal
        ({"versions": {"cuda": "12.8"}}, {"versions": {"cuda": "13.0"}}, "torch: 12.8 there, 13.0 here"),
        ({"versions": {"cudnn": "9.8"}}, {"versions": {"cudnn": "9.13"}}, "torch: 9.8 there, 9.13 here"),
        ({}, {"versions": {"cuda": "13.0", "cudnn": "9.13"}}, ""),
        (
            {},
            {"allocator": "backend:cudaMallocAsync"},
            "allocator: default there, backend:cudaMallocAsync here",
        ),
        ({"allocator": None}, {"allocator": "backend:cudaMallocAsync"}, ""),
    ],
)
def test_gpus_of_one_name_are_compared_where_they_are_set_up_alike_as_far_as_both_runs_know(base, head, reason):
    before, after = on_a_card("base", **base), on_a_card("head", **head)
    row = compared(after, before)["mine"]

    assert row.verdict is (Verdict.NOT_COMPARABLE if reason else Verdict.SAME)
    assert row.reason == reason or not reason
    if reason:
        assert compared(after, before, different=[reason.partition(":")[0]])["mine"].verdict is Verdict.SAME


@pytest.mark.parametrize(("name", "axes"), [("threads", {"threads": 4}), ("allocator", {"allocator": "system"})])
def test_rows_that_differ_in_threads_or_allocator_alone_are_found_and_not_comparable(name, axes):
    cases = condensed.suite(1, ("mine",))
    events = condensed.found(cases, {1: near(0.0)})
    planned = condensed.workloads(1)[0]
    changed = replace(planned.workload, **axes)
    moved = planned.model_copy(update={"workload": changed, "id": changed.name(default_threads=2)})
    base = fabricate.run([planned], cases, events, run_id="base")
    head = fabricate.run([moved], cases, events, run_id="head")

    assert compared(head, base=base)["mine"].verdict is Verdict.NOT_COMPARABLE
    assert compared(head, base=base)["mine"].reason.startswith(f"{name}: ")
    assert compared(head, base=base, different=[name])["mine"].verdict is Verdict.SAME


def test_a_heap_that_could_not_be_kept_counts_as_another_allocator():
    cases = condensed.suite(1, ("mine",))
    events = condensed.found(cases, {1: near(0.0)})
    base = condensed.run(cases, events, run_id="base")
    told = Noticed(notice=Notice(code="heap-not-retained", text="it is given back"))
    head = condensed.run(cases, [*events, told], run_id="head")

    assert compared(head, base=base)["mine"].reason == "allocator: retained there, system here"


def test_other_options_under_the_same_name_are_another_suite():
    cases = condensed.suite(1, ("mine",))
    events = condensed.found(cases, {1: near(0.0)})
    other = [case.model_copy(update={"options": {"block": 256}}) for case in cases]

    row = compared(condensed.run(other, events, run_id="head"), base=condensed.run(cases, events, run_id="base"))[
        "mine"
    ]

    assert row.verdict is Verdict.NOT_COMPARABLE
    assert "block=256" in row.reason


def test_rows_of_another_version_of_their_library_are_not_comparable_and_all_others_are():
    cases = condensed.suite(1, ("mine", "other"))
    cases = [it.model_copy(update={"libraries": ("jax",)}) if it.use == "mine" else it for it in cases]
    events = condensed.found(cases, {1: near(0.0), 2: near(0.0)})
    base = condensed.run(cases, events, run_id="base")
    environment = base.header.environment
    old = environment.model_copy(update={"versions": {**environment.versions, "jax": "0.9"}})
    new = environment.model_copy(update={"versions": {**environment.versions, "jax": "0.10"}})

    rows = compared(
        condensed.run(cases, events, run_id="head", environment=new),
        base=condensed.run(cases, events, run_id="base", environment=old),
    )

    assert (rows["mine"].verdict, rows["mine"].reason) == (
        Verdict.NOT_COMPARABLE,
        "libraries: jax 0.9 there, jax 0.10 here",
    )
    assert rows["other"].verdict is not Verdict.NOT_COMPARABLE


def test_another_reference_is_never_comparable():
    cases = condensed.suite(1, ("mine", "other"))
    events = condensed.found(cases, {1: near(0.0), 2: near(0.5)})
    head = condensed.run([case.model_copy(update={"reference": "other"}) for case in cases], events, run_id="head")
    allowed = ["machine", "torch", "triton", "libraries", "threads", "allocator", "suite"]

    row = compared(head, base=condensed.run(cases, events, run_id="base"), different=allowed)["mine"]

    assert (row.verdict, row.reason) == (Verdict.NOT_COMPARABLE, "reference: fused there, other here")


def test_rows_that_all_moved_keep_their_verdicts_and_a_note_says_that_the_reference_may_have_moved_instead():
    head = of({"mine": near(-0.1), "other": near(0.4), "third": near(-0.6)}, run_id="head")

    found = compare_runs(BASE, head)

    assert {row.verdict for row in found.rows} == {Verdict.SLOWER}
    assert any("got slower relative to fused, typically by +10.5 %, or fused got faster" in it for it in found.notes)
    assert any("the baseline did not measure a plain copy beside fused" in note for note in found.notes)


@pytest.mark.parametrize(
    ("rows", "fused", "note"),
    [
        (1.1, 1.0, "so the rows moved"),
        (1.0, 1 / 1.1, "the reference changed: measure a new baseline"),
        (1.0, 1.1, "the reference changed: measure a new baseline"),
    ],
)
def test_a_note_says_who_moved_where_the_copy_shows_it(rows, fused, note):
    factors = {(0, name): rows for name in ROWS} | {(0, "fused"): fused}
    planted = Planted(workloads=2, factors=factors)
    draw = np.random.default_rng(7)
    base, head = (
        condensed.run(planted.cases, planted.events(draw, is_head=name == "head"), run_id=name)
        for name in ("base", "head")
    )

    found = compare_runs(base, head)

    assert sum(note in it for it in found.notes) == 1
    assert {row.verdict for row in found.rows[4:]} == {Verdict.SAME}


def test_one_of_three_rows_that_moved_is_judged():
    head = of({"mine": near(-0.1), "other": near(0.5), "third": near(-0.5)}, run_id="head")

    assert compared(head)["mine"].verdict is Verdict.SLOWER


def test_a_reference_that_moved_against_the_copy_is_advice_alone():
    cases = condensed.suite(1, ("mine",))
    base, head = (
        condensed.run(cases, condensed.found(cases, {1: near(0.0)}, copies=near(value)), run_id=name)
        for name, value in (("base", -1.0), ("head", -1.2))
    )

    found = compare_runs(base, head)

    assert [row.verdict for row in found.rows] == [Verdict.SAME]
    assert any("the reference, fused, against a plain copy: +22 %" in note for note in found.notes)


def test_what_differs_between_the_environments_stands_there_with_both_values():
    head = of({"mine": near(0.0)}, run_id="head", **OTHERS["machine"])

    found = {name: (base, now) for name, base, now in compare_runs(BASE, head).differences}

    assert found == {"processor": ("Fabricated CPU @ 2.50GHz (x86_64)", "Another CPU (x86_64)")}


def test_the_geometric_mean_of_a_group_takes_the_process_as_its_unit():
    cases = condensed.suite(4, ("mine",))
    # In each process all workloads share its luck: four of them know no more than one.
    luck = [-0.02, 0.0, 0.02]
    events = condensed.found(cases, {number: [-LOG(1.1) + it for it in luck] for number in (1, 3, 5, 7)})
    base = condensed.run(
        cases, condensed.found(cases, {number: near(0.0, spread=0.0) for number in (1, 3, 5, 7)}), run_id="base"
    )

    (group,) = compare_runs(base, condensed.run(cases, events, run_id="head")).groups

    assert group.rows == 4
    assert group.slowdown == pytest.approx(1.1)
    assert group.slowdown_low < 1.1 * math.exp(-0.04)


def test_two_versions_are_compared_in_their_own_rounds():
    cases = condensed.versions(2)
    run = condensed.run(cases, condensed.found(cases, {1: near(-LOG(1.05)), 3: near(0.0)}))

    found = compare_sides(run)

    assert [(row.implementation, row.verdict) for row in found.rows] == [
        ("mine", Verdict.SLOWER),
        ("mine", Verdict.SAME),
    ]
    assert found.rows[0].slowdown == pytest.approx(1.05)


def test_verdicts_from_raw_turns_and_from_a_compact_baseline_are_the_same():
    planned, cases = [fabricate.workload()], [fabricate.case("fused"), fabricate.case("eager")]
    base, head = (
        fabricate.run(
            planned,
            cases,
            [
                *fabricate.noisy_turns({0: 1e-4, 1: eager_s}, processes=4, between=0.005, seed=seed),
                RunFinished(wall_s=1),
            ],
            run_id=f"run {seed}",
        )
        for seed, eager_s in ((1, 3e-4), (2, 3.3e-4))
    )

    whole, compact = compare_runs(base, head), compare_runs(condense(base), head)

    assert {row.verdict for row in whole.rows} == {Verdict.SLOWER}
    for one, other in zip(whole.rows, compact.rows, strict=True):
        assert (one.verdict, one.slowdown, one.slowdown_low) == (other.verdict, other.slowdown, other.slowdown_low)


locations = st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=4)
logs = st.fixed_dictionaries(dict.fromkeys(("mine", "other", "third"), locations))


@settings(deadline=None)
@given(logs, logs)
def test_swapping_base_and_head_swaps_slower_and_faster(one, other):
    first, second = of(one, run_id="first"), of(other, run_id="second")

    there = [row.verdict for row in compare_runs(first, second).rows]
    back = [row.verdict for row in compare_runs(second, first).rows]

    assert back == [MIRROR.get(verdict, verdict) for verdict in there]


@settings(deadline=None)
@given(logs, logs, st.permutations(["mine", "other", "third"]))
def test_the_order_of_implementations_changes_no_verdict(one, other, names):
    straight = compared(of(other, run_id="head"), base=of(one, run_id="base"))
    shuffled = compared(of(other, names=names, run_id="head"), base=of(one, names=names, run_id="base"))

    assert {name: row.verdict for name, row in straight.items()} == {
        name: row.verdict for name, row in shuffled.items()
    }


@settings(deadline=None)
@given(logs, st.randoms(use_true_random=False))
def test_the_order_of_lines_in_a_journal_changes_no_verdict(found, random):
    head = of(found, run_id="head")
    events = list(head.events)
    random.shuffle(events)

    shuffled = compared(head.model_copy(update={"events": tuple(events)}))

    assert {name: row.verdict for name, row in shuffled.items()} == {
        name: row.verdict for name, row in compared(head).items()
    }


def test_a_compact_run_keeps_its_times_and_says_how_many_rounds_they_rest_on():
    planned, cases = [fabricate.workload(phases=(Phase.FORWARD,))], [fabricate.case("fused")]
    run = fabricate.run(planned, cases, fabricate.noisy_turns({0: 1e-4}, processes=3, rounds=30))

    events = condense(run).events

    assert [(event.rounds, event.clock) for event in events] == [(30, Clock.WALL)] * 3
    assert [event.median_s for event in events] == pytest.approx([1e-4] * 3, rel=0.05)
    assert condense(condense(run)) == condense(run)
    assert [row.rounds for row in summarize(condense(run))] == [90]


def test_on_a_gpu_only_the_device_s_clock_decides():
    planned = [fabricate.workload(device="cuda", clocks=fabricate.BOTH_CLOCKS, phases=(Phase.FORWARD,))]
    cases = [fabricate.case("fused"), fabricate.case("eager")]
    turns = fabricate.noisy_turns({0: 1e-4, 1: 3e-4}, processes=3, device_share=0.3)

    found = compare_runs(
        fabricate.run(planned, cases, turns, run_id="base"), fabricate.run(planned, cases, [], run_id="head")
    )

    assert [row.clock for row in found.rows] == ["device"]
