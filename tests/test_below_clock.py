"""Calls that are shorter than their clock can see: a status with the reason, and never a time."""

import pytest
from fabricate import BOTH_CLOCKS, WALL, case, noisy_turns, run, turn, workload

from lnbench.amounts import LEAST_SEEN_S, NO_TIME_S
from lnbench.condense import condense
from lnbench.events import Condensed
from lnbench.evidence import BELOW_CLOCK
from lnbench.planned import Status
from lnbench.record import SCHEMA_VERSION
from lnbench.summaries import summarize
from lnbench.tables import samples_table
from lnbench.worker.stopping import StoppingRule
from lnbench.workload import Clock, Phase


def turns_of(samples, *, clock=Clock.WALL, number=0):
    """A turn for each time of an inference; the parts of the step take 1 ms."""
    name = "wall_s" if clock is Clock.WALL else "device_s"
    step = {"forward": 1e-3, "backward": 1e-3, "forward_backward": 2e-3}
    return [
        turn(number, 1e-3, round=place, started_s=place, clock=clock).model_copy(
            update={name: {"inference": seconds, **step}}
        )
        for place, seconds in enumerate(samples)
    ]


def rows_of(events, *, clocks=WALL, cases=("fused",), device="cpu", **fields):
    found = summarize(run([workload(device=device, clocks=clocks)], [case(name) for name in cases], events, **fields))
    return {(row.implementation, row.phase, row.clock): row for row in found}


@pytest.mark.parametrize("version", [7, SCHEMA_VERSION])
@pytest.mark.parametrize(("device", "clock"), [("cpu", Clock.WALL), ("cuda", Clock.DEVICE)])
def test_a_row_whose_samples_hold_no_time_is_skipped_with_the_reason(device, clock, version):
    clocks = WALL if device == "cpu" else BOTH_CLOCKS
    rows = rows_of(turns_of([NO_TIME_S] * 20, clock=clock), device=device, clocks=clocks, schema_version=version)

    row = rows["fused", Phase.INFERENCE, clock]
    assert (row.status, row.reason, row.median_s, row.gb_per_s) == (Status.SKIPPED, BELOW_CLOCK, None, None)
    assert rows["fused", Phase.FORWARD, clock].median_s == pytest.approx(1e-3)


def test_a_few_samples_without_a_time_are_left_out_and_more_of_them_end_the_row():
    few, many = ([NO_TIME_S] * count + [1e-8] * (100 - count) for count in (4, 6))

    rows = [rows_of(turns_of(samples))["fused", Phase.INFERENCE, Clock.WALL] for samples in (few, many)]

    assert [(row.status, row.median_s) for row in rows] == [(Status.OK, pytest.approx(1e-8)), (Status.SKIPPED, None)]


def test_what_is_compared_with_such_a_row_has_its_time_and_no_speedup():
    events = [*turns_of([NO_TIME_S] * 20), *turns_of([1e-4] * 20, number=1)]

    row = rows_of(events, cases=("fused", "eager"))["eager", Phase.INFERENCE, Clock.WALL]

    assert (row.median_s, row.speedup) == (pytest.approx(1e-4), None)
    assert "no speedups: the reference, fused, ended as skipped" in {notice.text for notice in row.notices}


def test_a_baseline_that_kept_such_a_row_as_a_time_reads_as_one_without():
    kept = [
        Condensed(process=0, case=0, phase=Phase.INFERENCE, clock=Clock.WALL, rounds=20, median_s=seconds)
        for seconds in (NO_TIME_S, 1e-4)
    ]

    found = [rows_of([event])["fused", Phase.INFERENCE, Clock.WALL] for event in kept]

    assert [(row.status, row.median_s) for row in found] == [(Status.SKIPPED, None), (Status.OK, pytest.approx(1e-4))]
    assert found[0].reason == BELOW_CLOCK


def test_a_condensed_run_keeps_no_time_of_such_a_row():
    made = run([workload()], [case("fused")], turns_of([NO_TIME_S] * 20))

    phases = {event.phase for event in condense(made).events if isinstance(event, Condensed)}

    assert phases == {Phase.FORWARD, Phase.BACKWARD, Phase.FORWARD_BACKWARD}


def test_raw_samples_show_no_time_where_the_clock_saw_none():
    table = samples_table(run([workload()], [case("fused")], turns_of([NO_TIME_S, 1e-8])))
    at = {column.name: place for place, column in enumerate(table.columns)}

    found = [row[at["sample_s"]] for row in table.rows if row[at["phase"]] == "inference"]

    assert found == [None, 1e-8]


def test_releasing_results_may_take_no_time():
    rows = rows_of(
        [it.model_copy(update={"wall_s": it.wall_s | {"disposal": NO_TIME_S}}) for it in noisy_turns({0: 1e-4})]
    )

    assert {row.status for row in rows.values()} == {Status.OK}


def test_rounds_do_not_wait_for_a_row_without_a_time():
    rule = StoppingRule({0: (Phase.INFERENCE, Phase.FORWARD)}, references={}, precision=0.01)
    for number in range(40):
        rule.keep(0, number, started_s=number, seconds={"inference": NO_TIME_S, "forward": 1e-3})

    assert NO_TIME_S < LEAST_SEEN_S
    assert rule.is_precise()
