"""Every built-in implementation is judged right wherever its function has a meaning."""

from itertools import product

import pytest
import torch
from stage import judged, prepared, workload

from lnbench.errors import Unsupported
from lnbench.functions import FUNCTIONS, geometry
from lnbench.implementations.registry import BUILT_IN
from lnbench.implementations.toolchains import missing_cpp_compiler
from lnbench.planned import Status
from lnbench.units import format_shape

pytestmark = pytest.mark.usefixtures("one_thread")

NOT_COMPILED = [row.name for row in BUILT_IN.values() if row.builder.startswith(("eager:", "fused:"))]
COMPILED = [row.name for row in BUILT_IN.values() if row.builder.startswith("compiled:")]
LAYER_NORMS = ["eager", "fused", "module"]
ROW_NORMS = [*LAYER_NORMS, "rms_norm", "add_layer_norm", "add_rms_norm", "dyt"]
SHAPES = [((6, 32), 1), ((3, 5, 32), 1), ((3, 4, 8), 2), ((2, 3, 4, 32), 1), ((2, 3, 4, 8), 2), ((2, 32, 5, 3), 3)]
DTYPES = [
    ("float32", "float32"),
    ("float64", "float64"),
    ("float16", "float16"),
    ("bfloat16", "bfloat16"),
    ("bfloat16", "float32"),
]
MODES = {"batch_norm": ("train", "eval")}


def is_defined(name, shape, dims):
    """Channels need one axis, or all but the first; instance norm needs positions beside them."""
    if name == "instance_norm":
        return dims == len(shape) - 1 > 1
    return not FUNCTIONS[BUILT_IN[name].function].channelwise or dims in {1, len(shape) - 1}


def combinations(*, defined):
    return [
        pytest.param(
            name, shape, dims, *dtypes, mode, id=f"{name}{mode}-{format_shape(shape)}-{dims}-{'-'.join(dtypes)}"
        )
        for name, (shape, dims), dtypes in product(NOT_COMPILED, SHAPES, DTYPES)
        for mode in MODES.get(name, ("",))
        if is_defined(name, shape, dims) is defined
    ]


@pytest.mark.parametrize(("name", "shape", "dims", "dtype", "param_dtype", "mode"), combinations(defined=True))
def test_a_built_in_is_right_or_says_which_parameters_its_kernel_refuses(name, shape, dims, dtype, param_dtype, mode):
    outcome = judged(
        name,
        *shape,
        norm_dims=dims,
        dtype=dtype,
        param_dtype=param_dtype,
        norm_mode=mode,
        groups=group_count(name),
    )

    if outcome.status is Status.UNSUPPORTED:
        assert f"takes no {param_dtype} parameters with {dtype} input" in outcome.reason
        assert dtype != param_dtype
    else:
        assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize(("name", "shape", "dims", "dtype", "param_dtype", "mode"), combinations(defined=False))
def test_where_a_function_has_no_meaning_the_plan_hears_so(name, shape, dims, dtype, param_dtype, mode):
    function = FUNCTIONS[BUILT_IN[name].function]

    with pytest.raises(Unsupported, match=r"channels are undefined|more than one position"):
        geometry(function, workload(*shape, norm_dims=dims, dtype=dtype, norm_mode=mode, groups=group_count(name)))


def group_count(name):
    return 4 if name == "group_norm" else None


@pytest.mark.parametrize("name", LAYER_NORMS)
def test_layer_norms_take_float32_parameters_with_bfloat16_input_on_the_cpu(name):
    assert judged(name, 6, 32, dtype="bfloat16", param_dtype="float32").status is Status.OK


