"""Choosing cases by columns: `exclude` in a suite, `--only` on the command line."""

import pytest
from planning import MIB, plan, rows

from lnbench.errors import NothingMeasuredError, UsageError
from lnbench.plan import Machine, parse_only
from lnbench.planned import CacheSizes
from lnbench.workload import Phase


def test_exclusions_drop_what_matches_all_their_keys():
    made = plan(
        "shapes: [[8, 64], [4, 64]], dtypes: [float32, bfloat16], "
        "exclude: [{input_shape: [4, 64], dtype: bfloat16}, {implementation: 'eag*', input_shape: 8x*}]",
        top="exclude: [{implementation: eager, dtype: bfloat16, eps: 1e-5}]",
    )

    assert rows(made) == [
        ("8x64/float32/cpu", "fused"),
        ("8x64/bfloat16/cpu", "fused"),
        ("4x64/float32/cpu", "eager"),
        ("4x64/float32/cpu", "fused"),
    ]


def test_a_cold_workload_is_excluded_as_cold_also_where_it_is_displaced():
    machine = Machine(2, 2, CacheSizes(l2_b=MIB), 1024 * MIB)

    made = plan("shapes: [[8, 64]], cache: [hot, cold], exclude: [{cache: cold}]", machine=machine)

    assert [w.workload.cache for w in made.workloads] == ["hot"]


def test_an_excluded_phase_is_left_out_of_the_workloads_that_match():
    made = plan("shapes: [[8, 64], [4, 64]], exclude: [{phase: [forward, backward], rows: 4}]")

    assert [w.phases for w in made.workloads] == [tuple(Phase), (Phase.INFERENCE, Phase.FORWARD_BACKWARD)]


def test_only_keeps_what_matches_and_the_reference_beside_it():
    options = {"only": parse_only("dtype=bfloat16,input_shape=8x*,implementation=rms*,implementation=tuned")}

    made = plan(
        "shapes: [[8, 64], [4, 64]], dtypes: [float32, bfloat16]",
        implementations="eager, fused, rms_norm",
        top="reference: fused",
        options=options,
    )

    assert rows(made) == [("8x64/bfloat16/cpu", "fused"), ("8x64/bfloat16/cpu", "rms_norm")]


@pytest.mark.parametrize(
    ("only", "kept"),
    [
        ("workload=8x64/float32/cpu/eps=1e-06", ["8x64/float32/cpu/eps=1e-06"]),
        ("eps=1e-6,rows=8", ["8x64/float32/cpu/eps=1e-06"]),
        ("label=", ["8x64/float32/cpu", "8x64/float32/cpu/eps=1e-06"]),
        ("label=t?ny", ["4x64/float32/cpu", "4x64/float32/cpu/eps=1e-06"]),
    ],
)
def test_only_filters_by_the_columns_of_the_results(only, kept):
    made = plan(
        "shapes: [[8, 64], {shape: [4, 64], label: tiny}], eps: [1e-5, 1e-6]", options={"only": parse_only(only)}
    )

    assert [w.id for w in made.workloads] == kept
    assert made.cases


@pytest.mark.parametrize("only", ["function=batch_norm,norm_mode=eval,rows=4", "dtype=Float32", "phase=nothing"])
def test_a_value_that_no_case_has_is_named(only):
    with pytest.raises(NothingMeasuredError, match="no case has"):
        plan("shapes: [[8, 64]]", options={"only": parse_only(only)})


def test_layouts_and_gradients_are_excluded_and_chosen_by_their_columns():
    axes = "shapes: [[8, 64]], layouts: [contiguous, strided, expanded_dy], gradients: [all, x]"

    excluded = plan(f"{axes}, exclude: [{{layout: expanded_dy}}, {{layout: strided, gradients: x}}]")
    chosen = plan(axes, options={"only": parse_only("layout=*d*,gradients=x")})

    assert [w.id for w in excluded.workloads] == [
        "8x64/float32/cpu",
        "8x64/float32/cpu/gradients=x",
        "8x64/float32/cpu/layout=strided",
    ]
    assert [w.id for w in chosen.workloads] == [
        "8x64/float32/cpu/layout=strided/gradients=x",
        "8x64/float32/cpu/layout=expanded_dy/gradients=x",
    ]


def test_autocast_is_excluded_and_chosen_by_its_column():
    axes = "shapes: [[8, 64]], autocast: [none, bfloat16, float16]"

    excluded = plan(f"{axes}, exclude: [{{autocast: float16}}]")
    chosen = plan(axes, options={"only": parse_only("autocast=*16")})

    assert [w.id for w in excluded.workloads] == ["8x64/float32/cpu", "8x64/float32/cpu/autocast=bfloat16"]
    assert [w.id for w in chosen.workloads] == [
        "8x64/float32/cpu/autocast=bfloat16",
        "8x64/float32/cpu/autocast=float16",
    ]


def test_only_can_choose_phases():
    made = plan(options={"only": parse_only("phase=forward*")})

    assert made.workloads[0].phases == (Phase.FORWARD, Phase.FORWARD_BACKWARD)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("dtypes=float32", '--only: unknown column "dtypes"', 'did you mean "dtype"?'),
        ("float32", '--only: "float32" is not column=value', "write"),
        ("", '--only: "" is not column=value', "write"),
    ],
)
def test_a_filter_that_can_not_be_meant_is_a_usage_error(text, message, hint):
    with pytest.raises(UsageError) as caught:
        parse_only(text)

    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)
