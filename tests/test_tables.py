"""Tables as values: the columns that scripts rely on, and the view that people read."""

import fabricate
import pytest
from fabricate import case, ended, everything, finished, noisy_turns, run, workload

from lnbench.events import Noticed, RunFinished
from lnbench.planned import Notice, Status
from lnbench.tables import RESULT_COLUMNS, RESULT_DTYPES, results_table, samples_table
from lnbench.view import view_run
from lnbench.workload import Clock, Phase

CONTRACT = """
run_id, suite, workload, label, implementation, function, norm_mode, device, device_name, dtype, param_dtype,
input_shape, normalized_shape, rows, features, affine, eps, threads, cache, allocator, layout, phase, clock, status,
reason, processes, rounds, samples, median_s, low_s, high_s, min_s, reference, speedup, speedup_low, speedup_high,
minimum_bytes, gb_per_s, percent_of_copy, peak_memory_bytes, saved_bytes, nvml_process_bytes, nvml_device_bytes,
energy_per_call_j, cold_first_call_s, warm_first_call_s, max_relative_error, faults_per_call, notices, torch_version,
lnbench_version
"""
TWO_CASES = [case("fused"), case("eager")]


def column(table, name):
    """A table's column as a list."""
    place = [each.name for each in table.columns].index(name)
    return [row[place] for row in table.rows]


def view_of(cases, events, *, planned=None, **fields):
    """The view of a run on one workload."""
    return view_run(run([planned or workload()], cases, events, **fields))


def only_table(cases, events, **fields):
    """The one workload table of a run on one workload."""
    (table,) = view_of(cases, events, **fields).tables
    return table


def test_the_columns_are_the_contracts_in_its_order():
    contract = CONTRACT.replace("\n", " ").replace(" ", "").split(",")

    assert [each.name for each in RESULT_COLUMNS][: len(contract)] == contract  # more columns may follow
    assert list(RESULT_DTYPES) == [each.name for each in RESULT_COLUMNS]


def test_the_key_of_a_result_is_unique_in_a_run():
    table = results_table(everything())
    keys = list(
        zip(
            *(column(table, name) for name in ("workload", "implementation", "norm_mode", "phase", "clock")),
            strict=True,
        )
    )

    assert len(set(keys)) == len(keys)


def test_failed_cases_do_not_vanish_from_the_table():
    table = results_table(everything())
    statuses = dict(zip(column(table, "implementation"), column(table, "status"), strict=True))

    assert statuses["shifted"] == "wrong"
    assert statuses["crashing"] == "crash"
    assert statuses["odd"] == "unsupported"
    assert statuses["late"] == "skipped"
    assert all(column(table, "reason")[place] for place, found in enumerate(column(table, "status")) if found != "ok")


def test_values_are_plain_text_and_numbers_of_their_columns_dtype():
    kinds = {"string": str, "Int64": int, "float64": float, "boolean": bool}
    table = results_table(everything())

    for each in table.columns:
        assert {type(value) for value in column(table, each.name)} <= {kinds[each.dtype], type(None)}, each.name


def test_notices_are_codes_joined_by_semicolons_each_once():
    events = [Noticed(notice=Notice(code="spoiled", text=f"{count} rounds"), case=0) for count in (1, 2)]
    events.append(Noticed(notice=Notice(code="inaccurate", text="off"), case=0))

    assert set(column(results_table(run([workload()], [case("fused")], events)), "notices")) == {"spoiled;inaccurate"}


def test_raw_samples_are_one_per_row_and_leave_the_probe_out():
    made = run([workload()], TWO_CASES, noisy_turns({0: 1e-4, 1: 2e-4}, rounds=3, copy_s=1e-4, device_share=0.5))
    table = samples_table(made)

    assert len(table.rows) == 3 * 2 * (
        5 + 4
    )  # rounds x cases x (phases and disposal on the wall; phases on the device)
    assert set(column(table, "implementation")) == {"fused", "eager"}
    assert set(zip(column(table, "phase"), column(table, "calls"), strict=True)) >= {
        ("inference", 100),
        ("backward", 50),
    }
    assert set(column(table, "clock")) == {"wall", "device"}


def test_raw_samples_add_up_within_each_turn():
    table = samples_table(run([workload()], [case("fused")], noisy_turns({0: 1e-4}, rounds=2)))
    first = dict(zip(column(table, "phase")[:5], column(table, "sample_s")[:5], strict=True))

    assert first["forward"] + first["backward"] == first["forward_backward"]


def test_people_see_the_device_clock_on_cuda_and_the_wall_clock_elsewhere():
    clocks = [table.clock for table in view_run(everything()).tables]

    assert clocks == [Clock.WALL, Clock.WALL, Clock.DEVICE, Clock.WALL]
    assert all(
        cell.clock is table.clock for table in view_run(everything()).tables for row in table.rows for cell in row.cells
    )


def test_the_caption_says_what_the_figures_rest_on():
    table = only_table(TWO_CASES, [*noisy_turns({0: 1e-4, 1: 2e-4}), finished(stopped_by="budget")])

    assert table.caption == (
        "reference: fused; Fabricated CPU @ 2.50GHz, 2 threads, wall clock",
        "40 rounds in 1 process; stopped by the budget of 5 s, before every speedup was within ±1 %",
        "one process: intervals hold for it alone; another process can differ, see --processes",
    )


