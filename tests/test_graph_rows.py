"""The rows of the batch and the graph clock: their own, beside those of the clock that decides."""

import fabricate
import pytest
from fabricate import case, ended, run, turn, workload
from rich.console import Console

from lnbench.analysis.recommend import recommend
from lnbench.condense import condense
from lnbench.cost_tables import cost_table
from lnbench.events import L2_HOT, OWN_DY, Noticed, WorkloadFinished
from lnbench.exported import export_run
from lnbench.observed import Launching
from lnbench.planned import Notice, Stage, Status
from lnbench.render.advice import sentences
from lnbench.render.recommendation import render_markdown
from lnbench.render.terminal import render_run
from lnbench.sides import Side
from lnbench.summaries import summarize
from lnbench.tables import samples_table
from lnbench.view import view_run
from lnbench.workload import Clock, Phase

PER_CLOCK_S = {Clock.WALL: 9e-6, Clock.DEVICE: 5e-6, Clock.BATCH: 3e-6, Clock.GRAPH: 2e-6}
REFUSED = "it can't be captured into a CUDA graph: RuntimeError: it waits"


def timed(number, *, slower=1.0, rounds=30, clocks=tuple(Clock)):
    """Turns of a case in which all clocks but the graph's have a sample, and later turns of the graph's own worker."""
    for place in range(rounds):
        calls = {"device_calls": {"inference": 48, "step": 24}, "batch_calls": {"inference": 96, "step": 96}}
        yield turn(
            number,
            slower * PER_CLOCK_S[Clock.DEVICE],
            round=place,
            started_s=place,
            clock=Clock.DEVICE,
            wall_s=whole(slower * PER_CLOCK_S[Clock.WALL]),
            batch_s=whole(slower * PER_CLOCK_S[Clock.BATCH]),
            **calls,
        )
    for place in range(rounds if Clock.GRAPH in clocks else 0):
        yield turn(
            number,
            slower * PER_CLOCK_S[Clock.GRAPH],
            round=rounds + place,
            started_s=place,
            clock=Clock.GRAPH,
            graph_calls={"inference": 400, "step": 400},
        )


def whole(seconds):
    """What clocks have that can't part a step."""
    return {"inference": seconds, "forward_backward": 2 * seconds}


def finished(*, on_graph):
    return WorkloadFinished(process=0, workload=0, rounds=30, stopped_by="precision", rounds_s=1.0, on_graph=on_graph)


def made(*events, clocks=tuple(Clock), second=tuple(Clock), **axes):
    """Two cases, of which the second takes twice as long; `second`: the clocks that it has turns of."""
    planned = workload((16, 4096), device="cuda", clocks=clocks, **axes)
    turns = [*timed(0), *timed(1, slower=2.0, clocks=second)]
    ends = [finished(on_graph=False), finished(on_graph=True)]
    return run([planned], [case("fused"), case("eager")], [*turns, *ends, *events])


def row(found, implementation, clock, phase=Phase.INFERENCE):
    (only,) = (
        it for it in summarize(found) if (it.implementation, it.clock, it.phase) == (implementation, clock, phase)
    )
    return only


@pytest.mark.parametrize("clock", Clock)
def test_each_clock_has_a_row_with_its_own_times_and_its_own_speedup(clock):
    found = row(made(), "eager", clock)

    assert found.median_s == pytest.approx(2 * PER_CLOCK_S[clock])
    assert found.speedup == pytest.approx(0.5)
    assert (found.rounds, found.samples) == (30, 30)


@pytest.mark.parametrize("phase", [Phase.FORWARD, Phase.BACKWARD])
def test_a_batch_has_whole_calls_and_says_why_not_their_parts(phase):
    found = row(made(), "fused", Clock.BATCH, phase)

    assert (found.status, found.median_s) == (Status.SKIPPED, None)
    assert found.reason == "steps in a row between two events can't be parted into forward and backward"
    assert row(made(), "fused", Clock.GRAPH, phase).median_s == pytest.approx(2e-6)