@pytest.mark.parametrize("affine", ["both", "weight", "none"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_built_in_is_right_with_and_without_weight_and_bias(name, dtype, affine):
    outcome = judged(
        name, 4, 8, 3, 5, norm_dims=3, dtype=dtype, affine=affine, norm_mode="train", groups=group_count(name)
    )

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_built_in_is_right_on_channels_last_memory(name):
    outcome = judged(name, 4, 8, 3, 5, norm_dims=3, layout="channels_last", norm_mode="train", groups=group_count(name))

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("layout", ["transposed", "strided", "transposed_dy", "expanded_dy"])
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_built_in_is_right_whatever_the_layout_and_says_nothing_of_it(name, layout, dtype):
    outcome = judged(
        name, 4, 8, 3, 5, norm_dims=3, layout=layout, dtype=dtype, norm_mode="train", groups=group_count(name)
    )

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert outcome.notices.keys() <= {"rounded-statistics"}


@pytest.mark.parametrize("layout", ["transposed", "strided", "transposed_dy", "expanded_dy"])
@pytest.mark.parametrize(("shape", "dims"), [((6, 32), 1), ((700, 33), 1), ((3, 4, 8), 2), ((2, 3, 4, 8), 2)])
@pytest.mark.parametrize("name", ROW_NORMS)
def test_row_norms_are_right_whatever_the_layout_and_the_rank(name, shape, dims, layout):
    outcome = judged(name, *shape, norm_dims=dims, layout=layout)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    ("gradients", "affine"),
    [("x", "both"), ("x", "weight"), ("x", "none"), ("parameters", "both"), ("parameters", "weight")],
)
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_built_in_is_right_with_something_frozen(name, gradients, affine, mode):
    outcome = judged(
        name,
        *(4, 8, 3, 5),
        norm_dims=3,
        gradients=gradients,
        affine=affine,
        norm_mode=mode,
        groups=group_count(name),
    )

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize("autocast", ["bfloat16", "float16"])
@pytest.mark.parametrize(("dtype", "param_dtype"), [pair for pair in DTYPES if pair[0] != "float64"])
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_built_in_is_right_under_autocast_or_says_which_parameters_its_kernel_refuses(
    name, dtype, param_dtype, autocast
):
    outcome = judged(
        name,
        *(4, 8, 3, 5),
        norm_dims=3,
        dtype=dtype,
        param_dtype=param_dtype,
        autocast=autocast,
        norm_mode="train",
        groups=group_count(name),
    )

    if outcome.status is Status.UNSUPPORTED:
        assert f"takes no {param_dtype} parameters with {dtype} input" in outcome.reason
        assert dtype != param_dtype
    else:
        assert (outcome.status, outcome.reason) == (Status.OK, "")
        assert "changed-settings" not in outcome.notices


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1e-3, 1.0])
@pytest.mark.parametrize("name", NOT_COMPILED)
def test_a_built_in_takes_the_eps_of_the_workload(name, eps):
    outcome = judged(name, 4, 8, 3, 5, norm_dims=3, eps=eps, norm_mode="train", groups=group_count(name))

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize("shape", [(1, 64), (2, 1), (3, 257), (700, 33), (2, 8193)])
@pytest.mark.parametrize("name", ROW_NORMS)
def test_row_norms_are_right_on_irregular_shapes(name, shape):
    outcome = judged(name, *shape)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


def test_batch_norm_in_train_mode_updates_its_running_statistics_and_in_eval_mode_reads_them():
    train, _ = prepared("batch_norm", workload(64, 8, norm_mode="train"))
    evaluate, _ = prepared("batch_norm", workload(64, 8, norm_mode="eval"))
    kept = [(work, work.inputs().running_mean.clone()) for work in (train, evaluate)]

    for work, _ in kept:
        work.forward()

    changed = [not (work.inputs().running_mean == before).all() for work, before in kept]
    assert changed == [True, False]


needs_compiler = pytest.mark.skipif(
    bool(missing_cpp_compiler()), reason="torch.compile on the CPU needs a C++ compiler"
)


@needs_compiler
@pytest.mark.parametrize("axes", [{}, {"layout": "transposed"}, {"gradients": "x"}, {"autocast": "bfloat16"}])
@pytest.mark.parametrize("name", ["compiled", "add_layer_norm_compiled"])
def test_the_compiled_layer_norms_are_right(name, axes):
    outcome = judged(name, 32, 64, **axes)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@needs_compiler
@pytest.mark.parametrize("axes", [{}, {"dtype": "bfloat16", "param_dtype": "float32"}])
@pytest.mark.parametrize("name", sorted({*COMPILED} - {"compiled", "add_layer_norm_compiled", "compiled_batch_norm"}))
def test_every_other_compiled_row_norm_is_right(name, axes):
    outcome = judged(name, 32, 64, **axes)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@needs_compiler
@pytest.mark.parametrize(("shape", "dims", "mode"), [((32, 64), 1, "train"), ((4, 8, 3, 5), 3, "eval")])
def test_the_compiled_batch_norm_is_right_and_updates_its_running_statistics_in_train_mode_alone(shape, dims, mode):
    outcome = judged("compiled_batch_norm", *shape, norm_dims=dims, norm_mode=mode)
    work, _ = prepared("compiled_batch_norm", workload(*shape, norm_dims=dims, norm_mode=mode))
    before = work.inputs().running_mean.clone()
    work.forward()

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert torch.equal(work.inputs().running_mean, before) is (mode == "eval")
