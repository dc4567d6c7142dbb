"""Expanding a suite: which cases there are, in which order, and what they cost."""

from collections import Counter
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import GPU_MACHINE, plan, rows

from lnbench.errors import UsageError
from lnbench.plan import BUILD_S, CHECK_S_PER_ELEMENT, CUDA_CHECK_S_PER_ELEMENT, CUDA_START_S, START_S
from lnbench.planned import Status
from lnbench.workload import Clock


def test_cases_stand_in_the_order_of_the_file():
    made = plan("shapes: [[8, 64], [4, 32]], dtypes: [float32, bfloat16], param_dtypes: float32")

    assert rows(made) == [
        ("8x64/float32/cpu", "eager"),
        ("8x64/float32/cpu", "fused"),
        ("8x64/bfloat16/cpu/param_dtype=float32", "eager"),
        ("8x64/bfloat16/cpu/param_dtype=float32", "fused"),
        ("4x32/float32/cpu", "eager"),
        ("4x32/float32/cpu", "fused"),
        ("4x32/bfloat16/cpu/param_dtype=float32", "eager"),
        ("4x32/bfloat16/cpu/param_dtype=float32", "fused"),
    ]


def test_norm_modes_multiply_only_functions_that_have_them():
    made = plan("shapes: [[8, 64]], norm_modes: [train, eval]", implementations="fused, batch_norm")

    assert [case.title for case in made.cases] == ["fused", "batch_norm (train)", "batch_norm (eval)"]


def test_clocks_follow_the_device_and_the_cache():
    made = plan("shapes: [[8, 64]], devices: [cpu, cuda], cache: [hot, cold]", machine=GPU_MACHINE)

    assert [(w.workload.device, w.workload.cache, w.clocks) for w in made.workloads] == [
        ("cpu", "hot", (Clock.WALL,)),
        ("cpu", "cold", (Clock.WALL,)),
        ("cuda", "hot", (Clock.WALL, Clock.DEVICE)),
        ("cuda", "cold", (Clock.DEVICE,)),
    ]


def test_devices_from_the_command_line_replace_those_of_every_entry():
    entries = ["shapes: [[8, 64]], devices: cpu", "shapes: [[8, 64], [4, 64]], devices: cuda"]

    made = plan(entries, options={"devices": ["cpu"]})

    assert [w.id for w in made.workloads] == ["8x64/float32/cpu", "4x64/float32/cpu"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"implementations": ["fsed"]}, '--implementation: unknown implementation "fsed"'),
        ({"devices": ["gpu"]}, '--device: unknown device "gpu"'),
        ({"processes": 0}, "--processes: must be greater than or equal to 1, found 0"),
        ({"precision": float("nan")}, "--precision: must be a finite number, found nan"),
        ({"only": {"dtypes": ("float32",)}}, '--only: unknown column "dtypes"'),
    ],
)
def test_a_wrong_option_is_a_usage_error(options, message):
    with pytest.raises(UsageError) as caught:
        plan(options=options)

    assert caught.value.message == message


def test_the_estimate_counts_processes_budgets_starts_builds_and_elements():
    made = plan("shapes: [[8, 64], [4, 64]], devices: [cpu, cuda]", options={"processes": 2, "budget_s": 3.0})

    assert (made.measurable, made.set_aside) == (4, {(Status.SKIPPED, "no NVIDIA driver was found"): 4})
    elements = 2 * (8 * 64 + 4 * 64)
    assert made.estimated_s == pytest.approx(2 * (START_S + 2 * 3.0 + 4 * BUILD_S + elements * CHECK_S_PER_ELEMENT))


def test_the_estimate_of_a_gpu_counts_its_own_verification_and_start():
    options = {"budget_s": 2.0, "processes": 1}
    made = plan("shapes: [[4096, 4096]], devices: [cpu, cuda]", machine=GPU_MACHINE, options=options)

    elements = 2 * 4096 * 4096
    checking_s = 4 * BUILD_S + elements * (CHECK_S_PER_ELEMENT + CUDA_CHECK_S_PER_ELEMENT)
    assert made.estimated_s == pytest.approx(CUDA_START_S + 2 * 2.0 + checking_s)
    on_gpu = plan("shapes: [[4096, 4096]], devices: cuda", machine=GPU_MACHINE, options=options)
    assert on_gpu.estimated_s < made.estimated_s / 1.5


