"""Runs over time: lines, gaps, changes with their commits, and what must not be put into one line."""

import math

import fabricate
import pytest
from fabricate import ENVIRONMENT, case, ended, noisy_turns, workload
from nights import NOISE, PHASES, Night, commit_of, nights, run_of, slower_from, with_versions

from lnbench.analysis.history import make_history
from lnbench.analysis.history_tables import points_table
from lnbench.analysis.run_points import points_of
from lnbench.condense import condense
from lnbench.events import Confirming
from lnbench.planned import Status
from lnbench.record import Check
from lnbench.render.history_cells import track_title
from lnbench.selection import parse_only


def history(runs, **options):
    """The history of these runs."""
    return make_history([points_of(run) for run in runs], **options)


def changes(found):
    """Implementation and phase of every change, with its kind and the first run after it."""
    return {
        (series.key.implementation, series.key.phase, change.direction, change.after, bool(change.together))
        for series in found.series
        for change in series.changes
    }


def test_a_planted_step_is_told_with_its_commits_and_its_size_and_nothing_else_is():
    found = history(nights(30, slower_from(17)))

    (section,) = found.sections
    assert changes(found) == {("compiled", phase.value, "slower", 17, False) for phase in PHASES}
    for told in section.moments[0].told:
        assert section.runs[told.change.before].commit == commit_of(16)
        assert section.runs[told.change.after].commit == commit_of(17)
        bounds = told.change.slowdown.exp()
        assert bounds.low < 1.08 * math.exp(NOISE)
        assert bounds.high > 1.08 * math.exp(-NOISE)


def test_runs_stand_in_order_of_their_time_whatever_order_they_come_in():
    runs = nights(30, slower_from(17))
    shuffled = [runs[(7 * number) % 30] for number in range(30)]

    assert changes(history(shuffled)) == changes(history(runs))
    assert [mark.run_id for mark in history(shuffled).sections[0].runs] == [run.header.run_id for run in runs]


def test_a_time_with_another_offset_is_the_same_time():
    early, late = nights(2)
    late = late.model_copy(update={"header": late.header.model_copy(update={"created": "2026-10-01T02:30:00+01:00"})})

    assert [mark.run_id for mark in history([early, late]).sections[0].runs] == [
        late.header.run_id,
        early.header.run_id,
    ]


@pytest.mark.parametrize("created", ["", "yesterday", "2026-13-45", "9999-12-31T23:59:59-23:59", "0001-01-01"])
def test_a_run_that_does_not_tell_its_time_is_no_obstacle(created):
    odd = run_of(Night(number=3))
    odd = odd.model_copy(update={"header": odd.header.model_copy(update={"created": created, "run_id": "odd"})})

    (section,) = history([*nights(3), odd]).sections

    assert "odd" in {mark.run_id for mark in section.runs}
    assert all(mark.day is not None for mark in section.runs)


def test_fewer_than_six_runs_are_too_few_and_are_shown():
    found = history(nights(5, slower_from(2)))

    assert changes(found) == set()
    assert {series.note for series in found.series} == {"too few runs to look for changes: 5, need at least 6"}
    assert all(series.last is not None for series in found.series)


def test_a_run_in_which_a_case_failed_is_a_gap_with_its_reason():
    found = history(nights(8, lambda night: {"failed": ("module",)} if night == 4 else {}))

    (series, *_) = [it for it in found.series if it.key.implementation == "module"]
    gap = series.points[4]
    assert (gap.interval, gap.status, gap.reason) == (None, Status.CRASH, "SIGSEGV in backward, at timing")
    assert sum(point.interval is None for point in series.points) == 1


def test_a_run_whose_reference_failed_is_a_gap_that_says_so():
    found = history(nights(8, lambda night: {"failed": ("fused",)} if night == 4 else {}))

    for series in found.series:
        assert series.points[4].reason == "no turns of the reference, fused, in the same rounds"
        assert series.points[4].interval is None


def test_a_change_beside_a_gap_names_the_runs_that_were_measured():
    def change(night):
        return {"failed": ("compiled",)} if night in (15, 16) else slower_from(17)(night)

    found = history(nights(30, change))

    assert {(told.before, told.after) for series in found.series for told in series.changes} == {(14, 17)}


