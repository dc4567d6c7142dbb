"""Planning for verdicts: margins from thresholds, and two versions of an implementation side by side."""

import pytest
from planning import KNOWN, MACHINE, suite

from lnbench.errors import SuiteError
from lnbench.lineup import Known
from lnbench.plan import make_plan, parse_only
from lnbench.planned import DEFAULT_MARGIN, Status

SIDED = KNOWN | {
    "mine": Known("layer_norm", {"block": 128}),
    "mine@base": Known("layer_norm", {"block": 128}),
    "other": Known("layer_norm"),
    "other@base": Known("layer_norm"),
    "normed": Known("batch_norm"),
    "normed@base": Known("batch_norm"),
    "grown": Known("layer_norm", {"block": 128}),
    "grown@base": Known("layer_norm"),
}


def sides(*args, against=("mine",), only=None, **kwargs):
    return make_plan(
        suite(*args, **kwargs), known=SIDED, machine=MACHINE, against=against, only=only and parse_only(only)
    )


def margins(*args, **kwargs):
    options = kwargs.pop("options", {})
    made = make_plan(suite(*args, **kwargs), known=SIDED, machine=MACHINE, **options)
    return {case.implementation: case.margin for case in made.cases}


def rows(made):
    return [(made.workloads[case.workload].id, case.implementation, case.reference) for case in made.cases]


def test_each_version_stands_beside_its_old_one_and_nothing_else_is_measured():
    made = sides(against=("mine", "other"))

    assert [case for _, *case in rows(made)] == [
        ["mine@base", "mine@base"],
        ["mine", "mine@base"],
        ["other@base", "other@base"],
        ["other", "other@base"],
    ]
    assert made.workloads[0].reference == "mine@base"


def test_entries_of_the_suite_that_use_an_implementation_keep_their_names_and_options():
    made = sides(implementations="fused, {use: mine, as: wide, options: {block: 256}}, mine")

    assert [(case.implementation, case.use, dict(case.options)) for case in made.cases] == [
        ("wide@base", "mine@base", {"block": 256}),
        ("wide", "mine", {"block": 256}),
        ("mine@base", "mine@base", {}),
        ("mine", "mine", {}),
    ]


def test_an_option_that_the_old_version_has_not_is_named():
    with pytest.raises(SuiteError, match='"grown@base" has no such option'):
        sides(implementations="{use: grown, as: wide, options: {block: 256}}", against=("grown",))


def test_each_norm_mode_stands_beside_its_own():
    made = sides("shapes: [[8, 64]], norm_modes: [train, eval]", against=("normed",))

    assert sorted((case.implementation, case.norm_mode) for case in made.cases) == [
        ("normed", "eval"),
        ("normed", "train"),
        ("normed@base", "eval"),
        ("normed@base", "train"),
    ]


@pytest.mark.parametrize("only", ["implementation=mine", "implementation=mine@base", "implementation=m*"])
def test_a_filter_keeps_both_versions_or_none(only):
    made = sides(against=("mine", "other"), only=only)

    assert [case.implementation for case in made.cases] == ["mine@base", "mine"]


def test_an_exclusion_of_one_version_leaves_the_other_out_too():
    made = sides("shapes: [[8, 64], [8, 32]]", top="exclude: [{implementation: mine, features: 64}]")

    assert {name for name, *_ in rows(made)} == {"8x32/float32/cpu"}


def test_what_can_not_be_measured_here_says_so_for_both_versions():
    made = sides("shapes: [[8, 64]], devices: [cuda]")

    assert [(case.implementation, case.status) for case in made.cases] == [
        ("mine@base", Status.SKIPPED),
        ("mine", Status.SKIPPED),
    ]


def test_without_thresholds_the_margin_is_three_percent():
    assert set(margins().values()) == {DEFAULT_MARGIN} == {0.03}


@pytest.mark.parametrize(
    ("workload", "top", "expected"),
    [
        ("shapes: [[8, 64]]", "thresholds: 0.05", {"eager": 0.05, "fused": 0.05}),
        ("shapes: [[8, 64]]", "thresholds: {eager: 0.1}", {"eager": 0.1, "fused": 0.03}),
        ("shapes: [[8, 64]], thresholds: 0.2", "thresholds: 0.05", {"eager": 0.2, "fused": 0.2}),
        ("shapes: [[8, 64]], thresholds: {fused: 0.2}", "thresholds: 0.05", {"eager": 0.05, "fused": 0.2}),
    ],
)
def test_a_workload_s_thresholds_count_before_the_suite_s(workload, top, expected):
    assert margins(workload, top=top) == expected


def test_the_command_line_s_margin_counts_before_all():
    assert set(margins(top="thresholds: {eager: 0.1}", options={"margin": 0.07}).values()) == {0.07}


def test_both_versions_have_the_margin_of_the_name_in_the_suite():
    made = sides(implementations="mine, fused", top="thresholds: {mine: 0.08}")

    assert {case.margin for case in made.cases} == {0.08}


def test_a_check_takes_at_least_three_processes_where_the_suite_says_fewer():
    def processes(top):
        return make_plan(suite(top=top), known=KNOWN, machine=MACHINE, least_processes=3).sampling.processes

    assert [processes(f"sampling: {{processes: {count}}}") for count in (1, 3, 5)] == [3, 3, 5]