def test_a_step_that_writes_into_dy_has_no_batch_and_its_row_says_why():
    planned = workload((16, 4096), device="cuda", clocks=(Clock.DEVICE, Clock.BATCH))
    own = Noticed(notice=Notice(code=OWN_DY, text="it gets a copy of dy"), workload=0, case=0)
    only = run([planned], [case("fused")], [turn(0, 1e-5, clock=Clock.DEVICE), own, finished(on_graph=False)])

    found = row(only, "fused", Clock.BATCH, Phase.FORWARD_BACKWARD)

    assert found.reason == "backward writes into dy, which would have to be renewed between the calls of a batch"


@pytest.mark.parametrize("clock", [Clock.WALL, Clock.BATCH])
def test_with_a_cold_l2_the_rows_that_can_t_keep_its_displacing_out_say_so(clock):
    cold = run(
        [workload((16, 4096), device="cuda", clocks=tuple(Clock), cache="cold")],
        [case("fused")],
        [turn(0, 1e-5, clock=Clock.DEVICE)],
    )

    found = row(cold, "fused", clock)

    assert found.status is Status.SKIPPED
    assert found.reason == f"the {clock} clock would hold what displaces L2 before each call"


def test_a_case_that_can_t_be_captured_keeps_its_other_rows():
    found = made(ended(1, Status.UNSUPPORTED, REFUSED, stage=Stage.CAPTURE, clock=Clock.GRAPH), second=(Clock.DEVICE,))

    refused = row(found, "eager", Clock.GRAPH)
    assert (refused.status, refused.reason, refused.median_s) == (Status.UNSUPPORTED, REFUSED, None)
    assert row(found, "eager", Clock.DEVICE).status is Status.OK
    assert row(found, "eager", Clock.DEVICE).speedup == pytest.approx(0.5)
    assert row(found, "fused", Clock.GRAPH).status is Status.OK


def test_an_end_of_the_whole_case_ends_its_row_on_the_graph_clock_too():
    found = made(ended(1, Status.CRASH, "SIGSEGV"))

    assert {it.status for it in summarize(found) if it.implementation == "eager"} == {Status.CRASH}
    (table,) = view_run(found).tables
    assert [text for text in table.footnotes if "SIGSEGV" in text] == ["crash: SIGSEGV"]


def test_the_graph_clock_of_a_run_that_ended_before_says_so():
    planned = workload((16, 4096), device="cuda", clocks=tuple(Clock))
    found = run([planned], [case("fused")], [*timed(0, clocks=(Clock.DEVICE,)), finished(on_graph=False)])

    assert row(found, "fused", Clock.GRAPH).reason == "the run ended before the graph clock's rounds"


def test_that_l2_is_hot_is_said_of_the_graph_s_rows_alone():
    found = made(Noticed(notice=Notice(code=L2_HOT, text="L2 hot: 100 calls"), workload=0, case=0))

    noticed = {it.clock for it in summarize(found) if L2_HOT in {notice.code for notice in it.notices}}
    assert noticed == {Clock.GRAPH}


def test_only_times_that_hold_launches_are_called_launch_bound():
    codes = {clock: {notice.code for notice in row(made(), "fused", clock).notices} for clock in Clock}

    assert all("launch-bound" not in codes[clock] for clock in (Clock.BATCH, Clock.GRAPH))
    assert {row(made(), "fused", clock).limited_by for clock in (Clock.BATCH, Clock.GRAPH)} == {""}


def test_what_launching_takes_stands_in_the_rows_of_its_phase_on_every_clock():
    events = [
        Launching(
            process=process,
            case=0,
            host_overhead_s={Phase.INFERENCE: (4 + process) * 1e-6},
            kernel_s={Phase.INFERENCE: 1.9e-6} if process == 0 else {},
            launches={Phase.INFERENCE: 2.0} if process == 0 else {},
        )
        for process in range(3)
    ]
    found = made(*events)

    for clock in Clock:
        of_clock = row(found, "fused", clock)
        assert (of_clock.host_overhead_s, of_clock.kernel_s, of_clock.launches) == (pytest.approx(5e-6), 1.9e-6, 2.0)
    other = row(found, "fused", Clock.DEVICE, Phase.FORWARD)
    assert (other.host_overhead_s, other.kernel_s, other.launches) == (None, None, None)