@pytest.mark.parametrize(("factor", "word"), [(0.08, "slower"), (-0.08, "faster")])
def test_where_all_rows_move_together_it_is_the_reference_that_moved(factor, word):
    found = history(nights(30, slower_from(17, by=factor, name="fused")))

    texts = {change.together for series in found.series for change in series.changes}
    assert len(changes(found)) == 6
    assert all(text.endswith(f"it is the reference that moved, fused became {word}") for text in texts)
    assert all(text.startswith("3 of 3 rows moved together, by about ") for text in texts)


EVERY_ROW = {"eager": 1.08, "compiled": 1.08, "module": 1.08}


def all_rows_slower_from(first):
    return lambda night: {"slowdowns": EVERY_ROW} if night >= first else {}


def test_rows_that_move_together_keep_their_changes_where_the_copy_shows_that_the_reference_stayed():
    found = history(nights(30, all_rows_slower_from(17)))

    told = [change for series in found.series for change in series.changes]
    assert len(changes(found)) == 6
    assert {(change.direction, change.together, change.remark) for change in told} == {("slower", "", "")}


@pytest.mark.parametrize("moved", [all_rows_slower_from(17), slower_from(17, by=-0.074, name="fused")])
def test_without_a_copy_rows_that_all_moved_keep_their_changes_with_a_remark(moved):
    found = history(nights(30, moved, copy_s=None))

    told = {(change.direction, change.together, change.remark) for series in found.series for change in series.changes}
    assert told == {("slower", "", "or fused became faster: no plain copy shows which")}


def test_a_reference_that_moved_under_a_single_row_is_found_by_the_copy():
    found = history(nights(30, slower_from(17, name="fused"), times={"fused": 1e-4, "eager": 3e-4}))

    texts = {change.together for series in found.series for change in series.changes}
    assert texts
    assert all("it is the reference that moved, fused became slower" in text for text in texts)


def test_one_row_of_two_beside_the_reference_is_never_blamed_on_the_reference():
    times = {"fused": 1e-4, "eager": 3e-4, "compiled": 1.3e-4}
    found = history(nights(30, slower_from(17), times=times))

    assert {told[-1] for told in changes(found)} == {False}


def test_runs_that_tell_disturbed_samples_from_others_begin_a_new_line_that_says_so():
    older = nights(15, fields={"schema_version": 6})
    newer = nights(30, slower_from(0))[15:]
    found = history([*older, *newer])

    (section,) = found.sections
    assert changes(found) == set()
    assert {track_title(section, track).rpartition(" on ")[2] for track in section.tracks} == {
        "all samples",
        "undisturbed samples",
    }


def test_another_machine_has_lines_of_its_own_and_no_change_comes_from_it():
    other = ENVIRONMENT.model_copy(update={"cpu": "Another CPU"})
    runs = nights(30, lambda night: {"environment": other, "slowdowns": {"compiled": 1.5}} if night % 2 else {})

    (section,) = history(runs).sections

    assert changes(history(runs)) == set()
    assert len({track.place.machine for track in section.tracks}) == 2
    assert {track.runs for track in section.tracks} == {tuple(range(0, 30, 2)), tuple(range(1, 30, 2))}


def test_processors_of_one_name_have_lines_of_their_own_and_runs_that_do_not_tell_join_the_newest():
    def measured_on(night):
        signature = "" if night < 10 else f"GenuineIntel family 6 model {143 if night % 2 else 85} stepping 7"
        slow = {"slowdowns": {"compiled": 1.5}} if night >= 10 and not night % 2 else {}
        return {"environment": ENVIRONMENT.model_copy(update={"cpu_signature": signature}), **slow}

    runs = nights(30, measured_on)

    (section,) = history(runs).sections

    assert changes(history(runs)) == set()
    assert {(track.place.machine.rpartition(", ")[2], track.runs) for track in section.tracks} == {
        ("GenuineIntel family 6 model 143 stepping 7", (*range(10), *range(11, 30, 2))),
        ("GenuineIntel family 6 model 85 stepping 7", tuple(range(10, 30, 2))),
    }


def test_other_options_under_the_same_name_are_another_line():
    runs = nights(16)
    renamed = []
    for number, run in enumerate(runs):
        cases = tuple(
            it.model_copy(update={"options": {"fast": True}}) if it.implementation == "compiled" and number > 7 else it
            for it in run.header.cases
        )
        renamed.append(run.model_copy(update={"header": run.header.model_copy(update={"cases": cases})}))

    lines = [series for series in history(renamed).series if series.key.implementation == "compiled"]

    assert len(lines) == 8
    assert {series.definition for series in lines} == {
        "nightly: compiled, layer_norm",
        "nightly: compiled (fast=True), layer_norm",
    }


