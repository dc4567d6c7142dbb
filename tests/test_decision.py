"""What a check comes to: flagged rows, fresh processes that judge alone, exit codes and how often they are right."""

import math

import condensed
import fabricate
import numpy as np
import pytest
from scipy import stats as oracle

from lnbench.decision import cases_to_confirm, decide
from lnbench.errors import ExitCode
from lnbench.events import RunFinished
from lnbench.planned import Status
from lnbench.verdict import Verdict

SLOWER = math.log(1.08)


def near(value, *, spread=0.001, count=3):
    return [value + spread * (place - (count - 1) / 2) for place in range(count)]


def versions_check(slowdowns, fresh=None, *, ends=(), **check):
    """A check of two versions: a log slowdown per workload (or three), and fresh ones for those measured again."""
    cases = condensed.versions(len(slowdowns))
    logs = {2 * number + 1: [-it for it in _three(found)] for number, found in enumerate(slowdowns)}
    events = [*condensed.found(cases, logs), *ends]
    if fresh is not None:
        asked = {2 * number + 1: [-it for it in _three(found)] for number, found in fresh.items()}
        again = [event for event in condensed.found(cases, asked, first_process=3) if event.case // 2 in fresh]
        events += [condensed.confirming(sorted({event.case for event in again})), *again]
    return condensed.run(cases, events, check=condensed.check_of(**check))


def _three(found):
    return near(found) if isinstance(found, float) else list(found)


def codes(run):
    return {code for code, _ in decide(run).findings}


def test_rows_that_look_slower_are_measured_again_with_what_they_are_compared_with():
    run = versions_check([0.0, SLOWER, 0.0])

    assert cases_to_confirm(run) == {2, 3}


def test_nothing_is_measured_again_where_nothing_looks_slower():
    assert cases_to_confirm(versions_check([0.0, -SLOWER, 0.0])) == frozenset()


def test_a_regression_is_what_fresh_processes_confirm():
    decision = decide(versions_check([0.0, SLOWER, 0.0], {1: SLOWER}))

    assert decision.exit_code is ExitCode.REGRESSION
    assert [row.verdict for row in decision.comparison.rows] == [Verdict.SAME, Verdict.SLOWER, Verdict.SAME]
    assert decision.headline == "regression: mine is slower in 1 of 3 rows, confirmed"
    assert "confirmed by fresh processes" in decision.regressions[0].reason


def test_what_fresh_processes_do_not_confirm_is_judged_by_them_alone():
    decision = decide(versions_check([0.0, SLOWER, 0.0], {1: 0.0}))

    row = decision.comparison.rows[1]
    assert decision.exit_code is ExitCode.FINE
    assert (row.verdict, row.confirmed) == (Verdict.SAME, False)
    assert row.reason.startswith("+8.0 % at first, not confirmed by fresh processes")


def test_fresh_processes_that_failed_confirm_nothing():
    end = fabricate.ended(3, Status.CRASH, "SIGSEGV at timing", process=4)
    decision = decide(versions_check([0.0, SLOWER, 0.0], {1: SLOWER}, ends=[end]))

    assert decision.exit_code is ExitCode.CASE_FAILED
    assert not decision.regressions


@pytest.mark.parametrize("fresh", [None, {9: (-0.1, SLOWER, 0.3)}])
@pytest.mark.parametrize("allowed", [(), ("inconclusive",)])
def test_a_row_that_looked_slower_and_was_not_settled_is_unfit_though_it_is_one_of_ten(fresh, allowed):
    decision = decide(versions_check([0.0] * 9 + [SLOWER], fresh, allowed=allowed))

    assert decision.exit_code is ExitCode.UNFIT
    assert decision.headline.startswith("1 row looked slower and remained undecided in fresh processes: mine")
    assert decision.comparison.rows[9].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("slowdown", "fresh", "code"),
    [
        (0.0, None, ExitCode.FINE),
        (SLOWER, None, ExitCode.UNFIT),
        (SLOWER, SLOWER, ExitCode.REGRESSION),
        (SLOWER, 0.0, ExitCode.FINE),
    ],
)
def test_a_row_that_the_machine_spoiled_is_measured_again_where_it_reads_slower(slowdown, fresh, code):
    end = fabricate.ended(19, Status.UNSTABLE, "half of the rounds were spoiled")
    slowdowns = [0.0] * 9 + [slowdown]

    asked = cases_to_confirm(versions_check(slowdowns, ends=[end]))
    decision = decide(versions_check(slowdowns, None if fresh is None else {9: fresh}, ends=[end]))

    assert asked == ({18, 19} if slowdown else frozenset())
    assert decision.exit_code is code


