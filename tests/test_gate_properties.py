"""What holds of every check against a baseline, whatever its rows took: more work never makes it pass."""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from planted_checks import COPY, ROWS, Planted

from lnbench.errors import ExitCode
from lnbench.verdict import Verdict

WORKLOADS = 3
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])

factors = st.sampled_from([0.8, 0.95, 1.0, 1.0, 1.0, 1.0, 1.02, 1.03, 1.05, 1.1, 1.5])


@st.composite
def planted(
    draw, *, noise=(0.0005, 0.003, 0.01, 0.03), luck=(0.0, 0.02, 0.1), has_copy=(True, True, False), same_draws
):
    """A check of one to four rows on up to three workloads, each thing with a factor of its own."""
    rows, workloads = ROWS[: draw(st.integers(1, 4))], draw(st.integers(1, WORKLOADS))
    names = (*rows, "fused", COPY) if draw(st.booleans()) else rows
    return Planted(
        workloads=workloads,
        rows=rows,
        factors={(number, name): draw(factors) for number in range(workloads) for name in names},
        has_copy=draw(st.sampled_from(has_copy)),
        noise=draw(st.sampled_from(noise)),
        luck=draw(st.sampled_from(luck)),
        copy_noise=draw(st.sampled_from([None, 0.001, 0.1])),
        seed=draw(st.integers(0, 1000)),
        same_draws=same_draws,
    )


def row_of(decision, workload, name):
    """A row as it was read in the end."""
    found = [row for row in decision.comparison.rows if row.implementation == name]
    return found[workload]


@quick
@given(planted(same_draws=True), st.data(), st.floats(1.0, 3.0, exclude_min=True))
def test_a_slower_row_that_reads_at_least_1_never_makes_a_check_pass_that_did_not(check, data, factor):
    workload, name = data.draw(st.integers(0, check.workloads - 1)), data.draw(st.sampled_from(check.rows))
    before = check.decide()
    assume(before.exit_code in {ExitCode.REGRESSION, ExitCode.UNFIT})
    assume((row_of(before, workload, name).slowdown or 0.0) >= 1.0)

    after = check.slower(factor, name, workload=workload).decide()

    assert after.exit_code in {ExitCode.REGRESSION, ExitCode.UNFIT}


@quick
@given(planted(same_draws=False), st.data(), st.floats(1.0, 3.0, exclude_min=True))
def test_a_slower_row_never_makes_a_red_check_pass_when_fresh_processes_have_other_noise(check, data, factor):
    workload, name = data.draw(st.integers(0, check.workloads - 1)), data.draw(st.sampled_from(check.rows))
    before = check.decide()
    assume(before.exit_code is ExitCode.REGRESSION)
    assume((row_of(before, workload, name).slowdown or 0.0) >= 1.0)

    after = check.slower(factor, name, workload=workload).decide()

    assert after.exit_code in {ExitCode.REGRESSION, ExitCode.UNFIT}


def has_steady_copy(check) -> bool:
    """True where the copy tells, and the reference had not become faster than it already."""
    told = {name: [factor for (_, it), factor in check.factors.items() if it == name] for name in ("fused", COPY)}
    return check.copy_noise != 0.1 and min(told["fused"], default=1.0) >= 1.0 and set(told[COPY]) <= {1.0}


@quick
@given(
    planted(noise=(0.0005, 0.002), luck=(0.0,), has_copy=(True,), same_draws=False).filter(has_steady_copy),
    st.floats(1.07, 3.0),
    st.booleans(),
)
def test_a_slower_reference_never_makes_a_red_check_pass(check, factor, everywhere):
    """By more than twice the margin, below which everything may be within the margin of the baseline again."""
    before = check.decide()
    assume(before.exit_code is ExitCode.REGRESSION)

    after = check.slower(factor, "fused", workload=None if everywhere else 0).decide()

    assert after.exit_code in {ExitCode.REGRESSION, ExitCode.UNFIT}


@quick
@given(planted(same_draws=False), st.sampled_from([(), ("inconclusive",)]))
def test_a_row_that_was_measured_again_passes_only_where_it_was_found_the_same_or_faster(check, allowed):
    decision = check.decide(allowed=allowed)

    asked = [row for row in decision.comparison.rows if row.confirmed is not None]
    assume(asked)
    settled = all(row.verdict in {Verdict.SAME, Verdict.FASTER} for row in asked)
    assert settled or decision.exit_code in {ExitCode.REGRESSION, ExitCode.UNFIT}
