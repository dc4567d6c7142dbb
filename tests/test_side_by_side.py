"""Several runs beside each other: what is joined, what is said to differ, and how it looks in every format."""

import io
import json

import pandas as pd
import pytest
from fabricate import ENVIRONMENT, case, ended, everything, finished, noisy_turns, run, workload
from golden_files import expected
from rich.console import Console

from lnbench.conductor.beside import RUNS_FORMATS, ShownRuns
from lnbench.differing import Differing, grouped
from lnbench.errors import UsageError
from lnbench.events import RunFinished
from lnbench.planned import Status
from lnbench.render.side_by_side import NOTHING_SHARED, render_side_by_side
from lnbench.selection import parse_only
from lnbench.side_by_side import letter, side_by_side
from lnbench.tables import READING, RESULT_DTYPES

NAMES = ("fused", "eager", "compiled")
LATER = "2026-11-25T08:00:00+00:00"
OTHER_MACHINE = {
    "environment": ENVIRONMENT.model_copy(
        update={"cpu": "Another CPU", "physical_cores": 64, "versions": {"torch": "2.12.0", "numpy": "2.4.6"}}
    )
}


def made(run_id, *, names=NAMES, workloads=None, events=(), seed=1, created="2026-11-22T15:45:00+00:00", **fields):
    """A run of these implementations on each workload, in three processes."""
    workloads = [workload()] if workloads is None else workloads
    cases = [case(name, of=of) for of in range(len(workloads)) for name in names]
    turns = [
        turn
        for of in range(len(workloads))
        for turn in noisy_turns(
            {of * len(names) + place: (place + 1) * 1e-4 for place in range(len(names))},
            of=of,
            processes=3,
            between=0.01,
            rounds=10,
            seed=seed + of,
        )
    ]
    ends = [finished(of) for of in range(len(workloads))]
    return run(
        workloads, cases, [*turns, *events, *ends, RunFinished(wall_s=1.0)], run_id=run_id, created=created, **fields
    )


def two_machines():
    """The same suite on two machines, with an implementation and a workload that only one of them has."""
    both, mine = workload(label="both"), workload((8, 128, 768))
    here = made("here", workloads=[both, mine], events=[ended(1, Status.CRASH, "the worker died of SIGSEGV")])
    there = made(
        "there",
        names=("fused", "eager", "mine"),
        workloads=[both],
        seed=9,
        created="2026-11-25T08:00:00+00:00",
        **OTHER_MACHINE,
    )
    return [here, there]


