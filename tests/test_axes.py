"""Workloads from axes, and what a machine can't do of them; cold caches above all."""

from dataclasses import replace

import pytest
from planning import MACHINE, MIB, outcomes, plan

from lnbench.footprint import HELD_RESULTS, PART_B_PER_ELEMENT, PART_ELEMENTS, footprint_b, memory_shortage
from lnbench.plan import Machine, rotation_buffers
from lnbench.planned import CacheSizes, Status
from lnbench.twins import MOST_TWIN_ELEMENTS, judged_workloads
from lnbench.workload import Workload


def test_axes_that_are_left_out_follow_the_dtype_and_the_machine():
    workload = plan("shapes: {shape: [2, 8, 64], label: tiny}, dtypes: float16, norm_dims: 2").workloads[0].workload

    assert workload == Workload(
        (2, 8, 64), (8, 64), dtype="float16", param_dtype="float16", threads=MACHINE.threads, label="tiny"
    )


@pytest.mark.parametrize(
    ("workload", "title", "status", "reason"),
    [
        ("devices: cuda", "fused", Status.SKIPPED, "no NVIDIA driver was found"),
        ("devices: cuda:7", "fused", Status.SKIPPED, "this machine has no cuda:7"),
        ("threads: 5", "fused", Status.SKIPPED, "5 threads on 4 logical cores that this process may use"),
        (
            "layouts: channels_last",
            "fused",
            Status.SKIPPED,
            "channels_last needs a shape of 4 axes, as in (N, C, H, W)",
        ),
        ("norm_dims: 2", "fused", None, ""),
        ("norm_dims: 2", "group_norm", Status.UNSUPPORTED, "channels are undefined when 2 of 2 axes are normalized"),
        ("norm_dims: 3", "fused", Status.UNSUPPORTED, "norm_dims 3 is more than the shape's 2 axes"),
        ("eps: 1e-6", "group_norm", Status.UNSUPPORTED, "48 channels do not divide into 32 groups"),
        (
            "eps: 1e-6",
            "instance_norm",
            Status.UNSUPPORTED,
            "instance norm needs more than one position per channel, as in (N, C, H, W), norm_dims 3",
        ),
        ("threads: 4", "fused", None, ""),
        ("dtypes: float64", "fused", None, ""),
    ],
)
def test_what_is_known_not_to_work_is_a_case_with_its_reason(workload, title, status, reason):
    made = plan(f"shapes: [[8, 48]], {workload}", implementations="fused, group_norm, instance_norm")

    assert outcomes(made)[title] == (status, reason)
    assert len(made.cases) == 3


def test_all_axes_of_a_shape_can_be_normalized_as_one_row():
    workload = plan("shapes: [[8, 64]], norm_dims: 2").workloads[0].workload

    assert (workload.normalized_shape, workload.rows, workload.features) == ((8, 64), 1, 512)


def test_only_the_modes_that_a_function_lacks_are_set_aside():
    made = plan("shapes: [[1, 64]], norm_modes: [train, eval]", implementations="fused, batch_norm")

    assert outcomes(made)["batch_norm (train)"][0] is Status.UNSUPPORTED
    assert outcomes(made)["batch_norm (eval)"] == (None, "")


def test_cold_rotates_through_twice_the_last_level_cache():
    workload = Workload((256, 1024), (1024,), cache="cold")

    buffers = rotation_buffers(workload, MACHINE.caches, MACHINE.memory_b)

    assert buffers == 8  # 16 MiB in pairs of 2 x 1 MiB
    assert rotation_buffers(Workload((256, 1024), (1024,)), MACHINE.caches, MACHINE.memory_b) == 1
    assert rotation_buffers(Workload((256, 1024), (1024,), cache="cold", device="cuda"), CacheSizes(), 0) == 1