WIDE = (-0.2, 0.0, 0.2)


@pytest.mark.parametrize(("wide", "expected"), [(2, ExitCode.FINE), (3, ExitCode.UNFIT)])
def test_more_than_a_fifth_inconclusive_is_unfit(wide, expected):
    assert decide(versions_check([WIDE] * wide + [0.0] * (10 - wide))).exit_code is expected


def test_strict_lets_no_row_stay_inconclusive():
    assert decide(versions_check([WIDE] + [0.0] * 9, strict=True)).exit_code is ExitCode.UNFIT


def test_allowing_what_is_inconclusive_passes_unless_nothing_at_all_was_decided():
    assert decide(versions_check([WIDE] * 3 + [0.0] * 6, allowed=("inconclusive",))).exit_code is ExitCode.FINE
    assert decide(versions_check([WIDE] * 5, allowed=("inconclusive",))).exit_code is ExitCode.UNFIT


def baseline_check(base_logs, head_logs, fresh=None, *, head_fields=None, ends=(), **check):
    """A suite against a baseline: three implementations beside fused on each workload, by case number."""
    count = (max(base_logs) + 3) // 4
    cases = condensed.suite(count)
    base = condensed.run(cases, condensed.found(cases, base_logs), run_id="base")
    events = [*condensed.found(cases, head_logs), *ends]
    if fresh is not None:
        again = [
            event
            for event in condensed.found(cases, fresh, first_process=3)
            if event.case in fresh or event.case % 4 == 0
        ]
        events += [condensed.confirming(sorted(fresh)), *again]
    fields = {"run_id": "head", "check": condensed.check_of(base, **check), **(head_fields or {})}
    return condensed.run(cases, events, **fields)


FLAT = {1: near(0.0), 2: near(0.1), 3: near(-0.1)}


def test_a_baseline_s_regression_is_confirmed_by_fresh_processes():
    slower = FLAT | {1: near(-SLOWER)}

    run = baseline_check(FLAT, slower)
    decision = decide(baseline_check(FLAT, slower, {1: near(-SLOWER)}))

    assert cases_to_confirm(run) == {0, 1, 2, 3}
    assert decision.exit_code is ExitCode.REGRESSION
    assert decision.regressions[0].implementation == "mine"


@pytest.mark.parametrize("verdict", ["missing", "not comparable"])
def test_missing_and_not_comparable_rows_are_unfit_unless_allowed(verdict):
    other = {"environment": fabricate.ENVIRONMENT.model_copy(update={"versions": {"torch": "2.14.0"}})}
    ways = {
        "missing": {"ends": [fabricate.ended(1, Status.UNSUPPORTED, "no such dtype")], "head_fields": {}},
        "not comparable": {"head_fields": other},
    }

    refused = decide(baseline_check(FLAT, FLAT, **ways[verdict]))

    assert refused.exit_code in {ExitCode.UNFIT, ExitCode.NOTHING_MEASURED}
    assert any(verdict in text for _, text in refused.findings)


def test_allowed_missing_rows_pass_as_long_as_others_were_compared():
    end = fabricate.ended(1, Status.UNSUPPORTED, "no such dtype")

    assert decide(baseline_check(FLAT, FLAT, ends=[end], allowed=("missing",))).exit_code is ExitCode.FINE


def test_where_nothing_can_be_compared_it_does_not_pass_whatever_is_allowed():
    other = {"environment": fabricate.ENVIRONMENT.model_copy(update={"versions": {"torch": "2.14.0"}})}

    run = baseline_check(FLAT, FLAT, head_fields=other, allowed=("missing", "not comparable", "inconclusive"))

    assert decide(run).exit_code is ExitCode.NOTHING_MEASURED


def test_an_implementation_that_the_new_side_lost_is_missing():
    run = versions_check([0.0], missing=("gone",))

    assert decide(run).exit_code is ExitCode.UNFIT
    assert "gone" in decide(run).headline
    assert decide(versions_check([0.0], missing=("gone",), allowed=("missing",))).exit_code is ExitCode.FINE


def test_a_regression_counts_before_a_failed_case_and_that_before_too_much_unknown():
    end = fabricate.ended(9, Status.WRONG, "dx is off")
    run = versions_check([SLOWER, WIDE, WIDE, 0.0, 0.0, 0.0, 0.0], {0: SLOWER}, ends=[end])

    assert codes(run) == {ExitCode.REGRESSION, ExitCode.CASE_FAILED, ExitCode.UNFIT}
    assert decide(run).exit_code is ExitCode.REGRESSION