def shown(runs, *, width, **more):
    """Runs as a terminal without colour shows them."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    console.print(render_side_by_side(side_by_side(runs, **more)))
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def test_rows_are_joined_by_workload_implementation_and_phase():
    found = side_by_side(two_machines())

    (table,) = found.tables
    assert table.title == "both: 256x768/float32/cpu"
    assert [row.title for row in table.rows[:4]] == ["fused", "eager", "compiled", "mine"]
    assert len(table.rows) == 16
    cells = {row.title: row.cells for row in table.rows[:4]}
    assert [cell.summary.run_id for cell in cells["fused"]] == ["here", "there"]
    assert cells["mine"][0] is None
    assert cells["compiled"][1] is None
    assert cells["eager"][0].summary.status is Status.CRASH


def test_what_only_one_run_has_is_told_and_needs_no_table():
    found = side_by_side(two_machines())

    assert "only A planned 8x128x768/float32/cpu" in found.notes


def test_the_names_of_many_workloads_are_told_in_short():
    many = [workload((8, 64 * (number + 1))) for number in range(5)]
    found = side_by_side([made("one", names=("fused",), workloads=many), made("two", names=("fused",))])

    assert any(
        note.startswith("only A planned 8x64/float32/cpu, ") and note.endswith(" and 2 more") for note in found.notes
    )


def test_conditions_that_no_comparison_would_accept_come_first_and_settings_after_them():
    found = side_by_side(two_machines())

    told = {difference.name: difference for difference in found.obstacles}
    assert set(told) == {"machine", "torch"}
    assert told["torch"].values == ("2.13.0", "2.12.0")
    assert told["torch"].rows == 8
    assert "torch" not in {difference.name for difference in found.settings}
    assert "physical cores" in {difference.name for difference in found.settings}


def test_a_condition_that_differs_from_row_to_row_is_told_by_its_number_of_rows():
    found = side_by_side([made("one", suite="this"), made("two", suite="that")])

    (suite,) = (difference for difference in found.obstacles if difference.name == "suite")
    assert suite.values == ()
    assert grouped(suite, ["A", "B"]) == "suite: differs from row to row, in 12 rows"


def test_equal_values_stand_together():
    assert grouped(Differing("torch", ("2.13", "2.12", "2.13", "")), ["A", "B", "C", "D"]) == (
        "torch: 2.13 (A, C); 2.12 (B); none (D)"
    )


def test_runs_of_the_same_machine_differ_in_nothing():
    found = side_by_side([made("one"), made("two")])

    assert (found.obstacles, found.settings, found.notes) == ((), (), ())
    assert [entry.marks for entry in found.runs] == [(), ()]


def test_another_reference_is_said_beside_the_rows():
    other = made("two", workloads=[workload(reference="eager")])
    found = side_by_side([made("one"), other])

    assert found.tables[0].caption == "reference: fused (A), eager (B); wall clock"
    assert "reference" in {difference.name for difference in found.obstacles}


def test_runs_that_were_cut_short_or_have_one_process_say_so_together():
    one = run([workload()], [case("fused")], noisy_turns({0: 1e-4}), run_id="one")
    two = run([workload()], [case("fused")], noisy_turns({0: 1e-4}), run_id="two")

    assert side_by_side([one, two]).notes == (
        "A, B: interrupted; what was measured before is shown",
        "A, B: one process; its intervals hold for that alone, and another one can differ",
    )


def test_a_run_that_stands_twice_is_refused():
    with pytest.raises(UsageError, match="run one is named twice"):
        ShownRuns([made("one"), made("two"), made("one")])


def test_a_choice_of_rows_that_nothing_matches_is_refused():
    with pytest.raises(UsageError, match="--only: no row"):
        side_by_side([made("one"), made("two")], only=parse_only("implementation=nothing"))


def test_a_choice_of_rows_is_shown_alone_in_every_format():
    shown_runs = ShownRuns([made("one"), made("two")], only=parse_only("implementation=eager,phase=backward"))

    for name, render in RUNS_FORMATS.items():
        assert "eager" in render(shown_runs), name
        assert "compiled" not in render(shown_runs), name


def test_letters_go_on_past_z():
    assert [letter(place) for place in (0, 25, 26)] == ["A", "Z", "R27"]


@pytest.mark.parametrize("width", [80, 120])
def test_two_runs_look_as_expected(width):
    text = shown(two_machines(), width=width)

    assert text == expected(f"side-by-side-{width}.txt", text)


@pytest.mark.parametrize("name", ["markdown", "latex"])
def test_two_runs_are_written_as_expected(name):
    text = RUNS_FORMATS[name](ShownRuns(two_machines()))

    assert text == expected(f"side-by-side.{'md' if name == 'markdown' else 'tex'}", text)


@pytest.mark.parametrize("count", [2, 3, 4, 7])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_or_cut_however_many_runs(count, width):
    text = shown(
        [made(f"run-{number}", **(OTHER_MACHINE if number % 2 else {})) for number in range(count)], width=width
    )

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_more_runs_than_fit_beside_each_other_stand_below_each_other():
    runs = [made(f"run-{number}", names=("fused", "eager")) for number in range(7)]

    lines = shown(runs, width=80).splitlines()

    assert [
        line.split()[0] for line in lines[lines.index(next(line for line in lines if "  eager" in line)) :][1:7]
    ] == [*"BCDEFG"]


def test_runs_without_a_workload_in_common_say_so():
    found = [made("one", workloads=[workload((8, 64))]), made("two", workloads=[workload((8, 128))])]

    assert NOTHING_SHARED in shown(found, width=80)
    assert NOTHING_SHARED in RUNS_FORMATS["markdown"](ShownRuns(found))
    assert side_by_side([run([], [], [], run_id="one"), run([], [], [], run_id="two")]).tables == ()


def test_csv_holds_the_results_of_all_runs_which_their_ids_tell_apart():
    frame = pd.read_csv(io.StringIO(RUNS_FORMATS["csv"](ShownRuns(two_machines()))), dtype=RESULT_DTYPES, **READING)

    assert frame.groupby("run_id").size().to_dict() == {"here": 24, "there": 12}
    assert not frame.duplicated(["run_id", "workload", "implementation", "norm_mode", "phase", "clock"]).any()


def test_samples_of_several_runs_are_told_apart_too():
    frame = pd.read_csv(io.StringIO(ShownRuns(two_machines()).samples()), **READING)

    assert set(frame["run_id"]) == {"here", "there"}


def test_json_holds_what_is_to_be_said_of_each_run_and_in_what_they_differ():
    found = json.loads(RUNS_FORMATS["json"](ShownRuns(two_machines())))

    assert [entry["run_id"] for entry in found["runs"]] == ["here", "there"]
    assert found["runs"][1]["environment"]["cpu"] == "Another CPU"
    assert {entry["name"] for entry in found["obstacles"]} == {"machine", "torch"}
    assert len(found["rows"]) == 36
    assert {row["run_id"] for row in found["rows"]} == {"here", "there"}


def test_a_whole_run_beside_itself_under_another_name_has_the_same_columns():
    first = everything()
    second = first.model_copy(update={"header": first.header.model_copy(update={"run_id": "again"})})

    found = side_by_side([first, second])

    assert len(found.tables) == 4
    for row in (row for table in found.tables for row in table.rows):
        ours, theirs = (cell.summary for cell in row.cells)
        assert (ours.median_s, ours.speedup, ours.status) == (theirs.median_s, theirs.speedup, theirs.status)