def test_another_torch_version_is_told_and_does_not_break_the_line():
    found = history(nights(30, slower_from(17, environment=with_versions(torch="2.14.0"))))

    (section,) = found.sections
    (marker,) = section.markers
    assert (marker.before, marker.after) == (16, 17)
    assert marker.differences == (("torch", "2.13.0", "2.14.0"),)
    assert changes(found) == {("compiled", phase.value, "slower", 17, False) for phase in PHASES}


def test_suites_are_told_apart():
    found = history([*nights(8, suite="one"), *nights(8, suite="two")])

    assert [(section.suite, len(section.runs)) for section in found.sections] == [("one", 8), ("two", 8)]


def test_a_run_and_its_baseline_count_once():
    runs = nights(8)

    found = history([*runs, condense(runs[3]), condense(runs[4])])

    assert len(found.sections[0].runs) == 8
    assert found.notes == ("2 journals of a run that another journal holds too, left out",)


def test_processes_that_only_confirmed_a_check_do_not_count():
    run = run_of(Night(number=1, processes=6))
    check = run.model_copy(update={"events": (*run.events, Confirming(first_process=3, cases=(1,)))})

    (first, *_) = points_of(check).readings

    assert first.interval.count == 3


def test_a_check_of_old_against_new_code_is_left_out_and_said():
    cases = [case("mine@base"), case("mine", reference="mine@base")]
    check = fabricate.run(
        [workload(reference="mine@base")],
        cases,
        noisy_turns({0: 1e-4, 1: 1e-4}),
        run_id="check",
        check=Check(source="git:main:mine.py"),
    )

    found = history([*nights(6), check])

    assert found.notes == ("1 check of old against new code, which have no ratio to a reference, left out",)
    assert [section.suite for section in found.sections] == ["nightly"]


def test_one_process_and_an_interrupted_run_have_points_too():
    events = list(noisy_turns({0: 1e-4, 1: 2e-4}, processes=1, rounds=30))
    whole = fabricate.run([workload()], [case("fused"), case("eager")], events)
    short = whole.model_copy(
        update={"header": whole.header.model_copy(update={"run_id": "short"}), "events": tuple(events[:2])}
    )

    found = history([whole, short])

    assert all(series.last is not None for series in found.series)
    bounded = [[point.interval is not None and point.interval.is_bounded for point in it.points] for it in found.series]
    assert all(sorted(it) == [False, True] for it in bounded)


def test_an_empty_run_and_one_where_all_failed_leave_nothing():
    empty = fabricate.run([], [], [])
    failed = fabricate.run(
        [workload()], [case("fused"), case("eager")], [ended(0, Status.OOM, "memory"), ended(1, Status.OOM, "memory")]
    )

    assert history([empty, failed]).sections == ()
    assert history([]).sections == ()


def test_only_what_is_wanted_is_kept():
    run = run_of(Night(number=1))

    found = points_of(run, only=parse_only("implementation=comp*,phase=forward,dtype=float32"))

    assert [reading.key[1:4] for reading in found.readings] == [("compiled", "", "forward")]


def test_a_margin_that_is_given_counts_in_place_of_the_rows_own():
    runs = nights(30, slower_from(17))

    assert changes(history(runs, margin=0.2)) == set()


def test_every_point_is_a_row_and_a_change_stands_at_the_first_run_after_it():
    found = history(nights(30, slower_from(17)))
    table = points_table(found)
    rows = [dict(zip(table.dtypes, row, strict=True)) for row in table.rows]

    changed = [row for row in rows if row["change"]]
    assert len(rows) == 30 * 12
    assert {(row["change"], row["commit"], row["commit_before"]) for row in changed} == {
        ("slower", commit_of(17), commit_of(16))
    }
    assert all(row["speedup_low"] < row["speedup"] < row["speedup_high"] for row in rows)


def test_a_hundred_rows_in_which_nothing_changed_seldom_tell_of_a_change():
    """False discoveries are controlled over all rows: 5 of 1000 series had one in simulations with odd runs."""
    times = {"fused": 1e-4} | {f"kernel{number}": 1e-4 for number in range(25)}

    assert len(changes(history(nights(30, times=times, noise=0.01)))) <= 1