def test_an_interrupted_check_says_so_before_all_else():
    run = versions_check([0.0, SLOWER], {1: SLOWER}, ends=[RunFinished(wall_s=1.0, interrupted=True)])

    assert decide(run).exit_code is ExitCode.INTERRUPTED
    assert "interrupted" in decide(run).headline


def test_a_run_that_is_no_check_has_no_decision():
    with pytest.raises(ValueError, match="no check"):
        decide(condensed.run(condensed.suite(1), []))


# How often a check is right, by simulation. 12 rows, three processes a side.

ROWS = 12
NOISES = {
    "normal": lambda random, size: random.standard_normal(size),
    "heavy tails": lambda random, size: random.standard_t(3, size) / math.sqrt(3),
    "two states": lambda random, size: random.choice([-1.0, 1.0], size),
}


def simulated_versions(random, noise, deviation, truths):
    """One check of two versions, with its second stage where the first asks for it."""

    def draw():
        return {row: (truths[row] + deviation * noise(random, 3)).tolist() for row in range(ROWS)}

    first = draw()
    run = versions_check(list(first.values()))
    asked = {case // 2 for case in cases_to_confirm(run)}
    fresh = draw()
    return decide(versions_check(list(first.values()), {row: fresh[row] for row in asked}) if asked else run)


def simulated_baseline(random, noise, base_noise, deviation, truth):
    """One check against a baseline's three processes; only `mine` on the first workload is slower, if anything is."""

    def draw(shift):
        found = {case: deviation * noise(random, 3) for case in range(16) if case % 4}
        found[1] = found[1] - shift
        return {case: values.tolist() for case, values in found.items()}

    base = {case: (deviation * base_noise(random, 3)).tolist() for case in range(16) if case % 4}
    first = draw(truth)
    run = baseline_check(base, first)
    asked = cases_to_confirm(run)
    fresh = {case: values for case, values in draw(truth).items() if case in asked}
    return decide(baseline_check(base, first, fresh) if asked else run)


def most(share, trials):
    """The most events that a true rate of `share` shows in 999 of 1000 repetitions."""
    return oracle.binom.ppf(0.999, trials, share)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("deviation", [0.005, 0.03])
def test_identical_versions_hardly_ever_turn_a_check_red(name, deviation):
    random, trials = np.random.default_rng(51), 60

    red = sum(
        bool(simulated_versions(random, NOISES[name], deviation, [0.0] * ROWS).regressions) for _ in range(trials)
    )

    assert red <= most(0.01, trials)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("deviation", [0.005, 0.03])
def test_identical_work_against_a_baseline_hardly_ever_turns_a_check_red(name, deviation):
    random, trials = np.random.default_rng(52), 60

    red = sum(
        bool(simulated_baseline(random, NOISES[name], NOISES[name], deviation, 0.0).regressions) for _ in range(trials)
    )

    assert red <= most(0.02, trials)


@pytest.mark.parametrize(("percent", "deviation", "share"), [(5, 0.005, 0.97), (10, 0.005, 0.99), (10, 0.01, 0.95)])
def test_one_slower_version_among_identical_ones_is_caught(percent, deviation, share):
    random, trials = np.random.default_rng(53), 40
    truths = [math.log1p(percent / 100)] + [0.0] * (ROWS - 1)

    decisions = [simulated_versions(random, NOISES["normal"], deviation, truths) for _ in range(trials)]

    caught = sum(decision.comparison.rows[0].verdict is Verdict.SLOWER for decision in decisions)
    assert caught >= oracle.binom.ppf(0.001, trials, share)


def test_a_slowdown_below_the_margin_is_hardly_ever_called_slower():
    random, trials = np.random.default_rng(54), 40

    red = sum(
        bool(simulated_versions(random, NOISES["normal"], 0.005, [math.log(1.02)] * ROWS).regressions)
        for _ in range(trials)
    )

    assert red <= most(0.02, trials)


def test_mistake_30_an_improvement_does_not_fail_and_comparing_nothing_does_not_pass():
    better = decide(versions_check([-SLOWER, -SLOWER]))
    nothing = decide(condensed.run(condensed.versions(1), [], check=condensed.check_of()))

    assert better.exit_code is ExitCode.FINE
    assert better.comparison.counts[Verdict.FASTER] == 2
    assert nothing.exit_code is ExitCode.NOTHING_MEASURED