def test_several_processes_met_the_precision_only_when_each_did():
    events = [*noisy_turns({0: 1e-4, 1: 2e-4}, processes=2), finished(), finished(process=1, stopped_by="budget")]

    assert only_table(TWO_CASES, events).caption[1:] == (
        "80 rounds in 2 processes; stopped by the budget of 5 s, before every speedup was within ±1 %",
    )


def test_the_caption_names_the_extra_time_that_a_busy_machine_took():
    longest = finished(stopped_by="budget").model_copy(update={"rounds_s": 12.04})
    table = only_table(TWO_CASES, [*noisy_turns({0: 1e-4, 1: 2e-4}), longest])

    assert table.caption[1] == (
        "40 rounds in 1 process; hit the 5 s budget and 7 s of extra time (busy machine) before reaching ±1 %"
    )


def test_a_workload_that_an_interruption_cut_short_says_so():
    table = only_table(TWO_CASES, noisy_turns({0: 1e-4, 1: 2e-4}))

    assert table.caption[1] == "40 rounds in 1 process; the run ended before this workload was finished"


@pytest.mark.parametrize(
    ("end", "completed"),
    [([], False), ([RunFinished(wall_s=1, interrupted=True)], False), ([RunFinished(wall_s=1)], True)],
)
def test_a_run_is_complete_only_when_it_says_so(end, completed):
    assert view_of(TWO_CASES, end).completed is completed


def test_each_footnote_stands_once_and_is_counted_in_the_order_of_rows():
    shared = Notice(code="inaccurate", text="off on hard inputs")
    events = [
        *(Noticed(notice=shared, workload=0, case=number) for number in (0, 1)),
        ended(1, Status.ERROR, "RuntimeError: no"),
        ended(2, Status.ERROR, "RuntimeError: no"),
    ]
    table = only_table([*TWO_CASES, case("other")], events)

    assert table.footnotes == (
        "skipped: the run ended before this case was measured",
        "off on hard inputs",
        "error: RuntimeError: no",
    )
    assert [row.footnotes for row in table.rows] == [(1, 2), (2, 3), (3,)]


def test_what_holds_for_the_whole_workload_stands_in_the_caption_and_marks_no_row():
    notice = Notice(code="spoiled", text="3 rounds were dropped")
    table = only_table([case("fused")], [*noisy_turns({0: 1e-4}), Noticed(notice=notice, workload=0)])

    assert table.caption[-1] == "3 rounds were dropped"
    assert table.rows[0].footnotes == ()


@pytest.mark.parametrize(("rows", "code"), [(256, "ideal-bytes"), (65536, "practical-bytes")])
def test_which_bound_the_bytes_use_is_told_where_bytes_are_shown(rows, code):
    planned = workload((rows, 768), reference="bn")
    made = run([planned], [case("bn", function="batch_norm", norm_mode="train")], noisy_turns({0: 1e-4}))

    (table,) = view_run(made).tables

    assert set(column(results_table(made), "notices")) == {code}
    assert (table.footnotes, table.rows[0].footnotes) == ((), ())


def test_what_holds_for_the_whole_run_is_kept_apart_from_its_tables():
    notice = Notice(code="nvml", text="no NVML here")

    assert view_of(TWO_CASES, [Noticed(notice=notice)]).notices == (notice,)


@pytest.mark.parametrize(
    ("true_s", "fastest"),
    [
        ({0: 1e-4, 1: 2e-4, 2: 0.5e-4}, {"fused"}),
        ({0: 2e-4, 1: 1e-4, 2: 0.5e-4}, {"eager"}),
        ({0: 1e-4, 1: 1e-4, 2: 0.5e-4}, {"fused", "eager"}),
    ],
)
def test_the_fastest_of_the_references_function_is_marked_with_all_that_can_not_be_told_apart(true_s, fastest):
    cases = [*TWO_CASES, case("rms", function="rms_norm")]
    table = only_table(cases, noisy_turns(true_s, seed=8))

    assert {row.title for row in table.rows if Phase.FORWARD in row.fastest} == fastest


def test_nothing_is_the_fastest_without_something_to_compare_it_with():
    table = only_table([case("fused"), case("rms", function="rms_norm")], noisy_turns({0: 1e-4, 1: 1e-4}))

    assert all(not row.fastest for row in table.rows)


def test_a_mode_and_a_label_stand_in_the_titles():
    cases = [case("bn", function="batch_norm", norm_mode="eval")]
    table = only_table(cases, [], planned=workload((8, 16), reference="bn", label="tiny"))

    assert (table.title, table.rows[0].title) == ("tiny: 8x16/float32/cpu", "bn (eval)")


def test_a_workload_whose_reference_is_not_in_the_plan_is_shown_without_speedups():
    table = only_table([case("eager")], noisy_turns({0: 1e-4}))

    assert table.function == ""
    assert table.rows[0].cells[0].median_s is not None
    assert table.rows[0].cells[0].speedup is None
    assert table.footnotes[0] == "no speedups: the reference, fused, is not part of the plan"


def test_the_fabricated_environment_is_what_the_default_device_name_comes_from():
    assert set(column(results_table(run([workload()], TWO_CASES, [])), "device_name")) == {fabricate.ENVIRONMENT.cpu}
