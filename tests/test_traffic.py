"""Minimal bytes: every published row as a formula, and a slow count over tensors that are really made."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnbench.errors import Unsupported
from lnbench.row_notices import bound_notices
from lnbench.traffic import Traffic, minimum_bytes
from lnbench.workload import DTYPE_BYTES, Phase, Workload

INFERENCE, FORWARD, BACKWARD, STEP = Phase

M, N = 96, 768
"""Rows and features of the row-wise formulas."""

ROWS = Workload((8, 12, N), (N,), dtype="bfloat16", param_dtype="float32")
b, p, s, r = 2, 4, 4, 4
"""Bytes of an element of x, a parameter, a saved statistic and a running one, for these workloads."""

IMAGES = Workload((6, 32, 7, 5), (32, 7, 5), dtype="bfloat16", param_dtype="float32")
C, E = 32, 6 * 32 * 7 * 5
"""Channels and elements of the channel-wise formulas."""

TINY_CACHE_B, HUGE_CACHE_B = 16, 1 << 40


def in_mode(norm_mode, **changes):
    return replace(IMAGES, norm_mode=norm_mode, **changes)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (INFERENCE, 2 * M * N * b + 2 * N * p),
        (FORWARD, 2 * M * N * b + 2 * N * p + 2 * M * s),
        (BACKWARD, 3 * M * N * b + 2 * M * s + 3 * N * p),
        (STEP, 5 * M * N * b + 4 * M * s + 5 * N * p),
    ],
)
def test_layer_norm_moves_the_bytes_of_its_row(phase, expected):
    assert minimum_bytes("layer_norm", phase, ROWS) == Traffic(expected, "minimal")


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        (("dx",), 3 * M * N * b + 2 * M * s + N * p),
        (("dweight", "dbias"), 2 * M * N * b + 2 * M * s + 2 * N * p),
    ],
)
def test_layer_norm_backward_with_something_frozen_moves_the_bytes_of_its_row(gradients, expected):
    assert minimum_bytes("layer_norm", BACKWARD, ROWS, gradients=gradients).bytes == expected


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        ("x", 3 * M * N * b + 2 * M * s + N * p),
        ("parameters", 2 * M * N * b + 2 * M * s + 2 * N * p),
        ("all", 3 * M * N * b + 2 * M * s + 3 * N * p),
    ],
)
def test_the_workload_says_which_gradients_are_counted_mistake_22(gradients, expected):
    on = replace(ROWS, gradients=gradients)

    assert minimum_bytes("layer_norm", BACKWARD, on) == Traffic(expected, "minimal")
    assert minimum_bytes("layer_norm", FORWARD, on) == minimum_bytes("layer_norm", FORWARD, ROWS)


@pytest.mark.parametrize("function", ["layer_norm", "rms_norm", "batch_norm", "group_norm"])
@pytest.mark.parametrize(
    ("layout", "added", "because"),
    [("transposed_dy", 2 * M * N * b, "transposed dy"), ("expanded_dy", M * N * b, "expanded dy")],
)
def test_a_dy_that_is_not_contiguous_adds_a_copy_to_backward_and_says_so(function, layout, added, because):
    plain = replace(ROWS, norm_mode="train")
    on = replace(plain, layout=layout)

    for phase in (BACKWARD, STEP):
        found = minimum_bytes(function, phase, on)
        assert found == Traffic(minimum_bytes(function, phase, plain).bytes + added, "practical", (because,))
    for phase in (INFERENCE, FORWARD):
        assert minimum_bytes(function, phase, on) == minimum_bytes(function, phase, plain)


@pytest.mark.parametrize("layout", ["transposed", "strided", "channels_last"])
def test_the_layout_of_x_does_not_change_the_minimum(layout):
    for phase in Phase:
        assert minimum_bytes("layer_norm", phase, replace(ROWS, layout=layout)) == minimum_bytes(
            "layer_norm", phase, ROWS
        )


def test_every_reason_of_a_practical_bound_is_told():
    found = minimum_bytes("layer_norm", STEP, replace(ROWS, layout="expanded_dy"), cache_b=N * b)
    (notice,) = bound_notices(found)

    assert (found.bound, found.because) == ("practical", ("second read", "expanded dy"))
    assert notice.code == "practical-bytes"
    assert "reads a second time what the last-level cache can't hold" in notice.text
    assert "writes out dy, one element with stride 0, before it is read" in notice.text


def test_layer_norm_backward_as_two_kernels_is_the_sum_of_its_parts():
    parts = [
        minimum_bytes("layer_norm", BACKWARD, ROWS, gradients=part).bytes for part in (("dx",), ("dweight", "dbias"))
    ]

    assert sum(parts) == 5 * M * N * b + 4 * M * s + 3 * N * p


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (INFERENCE, 2 * M * N * b + N * p),
        (FORWARD, 2 * M * N * b + N * p + M * s),
        (BACKWARD, 3 * M * N * b + M * s + 2 * N * p),
        (STEP, 5 * M * N * b + 2 * M * s + 3 * N * p),
    ],
)
def test_rms_norm_moves_the_bytes_of_its_row(phase, expected):
    assert minimum_bytes("rms_norm", phase, ROWS) == Traffic(expected, "minimal")


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (INFERENCE, 4 * M * N * b + 2 * N * p),
        (FORWARD, 4 * M * N * b + 2 * N * p + 2 * M * s),
        (BACKWARD, 4 * M * N * b + 2 * M * s + 3 * N * p),
        (STEP, 8 * M * N * b + 4 * M * s + 5 * N * p),
    ],
)
def test_add_layer_norm_moves_the_sum_and_both_upstream_gradients_and_writes_one_gradient(phase, expected):
    assert minimum_bytes("add_layer_norm", phase, ROWS) == Traffic(expected, "minimal")


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (INFERENCE, 4 * M * N * b + N * p),
        (FORWARD, 4 * M * N * b + N * p + M * s),
        (BACKWARD, 4 * M * N * b + M * s + 2 * N * p),
        (STEP, 8 * M * N * b + 2 * M * s + 3 * N * p),
    ],
)
def test_add_rms_norm_moves_what_add_layer_norm_does_without_mean_and_bias(phase, expected):
    assert minimum_bytes("add_rms_norm", phase, ROWS) == Traffic(expected, "minimal")


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (INFERENCE, 2 * M * N * b + 2 * N * p + p),
        (FORWARD, 2 * M * N * b + 2 * N * p + p),
        (BACKWARD, 3 * M * N * b + 3 * N * p + 2 * p),
        (STEP, 5 * M * N * b + 5 * N * p + 3 * p),
    ],
)
@pytest.mark.parametrize("cache_b", [None, TINY_CACHE_B])
def test_dynamic_tanh_saves_nothing_reads_nothing_twice_and_has_one_alpha(phase, expected, cache_b):
    assert minimum_bytes("dyt", phase, ROWS, cache_b=cache_b) == Traffic(expected, "minimal")


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"gradients": "x"}, 3 * M * N * b + N * p + p),
        ({"gradients": "parameters"}, 2 * M * N * b + 3 * N * p + 2 * p),
        ({"affine": "weight"}, 3 * M * N * b + 2 * N * p + 2 * p),
        ({"affine": "none"}, 3 * M * N * b + 2 * p),
        ({"affine": "none", "gradients": "parameters"}, 2 * M * N * b + 2 * p),
    ],
)
def test_dynamic_tanh_backward_moves_what_its_gradients_are_computed_from(axes, expected):
    assert minimum_bytes("dyt", BACKWARD, replace(ROWS, **axes)) == Traffic(expected, "minimal")


@pytest.mark.parametrize(("layout", "dy_b"), [("transposed_dy", M * N * b), ("expanded_dy", b)])
def test_dynamic_tanh_reads_dy_as_it_lies(layout, dy_b):
    found = minimum_bytes("dyt", BACKWARD, replace(ROWS, layout=layout))

    assert found == Traffic(2 * M * N * b + dy_b + 3 * N * p + 2 * p, "minimal")


def test_add_layer_norm_with_something_frozen_leaves_out_what_only_that_reads():
    frozen, first = (
        minimum_bytes("add_layer_norm", BACKWARD, replace(ROWS, gradients=it)).bytes for it in ("x", "parameters")
    )

    assert frozen == 4 * M * N * b + 2 * M * s + N * p
    assert first == 2 * M * N * b + 2 * M * s + 2 * N * p  # the new residual's own gradient goes to x alone


@pytest.mark.parametrize(("phase", "passes"), [(INFERENCE, 5), (BACKWARD, 6)])
def test_a_sum_that_the_device_can_not_hold_is_read_twice(phase, passes):
    held = minimum_bytes("add_layer_norm", phase, ROWS, cache_b=2 * N * b)
    found = minimum_bytes("add_layer_norm", phase, ROWS, cache_b=N * b - 1)

    assert (held.bound, found.bound) == ("minimal", "practical")
    assert found.bytes - held.bytes == (passes - 4) * M * N * b


@pytest.mark.parametrize("phase", [INFERENCE, FORWARD])
def test_batch_norm_eval_moves_the_bytes_of_its_row(phase):
    assert minimum_bytes("batch_norm", phase, in_mode("eval"), cache_b=TINY_CACHE_B) == Traffic(
        2 * E * b + C * (2 * p + 2 * r), "minimal"
    )


@pytest.mark.parametrize(
    ("gradients", "expected"),
    [
        (("dx",), 2 * E * b + C * (p + r)),
        (("dx", "dweight", "dbias"), 3 * E * b + C * (3 * p + 2 * r)),
    ],
)
def test_batch_norm_eval_backward_moves_the_bytes_of_its_row(gradients, expected):
    found = minimum_bytes("batch_norm", BACKWARD, in_mode("eval"), cache_b=TINY_CACHE_B, gradients=gradients)

    assert found == Traffic(expected, "minimal")


@pytest.mark.parametrize(
    ("phase", "cache_b", "expected"),
    [
        (FORWARD, HUGE_CACHE_B, Traffic(2 * E * b + C * (2 * p + 2 * s + 4 * r), "ideal")),
        (FORWARD, TINY_CACHE_B, Traffic(3 * E * b + C * (2 * p + 2 * s + 4 * r), "practical", ("second read",))),
        (BACKWARD, HUGE_CACHE_B, Traffic(3 * E * b + C * (3 * p + 2 * s), "ideal")),
        (BACKWARD, TINY_CACHE_B, Traffic(5 * E * b + C * (3 * p + 2 * s), "practical", ("second read",))),
        (STEP, HUGE_CACHE_B, Traffic(5 * E * b + C * (5 * p + 4 * s + 4 * r), "ideal")),
        (STEP, TINY_CACHE_B, Traffic(8 * E * b + C * (5 * p + 4 * s + 4 * r), "practical", ("second read",))),
    ],
)
def test_batch_norm_train_says_which_bound_its_bytes_use_mistake_21(phase, cache_b, expected):
    assert minimum_bytes("batch_norm", phase, in_mode("train"), cache_b=cache_b) == expected


def test_inference_with_batch_statistics_saves_none_for_backward():
    found = minimum_bytes("batch_norm", INFERENCE, in_mode("train"))

    assert found == Traffic(2 * E * b + C * (2 * p + 4 * r), "ideal")


def test_an_unknown_cache_counts_as_large_enough():
    assert minimum_bytes("batch_norm", STEP, in_mode("train")).bound == "ideal"


def test_a_step_is_practical_when_only_its_backward_is():
    between_b = E * b * 3 // 2  # forward holds x; backward holds x and dy

    found = minimum_bytes("batch_norm", STEP, in_mode("train"), cache_b=between_b)

    assert found == Traffic((2 + 5) * E * b + C * (5 * p + 4 * s + 4 * r), "practical", ("second read",))


@pytest.mark.parametrize(("cache_b", "passes", "bound"), [(N * b, 2, "minimal"), (N * b - 1, 3, "practical")])
def test_a_row_that_the_device_can_not_hold_is_read_twice(cache_b, passes, bound):
    found = minimum_bytes("layer_norm", INFERENCE, ROWS, cache_b=cache_b)

    assert (found.bytes, found.bound) == (passes * M * N * b + 2 * N * p, bound)


def test_at_one_row_of_8192_the_parameters_are_two_thirds_of_the_bytes():
    one_row = Workload((1, 8192), (8192,), dtype="bfloat16", param_dtype="float32")

    assert minimum_bytes("layer_norm", INFERENCE, one_row).bytes == 3 * (2 * 8192 * b)


def test_group_norm_has_statistics_per_sample_and_group_and_parameters_per_channel():
    found = minimum_bytes("group_norm", STEP, in_mode("", groups=8))

    assert found == Traffic(5 * E * b + 4 * (6 * 8) * s + 5 * C * p, "minimal")


def test_group_norm_holds_one_group_at_a_time():
    group_b = (C // 8) * 7 * 5 * b

    assert minimum_bytes("group_norm", FORWARD, in_mode("", groups=8), cache_b=group_b).bound == "minimal"
    assert minimum_bytes("group_norm", FORWARD, in_mode("", groups=8), cache_b=group_b - 1).bound == "practical"


def test_instance_norm_has_statistics_per_sample_and_channel():
    found = minimum_bytes("instance_norm", STEP, in_mode(""))

    assert found == Traffic(5 * E * b + 4 * (6 * C) * s + 5 * C * p, "minimal")


def test_statistics_of_float64_take_eight_bytes():
    double = Workload((6, 10), (10,), dtype="float64", param_dtype="float64")

    assert minimum_bytes("layer_norm", FORWARD, double).bytes == (2 * 60 + 2 * 10 + 2 * 6) * 8


@pytest.mark.parametrize(("param_dtype", "p"), [("bfloat16", 2), ("float32", 4)])
def test_running_statistics_have_the_bytes_of_a_parameter(param_dtype, p):
    workload = in_mode("train", param_dtype=param_dtype)

    found = minimum_bytes("batch_norm", FORWARD, workload)

    assert found.bytes == 2 * E * b + C * (2 * p + 2 * s + 4 * p)  # the saved ones stay float32


def test_eval_without_affine_needs_neither_x_nor_the_mean_for_dx():
    found = minimum_bytes("batch_norm", BACKWARD, in_mode("eval", affine="none"))

    assert found.bytes == 2 * E * b + C * r


def test_bytes_are_the_same_for_every_row_of_a_function_mistake_20():
    in_other_conditions = Workload(
        ROWS.shape, (N,), "bfloat16", "float32", "cuda:1", "channels_last", 7, "cold", "system", eps=1e-3, label="other"
    )

    for phase in Phase:
        assert minimum_bytes("layer_norm", phase, in_other_conditions) == minimum_bytes("layer_norm", phase, ROWS)


def test_a_function_undefined_on_a_workload_is_unsupported():
    with pytest.raises(Unsupported):
        minimum_bytes("instance_norm", FORWARD, ROWS)


def array_of(dtype, *shape):
    """Storage as large as a tensor; unsigned integers stand in, as numpy has no bfloat16."""
    return np.empty(shape, dtype=f"u{DTYPE_BYTES[dtype]}")


def counted_slowly(function, phase, workload, *, twice):
    """The bytes of a list of tensors as a kernel author would write it down, one entry for each read or write."""
    if phase is STEP:
        return sum(counted_slowly(function, part, workload, twice=twice) for part in (FORWARD, BACKWARD))
    shape, dtype = workload.shape, workload.dtype
    statistic_dtype = "float64" if dtype == "float64" else "float32"
    batch, channels = shape[0], shape[1]
    parameter_shape = workload.normalized_shape if function in ("layer_norm", "rms_norm") else (channels,)
    statistic_shape = {
        "batch_norm": (channels,),
        "group_norm": (batch, workload.groups),
        "instance_norm": (batch, channels),
    }.get(function, shape[: len(shape) - len(workload.normalized_shape)])
    data = array_of(dtype, *shape)  # x, y, dy or dx
    # A weight, a bias, the gradient of one, or a running statistic.
    parameter = array_of(workload.param_dtype, *parameter_shape)
    statistic = array_of(statistic_dtype, *statistic_shape)  # a mean or a reciprocal standard deviation
    weights = [parameter] if workload.affine != "none" else []
    biases = [parameter] if workload.affine == "both" and function != "rms_norm" else []
    statistics = [statistic] if function == "rms_norm" else [statistic, statistic]
    running = [parameter, parameter] if function == "batch_norm" else []
    if function == "batch_norm" and workload.norm_mode == "eval":
        if phase is BACKWARD:  # without a weight neither x nor the running mean is needed
            touched = [data, data, *([data, running[0]] if weights else []), running[1], *weights * 2, *biases]
        else:
            touched = [data, data, *running, *weights, *biases]
    elif phase is BACKWARD:
        touched = [data] * (5 if twice else 3) + statistics + weights * 2 + biases
    else:
        saved = statistics if phase is FORWARD else []
        touched = [data] * (3 if twice else 2) + saved + running * 2 + weights + biases
    return sum(array.nbytes for array in touched)


SIZES = st.integers(1, 5)
WORKLOADS = st.builds(
    lambda batch, groups, per_group, height, width, **axes: Workload(
        (batch, groups * per_group, height, width), (groups * per_group, height, width), groups=groups, **axes
    ),
    batch=SIZES,
    groups=SIZES,
    per_group=SIZES,
    height=st.integers(2, 5),
    width=SIZES,
    dtype=st.sampled_from(sorted(DTYPE_BYTES)),
    param_dtype=st.sampled_from(sorted(DTYPE_BYTES)),
    affine=st.sampled_from(["both", "weight", "none"]),
    norm_mode=st.sampled_from(["train", "eval"]),
)
FUNCTION_NAMES = st.sampled_from(["layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm"])


@given(FUNCTION_NAMES, st.sampled_from(Phase), WORKLOADS, st.booleans())
def test_bytes_equal_a_slow_count_over_explicit_tensors(function, phase, workload, twice):
    found = minimum_bytes(function, phase, workload, cache_b=1 if twice else HUGE_CACHE_B)

    assert found.bytes == counted_slowly(function, phase, workload, twice=twice)


FROZEN = st.sets(st.sampled_from(["dx", "dweight", "dbias"]), min_size=1)


def backward_counted_slowly(function, workload, *, wanted, twice):
    """The bytes of a backward that some gradients are not asked of: what each wanted one reads, each tensor once."""
    shape, channels = workload.shape, workload.shape[1]
    own_rows = {"batch_norm": (channels,), "group_norm": (shape[0], workload.groups)}
    rows = own_rows.get(function, shape[:2] if function == "instance_norm" else shape[:1])
    parameters = workload.normalized_shape if function in ("layer_norm", "rms_norm") else (channels,)
    kind = {"stat": "float64" if workload.dtype == "float64" else "float32", "data": workload.dtype}
    size_b = {
        "data": array_of(kind["data"], *shape).nbytes,
        "stat": array_of(kind["stat"], *rows).nbytes,
        "parameter": array_of(workload.param_dtype, *parameters).nbytes,
    }
    has = {"dx": True, "dweight": workload.affine != "none", "dbias": workload.affine == "both"}
    has["dbias"] &= function != "rms_norm"
    asked = {name for name in wanted if has[name]}
    in_eval = function == "batch_norm" and workload.norm_mode == "eval"
    mean, scale = ("running mean", "running var") if in_eval else ("mean", "rstd")
    reads = {
        "dx": {"dy", scale} | (set() if in_eval else {"x", mean}) | ({"weight"} if has["dweight"] else set()),
        "dweight": {"dy", "x", mean, scale},
        "dbias": {"dy"},
    }
    names = [*asked, *set().union(*(reads[name] for name in asked))]
    if "mean" in names and function == "rms_norm":
        names.remove("mean")
    if twice and "dx" in asked and not in_eval:
        names += ["x", "dy"]
    sizes = dict.fromkeys(("x", "dy", "dx"), "data") | dict.fromkeys(("mean", "rstd"), "stat")
    return sum(size_b[sizes.get(name, "parameter")] for name in names)


@given(FUNCTION_NAMES, WORKLOADS, FROZEN, st.booleans())
def test_bytes_of_a_backward_with_frozen_parameters_equal_a_slow_count(function, workload, wanted, twice):
    found = minimum_bytes(function, BACKWARD, workload, cache_b=1 if twice else HUGE_CACHE_B, gradients=sorted(wanted))

    assert found.bytes == backward_counted_slowly(function, workload, wanted=wanted, twice=twice)


@given(st.lists(SIZES, min_size=2, max_size=4), st.data(), st.sampled_from(Phase))
def test_layer_norm_bytes_depend_on_rows_and_features_alone(shape, data, phase):
    dims = data.draw(st.integers(1, len(shape)))
    features = prod(shape[-dims:])
    flat = Workload((prod(shape) // features, features), (features,))

    found = minimum_bytes("layer_norm", phase, Workload(tuple(shape), tuple(shape[-dims:])))

    assert found == minimum_bytes("layer_norm", phase, flat)


@given(FUNCTION_NAMES, WORKLOADS, st.integers(0, 4000))
def test_forward_and_backward_add_up_to_the_step(function, workload, cache_b):
    forward, backward, step = (
        minimum_bytes(function, phase, workload, cache_b=cache_b).bytes for phase in (FORWARD, BACKWARD, STEP)
    )

    assert forward + backward == step