@pytest.mark.parametrize(
    ("options", "most_s"),
    [
        ({}, 3 * 2 * 2 * 3.0),
        ({"budget_total_s": 30.0}, 30.0),
        ({"budget_total_s": 12.0}, 12.0),
    ],
)
def test_a_busy_machine_may_take_three_times_the_planned_time_or_the_total_that_was_asked_for(options, most_s):
    made = plan("shapes: [[8, 64], [4, 64]]", options={"processes": 2, "budget_s": 3.0, **options})

    assert (made.timed_s, made.most_timed_s) == (12.0, most_s)


def test_a_total_that_is_less_than_what_the_budgets_add_up_to_is_refused():
    with pytest.raises(UsageError, match="--budget-total: 1 s, but 12 s are planned: 3 s x 2"):
        plan("shapes: [[8, 64], [4, 64]]", options={"processes": 2, "budget_s": 3.0, "budget_total_s": 1.0})


def test_the_total_may_stand_in_the_suite_and_the_command_line_counts_before_it():
    text = "sampling: {processes: 1, budget_s: 5, budget_total_s: 20}"

    assert plan(top=text).most_timed_s == 20.0
    assert plan(top=text, options={"budget_total_s": 7.0}).most_timed_s == 7.0


@pytest.mark.parametrize("total_s", [0.0, -1.0, float("inf")])
def test_a_total_that_is_no_time_is_a_usage_error(total_s):
    with pytest.raises(UsageError, match="--budget-total: must be"):
        plan(options={"budget_total_s": total_s})


def test_a_plan_with_nothing_to_measure_takes_no_time():
    assert plan("shapes: [[8, 64]], devices: cuda").estimated_s == 0


_AXES = {
    "norm_dims": [1, 2, 3],
    "dtypes": ["float32", "float16", "bfloat16", "float64"],
    "devices": ["cpu", "cuda", "cuda:1"],
    "threads": [1, 2, 3, 64],
    "cache": ["hot", "cold"],
    "allocators": ["retained", "system"],
    "layouts": ["contiguous", "channels_last", "transposed", "expanded_dy"],
    "gradients": ["all", "x", "parameters"],
    "autocast": ["none", "bfloat16"],
    "affine": ["both", "weight", "none"],
    "eps": [1e-5, 1e-6, 0.5],
}
_COLUMN = {"dtypes": "dtype", "devices": "device", "allocators": "allocator", "layouts": "layout"}


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.sampled_from([[8, 64], [4, 8, 32], [2, 64, 4, 4]]), min_size=1, unique_by=tuple),
    axes=st.fixed_dictionaries(
        {}, optional={k: st.lists(st.sampled_from(v), min_size=1, unique=True) for k, v in _AXES.items()}
    ),
    data=st.data(),
)
def test_there_are_as_many_cases_as_the_product_of_the_axes_less_what_is_excluded(shapes, axes, data):
    axis = data.draw(st.sampled_from(sorted(axes))) if axes else None
    gone = data.draw(st.sampled_from(axes[axis])) if axis else None
    exclude = f", exclude: [{{{_COLUMN.get(axis, axis)}: {gone}, implementation: fused}}]" if axis else ""
    text = "".join(f", {key}: {values}" for key, values in axes.items()).replace("'", "")

    made = plan(f"shapes: {shapes}{text}{exclude}", implementations="eager, fused, batch_norm")

    workloads = len(shapes) * prod(map(len, axes.values()))
    dropped = workloads // len(axes[axis]) if axis else 0
    keys = Counter((made.workloads[c.workload].id, c.implementation, c.norm_mode) for c in made.cases)
    assert len(made.cases) == 3 * workloads - dropped
    assert set(keys.values()) == {1}
    assert [case.workload for case in made.cases] == sorted(case.workload for case in made.cases)
    assert all(bool(case.reason) == (case.status is not None) for case in made.cases)
    assert rows(made) == rows(plan(f"shapes: {shapes}{text}{exclude}", implementations="eager, fused, batch_norm"))


def test_a_hundred_thousand_cases_expand_and_each_is_there_once():
    shapes = ", ".join(f"[{n}, 64]" for n in range(2, 1252))

    made = plan(
        f"shapes: [{shapes}], dtypes: [float32, float64], affine: [both, weight], eps: [1e-5, 1e-6], "
        "threads: [1, 8], norm_modes: [train, eval]",
        implementations="fused, rms_norm, eager, batch_norm",
    )

    keys = {(made.workloads[case.workload].id, case.implementation, case.norm_mode) for case in made.cases}
    assert (len(made.workloads), len(made.cases), len(keys)) == (20_000, 100_000, 100_000)
    assert made.measurable == 50_000