@pytest.mark.parametrize(
    ("caches", "memory_mib", "shape", "settled", "reason"),
    [
        (MACHINE.caches, 64, "[256, 1024]", "cold", ""),
        (MACHINE.caches, 63, "[256, 1024]", "displaced", ""),
        (MACHINE.caches, 4, "[64, 1024]", "cold", "cold needs more buffers or memory than there is"),
        (CacheSizes(l2_b=MIB, last_level_b=512 * MIB), 10**6, "[2, 8]", "displaced", ""),
        (CacheSizes(l2_b=MIB), 1024, "[256, 1024]", "displaced", ""),
        (
            CacheSizes(),
            1024,
            "[256, 1024]",
            "cold",
            "cold needs the sizes of the caches, which this system does not tell",
        ),
    ],
)
def test_cold_that_does_not_fit_is_named_displaced_or_skipped_never_called_cold(
    caches, memory_mib, shape, settled, reason
):
    machine = Machine(2, 2, caches, memory_mib * MIB)

    made = plan(f"shapes: [{shape}], cache: cold", machine=machine)

    assert made.workloads[0].workload.cache == settled
    assert outcomes(made)["fused"][0] == (Status.SKIPPED if reason else None)
    assert outcomes(made)["fused"][1].startswith(reason)


def test_the_memory_that_a_workload_needs_counts_every_buffer_that_is_kept_and_its_copy():
    plain, strided, expanded = (
        Workload((256, 64), (64,), layout=layout) for layout in ("contiguous", "strided", "expanded_dy")
    )
    x_b = 256 * 64 * 4

    assert footprint_b(plain, pairs=5) - footprint_b(plain, pairs=1) == 2 * 8 * x_b
    assert footprint_b(strided, pairs=5) - footprint_b(strided, pairs=1) == 2 * 12 * x_b  # as much lies between rows
    assert footprint_b(expanded, pairs=9) - footprint_b(expanded, pairs=5) == 2 * 4 * (x_b + 4)
    with_residual = footprint_b(plain, pairs=5, has_residual=True) - footprint_b(plain, pairs=1, has_residual=True)
    assert with_residual == 2 * 16 * x_b


def test_float64_is_there_for_a_part_and_not_for_a_whole_tensor():
    large = Workload((1 << 16, 1 << 15), (1 << 15,), dtype="bfloat16", param_dtype="bfloat16", device="cuda")

    needed_b = footprint_b(large, pairs=1)

    assert large.elements == 2**31  # offsets of 32 bits end here
    assert needed_b == (2 * 2 + HELD_RESULTS) * large.x_bytes + PART_B_PER_ELEMENT * PART_ELEMENTS
    assert memory_shortage(large, free_b=80 * 10**9, pairs=1) == ""
    assert memory_shortage(large, free_b=40 * 10**9, pairs=1) == (
        "needs about 44 GB on cuda to be measured and checked, 40 GB free"
    )


