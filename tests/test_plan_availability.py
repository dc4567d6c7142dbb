"""What is known before anything runs: which cases lack a library, a device, or a package that can be loaded."""

import pytest
from planning import GPU_MACHINE, KNOWN, MACHINE, outcomes, suite

from lnbench.errors import SuiteError
from lnbench.lineup import Known, used_names
from lnbench.plan import make_plan
from lnbench.planned import PlannedCase, Status
from lnbench.suite import read_suite

MISSING = (Status.SKIPPED, "needs jax, which is not installed: pip install 'lnbench[jax]'")
BROKEN = (Status.CRASH, "bad-norms 1.0: loading it failed: it was ended by SIGSEGV")
MORE = {
    "jax": Known("layer_norm", obstacle=MISSING),
    "apex": Known("layer_norm", devices=("cuda",)),
    "numpy": Known("layer_norm", devices=("cpu",)),
    "broken": Known("", obstacle=BROKEN),
}


def plan(workload="shapes: [[8, 64]]", *, implementations, machine=MACHINE):
    return make_plan(suite(workload, implementations=implementations), known=KNOWN | MORE, machine=machine)


def test_a_case_without_its_library_is_skipped_with_the_reason_and_the_others_stay():
    made = plan(implementations="fused, jax")

    assert outcomes(made) == {"fused": (None, ""), "jax": MISSING}
    assert made.measurable == 1


def test_what_runs_on_one_kind_of_device_is_skipped_on_the_other():
    made = plan("shapes: [[8, 64]], devices: [cpu, 'cuda:0']", implementations="apex, numpy", machine=GPU_MACHINE)

    assert [(case.status, case.reason) for case in made.cases] == [
        (Status.SKIPPED, "runs on CUDA only"),
        (None, ""),
        (None, ""),
        (Status.SKIPPED, "runs on the CPU only"),
    ]


def test_an_absent_device_is_told_before_what_an_implementation_lacks():
    made = plan("shapes: [[8, 64]], devices: cuda", implementations="jax, numpy")

    assert set(outcomes(made).values()) == {(Status.SKIPPED, "no NVIDIA driver was found")}


def test_cases_of_a_package_that_can_not_be_loaded_have_failed_and_their_function_is_not_known():
    made = plan(implementations="fused, {use: broken, as: mine, options: {anything: 3}}")

    (_, case) = made.cases
    assert outcomes(made)["mine"] == BROKEN
    assert (case.function, case.norm_mode, case.options) == ("", "", {"anything": 3})


def test_a_case_without_a_function_can_not_be_planned_to_be_measured():
    with pytest.raises(ValueError, match="what is to be measured has a function"):
        PlannedCase(workload=0, implementation="x", use="x", function="")


def test_an_unknown_name_s_hint_knows_what_is_installed_but_was_not_loaded():
    with pytest.raises(SuiteError) as caught:
        plan(implementations="fused, brokn")

    assert 'did you mean "broken"?' in caught.value.hint


NAMED = """
name: named
reference: {reference}
implementations: [one, {{use: two, as: deux}}]
workloads:
  - shapes: [[8, 64]]
  - {{shapes: [[4, 64]], reference: four, implementations: [three]}}
"""


@pytest.mark.parametrize(
    ("reference", "chosen", "used"),
    [
        ("one", (), {"one", "two", "three", "four"}),
        ("five", (), {"one", "two", "three", "four", "five"}),
        ("one", ("deux",), {"one", "two", "four"}),
        ("deux", ("six", "one"), {"one", "two", "four", "six"}),
    ],
)
def test_the_names_behind_a_suite_are_all_that_may_take_part_in_it(reference, chosen, used):
    made = read_suite(NAMED.format(reference=reference), source="s.yaml")

    assert used_names(made, chosen=chosen) == used


def test_names_that_the_command_line_replaces_are_not_used():
    with_reference = suite(implementations="one, two", top="reference: fused")
    without = suite(implementations="one, two")

    assert used_names(with_reference, chosen=["three"]) == {"fused", "three"}
    assert used_names(without, chosen=["three"]) == {"one", "three"}
