"""What a check against a baseline comes to, for every kind of change: the exit code that a maintainer expects."""

import pytest
from planted_checks import COPY, ROWS, Planted

from lnbench.errors import ExitCode
from lnbench.verdict import Verdict

WORKLOADS = 6
SIZES = [1.05, 1.2, 2.0]
HOW_MANY = [1, 3, WORKLOADS]
PASSES, REGRESSION, UNFIT = ExitCode.FINE, ExitCode.REGRESSION, ExitCode.UNFIT


def changed(names, factor, *, workloads, **fields) -> Planted:
    """These change by the factor on so many workloads."""
    factors = {(number, name): factor for number in range(workloads) for name in names}
    return Planted(workloads=WORKLOADS, factors=factors, **fields)


def test_what_did_not_change_passes():
    assert Planted().decide().exit_code is PASSES
    assert Planted(has_copy=False).decide().exit_code is PASSES


@pytest.mark.parametrize("factor", SIZES)
@pytest.mark.parametrize("workloads", HOW_MANY)
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_rows_that_got_slower_are_a_regression_where_the_copy_shows_that_the_reference_stayed(rows, workloads, factor):
    decision = changed(ROWS[:rows], factor, workloads=workloads).decide()

    assert decision.exit_code is REGRESSION
    assert len(decision.regressions) == rows * workloads


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("factor", SIZES)
def test_one_or_two_rows_that_got_slower_are_a_regression_too(rows, factor):
    names = ROWS[:rows]

    assert changed(names, factor, workloads=1, rows=names).decide().exit_code is REGRESSION
    assert changed(names, factor, workloads=1, rows=names, has_copy=False).decide().exit_code is UNFIT


@pytest.mark.parametrize("factor", [*SIZES, *(1 / it for it in SIZES)])
@pytest.mark.parametrize("workloads", HOW_MANY)
@pytest.mark.parametrize("rows", [1, 4])
def test_a_reference_that_alone_got_slower_or_faster_asks_for_a_new_baseline(rows, workloads, factor):
    decision = changed(["fused"], factor, workloads=workloads, rows=ROWS[:rows]).decide()

    assert decision.exit_code is UNFIT
    assert decision.headline.startswith("the reference changed: measure a new baseline")
    assert not decision.regressions


@pytest.mark.parametrize("factor", SIZES)
@pytest.mark.parametrize("workloads", HOW_MANY)
def test_a_reference_that_got_faster_together_with_a_row_of_the_same_kernel_asks_for_a_new_baseline(workloads, factor):
    decision = changed(["fused", ROWS[0]], 1 / factor, workloads=workloads).decide()

    assert decision.exit_code is UNFIT
    assert decision.headline.startswith("the reference changed: measure a new baseline")
    assert not decision.regressions


def test_without_a_copy_such_a_row_shows_that_the_others_moved():
    decision = changed(["fused", ROWS[0]], 1 / 1.2, workloads=1, has_copy=False).decide()

    assert decision.exit_code is REGRESSION


@pytest.mark.parametrize("factor", SIZES)
@pytest.mark.parametrize("workloads", HOW_MANY)
def test_everything_but_the_copy_slower_is_unfit(workloads, factor):
    decision = changed(["fused", *ROWS], factor, workloads=workloads, luck=0.002).decide()

    assert decision.exit_code is UNFIT
    assert decision.headline.startswith("everything but a plain copy got slower")


@pytest.mark.parametrize(("factor", "code"), [(1.05, PASSES), (1.2, UNFIT), (2.0, UNFIT)])
@pytest.mark.parametrize("workloads", HOW_MANY)
def test_everything_slower_with_the_copy_is_unfit_beyond_what_machines_differ_by_from_day_to_day(
    workloads, factor, code
):
    decision = changed([COPY, "fused", *ROWS], factor, workloads=workloads).decide()

    assert decision.exit_code is code
    assert code is PASSES or decision.headline.startswith("everything got slower, a plain copy included")


@pytest.mark.parametrize("factor", SIZES)
@pytest.mark.parametrize("workloads", HOW_MANY)
def test_without_a_copy_a_whole_group_is_open_and_a_part_of_it_is_a_regression(workloads, factor):
    whole = changed(ROWS, factor, workloads=workloads, has_copy=False).decide()
    part = changed(ROWS[:3], factor, workloads=workloads, has_copy=False).decide()

    assert whole.exit_code is UNFIT
    assert "the baseline did not measure a plain copy beside fused" in whole.headline
    assert "--against" in whole.headline
    assert part.exit_code is REGRESSION
    assert len(part.regressions) == 3 * workloads


@pytest.mark.parametrize("factor", [1 / it for it in SIZES])
@pytest.mark.parametrize("has_copy", [True, False])
def test_rows_that_got_faster_pass(factor, has_copy):
    assert changed(ROWS, factor, workloads=WORKLOADS, has_copy=has_copy).decide().exit_code is PASSES


@pytest.mark.parametrize("rows", [1, 4])
def test_a_copy_too_noisy_to_tell_leaves_a_whole_group_open(rows):
    decision = changed(ROWS, 1.05, workloads=1, rows=ROWS[:rows], copy_noise=0.3).decide()

    assert decision.exit_code is UNFIT
    assert "relative to a plain copy, and the margin is 3 %" in decision.headline


def test_a_slowdown_larger_than_what_a_noisy_copy_leaves_open_is_a_regression():
    decision = changed(ROWS, 2.0, workloads=1, copy_noise=0.08, seed=3).decide()

    assert decision.exit_code is REGRESSION


@pytest.mark.parametrize("allowed", [(), ("inconclusive",)])
@pytest.mark.parametrize("names", [["fused"], ROWS])
def test_allowing_what_is_inconclusive_lifts_neither_a_changed_reference_nor_an_open_group(allowed, names):
    planted = changed(names, 1 / 1.2 if names == ["fused"] else 1.2, workloads=1, has_copy=names == ["fused"])

    assert planted.decide(allowed=allowed).exit_code is UNFIT


def test_an_open_group_keeps_its_rows_undecided_and_says_what_they_read():
    decision = changed(ROWS, 1.2, workloads=1, has_copy=False).decide()

    rows = [row for row in decision.comparison.rows if row.verdict is not Verdict.SAME]
    assert [row.verdict for row in rows] == [Verdict.INCONCLUSIVE] * 4
    assert all(row.confirmed for row in rows)
    assert all(row.reason.endswith("but fused may have become faster") for row in rows)


def test_another_machine_that_is_allowed_may_be_slower_all_over():
    planted = changed([COPY, "fused", *ROWS], 2.0, workloads=WORKLOADS)

    assert planted.decide(different=("machine",)).exit_code is PASSES


def test_a_machine_whose_processes_differ_by_more_than_its_slowdown_passes():
    codes = {
        changed([COPY, "fused", *ROWS], 1.1, workloads=WORKLOADS, luck=0.2, seed=seed).decide().exit_code
        for seed in range(20)
    }

    assert codes == {PASSES}


def test_all_cases_of_a_workload_with_a_flagged_row_are_measured_again():
    run = changed(["other"], 1.2, workloads=2).check()

    fresh = {(event.case // 5, event.case % 5) for event in run.log.others if getattr(event, "process", 0) >= 3}
    assert fresh == {(workload, case) for workload in range(2) for case in range(5)}