def test_a_twin_in_float32_is_counted_too_and_has_no_more_elements_than_any_device_needs():
    small, large = (Workload((rows, 4096), (4096,), dtype="bfloat16") for rows in (4096, 1 << 20))

    assert [twin.shape for twin in judged_workloads(small)] == [(4096, 4096), (32, 4096)]
    assert [twin.shape for twin in judged_workloads(large)] == [(MOST_TWIN_ELEMENTS // 4096, 4096), (32, 4096)]
    float32 = replace(small, dtype="float32")
    assert footprint_b(small, pairs=1) == footprint_b(float32, pairs=1) + 2 * small.x_bytes


def test_a_workload_that_does_not_fit_is_left_out_of_the_plan_with_the_words_of_the_worker():
    machine = replace(MACHINE, devices={"cpu": "", "cuda": ""}, free_b={"cpu": 2 * 10**9, "cuda": 80 * 10**9})
    shapes = "shapes: [[16384, 16384], [8, 64]], dtypes: bfloat16, devices: [cpu, cuda]"

    made = plan(shapes, implementations="fused", machine=machine)

    large = made.workloads[0].workload
    told = [(made.workloads[case.workload].id, case.status, case.reason) for case in made.cases]
    assert told == [
        (
            "16384x16384/bfloat16/cpu",
            Status.SKIPPED,
            memory_shortage(large, free_b=2 * 10**9, pairs=1),
        ),
        ("16384x16384/bfloat16/cuda", None, ""),
        ("8x64/bfloat16/cpu", None, ""),
        ("8x64/bfloat16/cuda", None, ""),
    ]
    assert made.cases[0].reason == "needs about 7.3 GB to be measured and checked, 2.0 GB free"
    with_room = plan(shapes, implementations="fused", machine=replace(machine, free_b={}))
    assert made.estimated_s < with_room.estimated_s / 2


@pytest.mark.parametrize("names", ["fused", "fused, add_layer_norm"])
def test_a_residual_that_any_case_adds_takes_memory(names):
    workload = Workload((4096, 4096), (4096,), threads=2)
    without, with_residual = (footprint_b(workload, pairs=1, has_residual=has) for has in (False, True))
    machine = replace(MACHINE, free_b={"cpu": (without + with_residual) // 2})

    made = plan("shapes: [[4096, 4096]]", implementations=names, machine=machine)

    assert {case.status for case in made.cases} == {Status.SKIPPED if "add" in names else None}


def test_memory_that_nobody_asked_for_leaves_out_nothing():
    assert outcomes(plan("shapes: [[65536, 65536]]"))["fused"] == (None, "")


def test_a_tensor_above_the_cap_alone_needs_no_second_pair():
    workload = Workload((4096, 1024), (1024,), cache="cold")

    assert rotation_buffers(workload, MACHINE.caches, memory_b=64 * MIB) == 1


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (
            "shapes: [[8, 1]], layouts: transposed",
            "transposed swaps the last two axes in memory, which changes nothing where one of them is 1",
        ),
        (
            "shapes: [[4, 1, 64]], layouts: transposed_dy",
            "transposed_dy swaps the last two axes in memory, which changes nothing where one of them is 1",
        ),
        ("shapes: [[1, 1, 64]], layouts: strided", "strided keeps rows apart, and this shape has one row"),
        (
            "shapes: [[8, 64]], layouts: expanded_dy, phases: inference",
            "expanded_dy concerns backward, and the phases have none",
        ),
        ("shapes: [[8, 64]], dtypes: float64, autocast: bfloat16", "autocast leaves float64 as it is"),
        (
            "shapes: [[8, 64]], gradients: x, phases: inference",
            "gradients: x concerns forward and backward, and the phases have neither",
        ),
    ],
)
def test_a_value_that_changes_nothing_is_skipped_with_its_reason(workload, reason):
    assert outcomes(plan(workload))["fused"] == (Status.SKIPPED, reason)


@pytest.mark.parametrize("layout", ["transposed", "strided", "transposed_dy", "expanded_dy"])
def test_layouts_are_measured_where_they_have_a_meaning(layout):
    assert outcomes(plan(f"shapes: [[2, 2]], layouts: {layout}"))["fused"] == (None, "")


def test_gradients_of_parameters_alone_are_unsupported_where_there_are_none():
    made = plan("shapes: [[8, 64]], affine: [both, none], gradients: [all, parameters]", implementations="fused")

    assert [(made.workloads[case.workload].id, case.status, case.reason) for case in made.cases] == [
        ("8x64/float32/cpu", None, ""),
        ("8x64/float32/cpu/gradients=parameters", None, ""),
        ("8x64/float32/cpu/affine=none", None, ""),
        (
            "8x64/float32/cpu/affine=none/gradients=parameters",
            Status.UNSUPPORTED,
            "gradients: parameters asks for those of weight and bias, and affine: none has neither",
        ),
    ]


def test_cold_counts_what_is_read_and_its_memory_counts_what_is_allocated():
    contiguous, expanded, strided = (
        Workload((256, 1024), (1024,), cache="cold", layout=layout)
        for layout in ("contiguous", "expanded_dy", "strided")
    )
    narrow = Workload((4096, 64), (64,), cache="cold", layout="strided")

    assert rotation_buffers(contiguous, MACHINE.caches, 64 * MIB) == 8
    assert rotation_buffers(expanded, MACHINE.caches, 65 * MIB) == 16  # dy is one element: twice as many x make 16 MiB
    assert rotation_buffers(strided, MACHINE.caches, 64 * MIB) == 0  # 8 pairs are 16.5 MiB
    assert rotation_buffers(narrow, MACHINE.caches, 96 * MIB) == 8  # x is 1 MiB, and 1 MiB lies between its rows
    assert rotation_buffers(narrow, MACHINE.caches, 95 * MIB) == 0
