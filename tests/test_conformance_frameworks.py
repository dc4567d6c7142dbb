"""Every implementation on another framework is judged right, or says honestly why it does not do a workload.

The same judgement as for PyTorch's own: outputs and gradients against the float64 oracle, formula, eps, hard inputs,
inputs untouched, results that are new and finished. Shapes of at most 32 rows, where each case is compiled once.
"""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from lnbench.implementations.needs import is_installed
from lnbench.implementations.registry import BUILT_IN
from lnbench.units import format_shape

TESTS = Path(__file__).parent
FAMILIES = {
    "keras": ("keras", "keras_torch", "keras_batch_norm", "tensorflow", "tensorflow_xla"),
    "others": ("jax", "equinox", "onnxruntime", "numpy"),
}
SLOW = {"tensorflow_xla", "jax", "equinox"}
"""Compiled anew for each workload, which takes seconds."""

INFERENCE_ONLY = {"onnxruntime", "numpy"}
SHAPES = [((6, 32), 1), ((3, 5, 33), 1), ((2, 3, 4, 8), 2), ((2, 8, 5, 3), 3)]
FEW_SHAPES = [((6, 33), 1), ((2, 3, 4, 8), 2)]
DTYPES = [("float64", "float64"), ("float16", "float16"), ("bfloat16", "bfloat16"), ("bfloat16", "float32")]
AXES = [
    {"affine": "weight"},
    {"affine": "none"},
    {"eps": 1e-12},
    {"eps": 1.0},
    {"gradients": "x"},
    {"gradients": "parameters"},
]


def refusal(name, axes):
    """Why an implementation does not do a workload; "" where it has to be right."""
    dtype, param_dtype = axes.get("dtype", "float32"), axes.get("param_dtype", "float32")
    if name == "numpy" and dtype == "bfloat16":
        return "NumPy has no bfloat16"
    if name == "onnxruntime" and axes.get("affine") == "none":
        return "ONNX's LayerNormalization always scales"
    if name == "onnxruntime" and dtype != param_dtype:
        return "ONNX's LayerNormalization takes one dtype for x, scale and bias"
    if name == "onnxruntime" and dtype == "bfloat16":
        return "NumPy, through which ONNX Runtime takes its inputs, has no bfloat16"
    if name == "onnxruntime" and dtype == "float64":
        return "ONNX keeps epsilon in float32, which is not exact enough for float64"
    if name == "keras_torch" and dtype == "float64":
        return "Keras on PyTorch computes float64 in float32"
    if "layout" in axes:
        return "arrays of other frameworks are contiguous; layout transposed is PyTorch's"
    return ""


def combinations(name):
    """What an implementation is tried on: every shape in float32, then one axis after the other."""
    shapes = FEW_SHAPES if name in SLOW else SHAPES
    if name == "keras_batch_norm":
        yield from ((shape, dims, {"norm_mode": mode}) for (shape, dims), mode in product(BATCHED, ("train", "eval")))
        yield from ((*BATCHED[0], {"norm_mode": "train", "dtype": it, "param_dtype": of}) for it, of in DTYPES[1:])
        yield (*BATCHED[0], {"norm_mode": "train", "affine": "none"})
        return
    yield from ((shape, dims, {}) for shape, dims in shapes)
    yield from ((*shapes[0], {"dtype": dtype, "param_dtype": param_dtype}) for dtype, param_dtype in DTYPES)
    yield from ((*shapes[0], axes) for axes in AXES)
    yield (*shapes[0], {"layout": "transposed"})


BATCHED = [((16, 8), 1), ((4, 6, 8), 1), ((4, 8, 3, 5), 3)]
CASES = {
    family: [(name, shape, dims, axes) for name in names for shape, dims, axes in combinations(name)]
    for family, names in FAMILIES.items()
}


def titles(family):
    """A name for each case of a family."""
    return [
        "-".join([name, format_shape(shape), str(dims), *map(str, axes.values())])
        for name, shape, dims, axes in CASES[family]
    ]


@pytest.fixture(scope="module")
def outcomes():
    """What became of each case of a family; judged in one process when it is first asked for."""
    found = {}

    def of(family):
        if family not in found:
            given = json.dumps([it for it in CASES[family] if not missing(it[0])])
            done = subprocess.run(
                [sys.executable, str(TESTS / "conform.py")], input=given, capture_output=True, text=True, check=False
            )
            lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"status"')]
            assert done.returncode == 0, done.stderr[-2000:]
            judged = iter(lines)
            found[family] = [None if missing(it[0]) else next(judged) for it in CASES[family]]
        return found[family]

    return of


def missing(name):
    """True where a library that an implementation needs is not installed."""
    return not all(is_installed(need) for need in BUILT_IN[name].needs)


@pytest.mark.parametrize(
    ("family", "number"),
    [pytest.param(family, number, id=title) for family in FAMILIES for number, title in enumerate(titles(family))],
)
def test_a_framework_is_right_or_says_what_it_does_not_do(outcomes, family, number):
    name, _, _, axes = CASES[family][number]
    if missing(name):
        pytest.skip(f"{name}'s library is not installed")

    outcome = outcomes(family)[number]

    reason = refusal(name, axes)
    assert (outcome["status"], outcome["reason"]) == ("unsupported" if reason else "ok", reason)
    assert "inaccurate" not in outcome["notices"]
    if not reason and name not in INFERENCE_ONLY:
        assert outcome["repeats"] is not None


def test_every_implementation_on_another_framework_is_tried():
    tried = {name for names in FAMILIES.values() for name in names}

    assert tried == {
        row.name
        for row in BUILT_IN.values()
        if "cuda" not in row.devices and not row.builder.startswith(("eager", "fused", "compiled"))
    }
