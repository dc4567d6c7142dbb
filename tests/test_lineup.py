"""Which implementations take part: references, lists, options, and names that are not known."""

import pytest
from planning import plan

from lnbench.errors import SuiteError


def test_groups_go_into_the_case_and_other_options_to_the_builder():
    made = plan(
        implementations="fused, group_norm, {use: group_norm, as: gn4, options: {groups: 4}}, "
        "{use: tuned, options: {block: 64, scale: 2, mode: fast}}"
    )

    assert [(case.implementation, case.use, case.groups, case.options) for case in made.cases] == [
        ("fused", "fused", None, {}),
        ("group_norm", "group_norm", 32, {}),
        ("gn4", "group_norm", 4, {}),
        ("tuned", "tuned", None, {"block": 64, "scale": 2, "mode": "fast"}),
    ]


def test_the_reference_is_the_entrys_own_else_the_suites_else_the_first():
    entries = ["shapes: [[8, 64]], reference: eager", "shapes: [[4, 64]]"]

    named = plan(entries, top="reference: fused")
    unnamed = plan(entries)

    assert [w.reference for w in named.workloads] == ["eager", "fused"]
    assert [w.reference for w in unnamed.workloads] == ["eager", "eager"]


def test_a_reference_that_the_list_lacks_is_put_in_front():
    made = plan(implementations="eager, rms_norm", top="reference: fused")

    assert [case.title for case in made.cases] == ["fused", "eager", "rms_norm"]


def test_a_reference_may_be_a_name_given_with_as():
    made = plan(implementations="eager, {use: group_norm, as: gn4, options: {groups: 4}}", top="reference: gn4")

    assert [case.title for case in made.cases] == ["eager", "gn4"]
    assert made.workloads[0].reference == "gn4"


def test_implementations_from_the_command_line_replace_the_list_and_keep_the_reference_and_options():
    made = plan(
        implementations="eager, fused, {use: group_norm, as: gn4, options: {groups: 4}}",
        top="reference: fused",
        options={"implementations": ["gn4", "rms_norm", "gn4"]},
    )

    assert [(case.title, case.groups) for case in made.cases] == [("fused", None), ("gn4", 4), ("rms_norm", None)]


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (
            {"implementations": "eager, fsed"},
            's.yaml:2: implementations[1]: unknown implementation "fsed"',
            'did you mean "fused"?',
        ),
        (
            {"implementations": "eager, {use: tuned, options: {blok: 1}}"},
            's.yaml:2: implementations[1].options.blok: "tuned" has no such option',
            'did you mean "block"?',
        ),
        (
            {"implementations": "{use: eager, options: {groups: 1}}"},
            's.yaml:2: implementations[0].options.groups: "eager" has no such option',
            "it takes none",
        ),
        (
            {"implementations": "{use: tuned, options: {block: wide}}"},
            's.yaml:2: implementations[0].options.block: "wide" does not fit',
            "the default is 128",
        ),
        (
            {"implementations": "{use: group_norm, options: {groups: 0}}"},
            "s.yaml:2: implementations[0].options.groups: must be at least 1, found 0",
            "",
        ),
        ({"top": "reference: fuse"}, 's.yaml:3: reference: unknown reference "fuse"', 'did you mean "fused"?'),
        (
            {"workload": "shapes: [[8, 64]], reference: fuse"},
            's.yaml:5: workloads[0].reference: unknown reference "fuse"',
            'did you mean "fused"?',
        ),
        (
            {"top": "exclude: [{implementation: fuse}]"},
            's.yaml:3: exclude[0].implementation: unknown implementation "fuse"',
            'did you mean "fused"?',
        ),
        (
            {"workload": "shapes: [[8, 64]], thresholds: {fuse: 0.1}"},
            's.yaml:5: workloads[0].thresholds.fuse: unknown implementation "fuse"',
            'did you mean "fused"?',
        ),
        (
            {"workload": ["shapes: [[8, 64]]", "shapes: [[4, 64], [8, 64]]"]},
            's.yaml:6: workloads[1].shapes[1]: "eager" on 8x64/float32/cpu is planned twice, '
            "first at s.yaml:5: workloads[0].shapes[0]",
            "leave one of the two out",
        ),
        (
            {
                "workload": f"shapes: [[8, 64]], eps: [{', '.join(f'{n}e-9' for n in range(1, 2000))}], "
                f"threads: [{', '.join(str(n) for n in range(1, 300))}]"
            },
            "s.yaml:5: workloads[0]: more than 1000000 cases",
            "shorten an axis",
        ),
    ],
)
def test_names_and_options_that_are_not_known_are_told_with_their_place(changes, message, hint):
    with pytest.raises(SuiteError) as caught:
        plan(**changes)

    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)