@pytest.mark.parametrize(
    ("clocks", "shown"),
    [(tuple(Clock), Clock.DEVICE), ((Clock.GRAPH,), Clock.GRAPH), ((Clock.WALL, Clock.GRAPH), Clock.WALL)],
)
def test_tables_verdicts_and_exports_keep_to_the_clock_that_decides(clocks, shown):
    found = made(clocks=clocks)
    (table,) = view_run(found).tables

    assert table.clock is shown
    assert {cell.clock for it in table.rows for cell in it.cells} == {shown}
    assert {key.clock for key in Side(found).rows} == {shown.value}
    assert {it.summary.clock for it in export_run(found).rows} == {shown}


def test_the_caption_tells_of_the_rounds_of_the_clock_that_is_shown():
    late = WorkloadFinished(process=0, workload=0, rounds=30, stopped_by="budget", rounds_s=9.0, on_graph=True)

    (table,) = view_run(made(late)).tables

    assert "stopped when every speedup was within ±1 %" in "; ".join(table.caption)


def test_the_group_of_clocks_has_a_line_for_each_phase_on_every_clock():
    (table,) = view_run(made(clocks=(Clock.DEVICE, Clock.GRAPH))).tables

    found = cost_table(table, "clocks")

    assert found.headings[:4] == ("implementation", "phase", "clock", "time")
    lines = {line[:3]: line[3] for line in found.rows}
    assert lines["fused", "inference", "device"] == "5.00 µs"
    assert lines["fused", "inference", "graph"] == "2.00 µs"
    assert len(lines) == 2 * 4 * 2


def test_why_a_graph_has_no_time_stands_below_the_table_of_another_clock():
    found = made(ended(1, Status.UNSUPPORTED, REFUSED, clock=Clock.GRAPH), second=(Clock.DEVICE,))
    (table,) = view_run(found).tables

    assert f"graph clock: unsupported: {REFUSED}" in table.footnotes
    console = Console(width=160, color_system=None)
    with console.capture() as captured:
        console.print(render_run(view_run(found), ["time"]))
    assert "it can't be captured into a CUDA graph" in captured.get()


def test_samples_say_how_many_calls_a_time_of_their_clock_is_the_mean_of():
    table = samples_table(made())
    place = {column.name: number for number, column in enumerate(table.columns)}
    calls = {line[place["clock"]]: line[place["calls"]] for line in table.rows if line[place["phase"]] == "inference"}

    assert calls == {"wall": 100, "device": 48, "batch": 96, "graph": 400}
    exported = export_run(made(clocks=(Clock.GRAPH,))).rows
    assert {it.calls for it in exported} == {400}


def test_a_baseline_keeps_the_rows_of_every_clock_and_the_end_of_one():
    whole_run = made(ended(1, Status.UNSUPPORTED, REFUSED, clock=Clock.GRAPH), second=(Clock.DEVICE,))

    small = condense(whole_run)

    for clock in Clock:
        assert row(small, "fused", clock).median_s == pytest.approx(row(whole_run, "fused", clock).median_s)
    assert row(small, "eager", Clock.GRAPH).reason == REFUSED
    assert row(small, "eager", Clock.DEVICE).speedup == pytest.approx(0.5)


def test_a_run_of_the_cpu_has_no_group_of_clocks():
    (table,) = view_run(fabricate.run([workload()], [case("fused")], [turn(0, 1e-4)])).tables

    assert cost_table(table, "clocks").rows == ()


@pytest.mark.parametrize("clocks", [(Clock.DEVICE, Clock.GRAPH), (Clock.GRAPH,)])
def test_a_recommendation_names_the_clock_that_it_rests_on(clocks):
    found = recommend(view_run(made(clocks=clocks)))

    assert {it.clock for it in found} == {clocks[0]}
    assert f", {clocks[0]} clock" in render_markdown(found)
    assert all("clock: fused is the fastest" in sentence for sentence in sentences(found)[:2])
