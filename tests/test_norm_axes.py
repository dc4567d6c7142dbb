"""Norms over axis 1, the channels of (N, C, H, W), as ConvNeXt has them."""

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from assembled import oracle
from command import MEASURED, results, run_lnbench
from planning import KNOWN, MACHINE, outcomes, plan, rows, suite
from pydantic import ValidationError
from stage import judged, prepared, workload
from torch.nn import functional

from lnbench.errors import SuiteError
from lnbench.functions import FUNCTIONS
from lnbench.implementations.contract import Registration
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.registry import BUILT_IN
from lnbench.implementations.toolchains import missing_cpp_compiler
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.lineup import Known
from lnbench.plan import make_plan, parse_only
from lnbench.planned import PlannedWorkload, Status
from lnbench.store.reading import read_run
from lnbench.summaries import summarize
from lnbench.traffic import minimum_bytes
from lnbench.workload import Phase, Workload

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [(2, 32, 5, 3), (3, 8, 7), (2, 4, 3, 2, 5)]
TAKE_AXIS_1 = [row.name for row in BUILT_IN.values() if row.norm_axes and not row.compiles]
MODES = {"batch_norm": "train"}


def over_channels(*shape, **axes):
    return workload(*shape, norm_axes=(1,), **axes)


def test_a_suite_names_axis_1_and_the_workload_says_so():
    made = plan("shapes: [[4, 96, 8, 6]], norm_axes: [last, 1]", implementations="fused, rms_norm, batch_norm")

    last, channels = made.workloads
    assert (last.id, last.workload.normalized_shape) == ("4x96x8x6/float32/cpu", (6,))
    assert (channels.id, channels.workload.normalized_shape) == ("4x96x8x6/float32/cpu/norm_axes=1", (96,))
    assert (channels.workload.rows, channels.workload.features) == (4 * 8 * 6, 96)
    assert made.measurable == 6


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("norm_axes: 0", "norm_axes: must be last or 1, found 0"),
        ("norm_axes: true", "norm_axes: must be last or 1, found true"),
        ("norm_axes: [1, 1]", '"1" stands twice in the list'),
        ("norm_axes: first", 'norm_axes: must be last or 1, found "first"'),
        ("norm_axes: 1, norm_dims: 3", "norm_dims counts the last axes, and norm_axes names another"),
    ],
)
def test_what_is_no_choice_of_axes_is_refused(axes, message):
    with pytest.raises(SuiteError) as caught:
        suite(f"shapes: [[4, 96, 8, 6]], {axes}")

    assert message in caught.value.message


def test_the_last_axis_of_a_matrix_has_one_name():
    made = plan("shapes: [[8, 64]], norm_axes: 1")

    assert outcomes(made)["fused"] == (
        Status.SKIPPED,
        "axis 1 is the last one of this shape, which norm_axes: last normalizes",
    )


def test_it_is_excluded_and_chosen_by_its_column():
    axes = "shapes: [[4, 96, 8, 6]], norm_axes: [last, 1]"

    excluded = plan(f"{axes}, exclude: [{{norm_axes: last}}]")
    chosen = plan(axes, options={"only": parse_only("norm_axes=last")})

    assert {name for name, _ in rows(excluded)} == {"4x96x8x6/float32/cpu/norm_axes=1"}
    assert {name for name, _ in rows(chosen)} == {"4x96x8x6/float32/cpu"}


def test_what_normalizes_the_last_axes_alone_is_unsupported_in_the_plan_already():
    known = {**KNOWN, "module": Known("layer_norm", norm_axes=False)}
    made = make_plan(
        suite("shapes: [[4, 96, 8, 6]], norm_axes: [last, 1]", implementations="fused, module"),
        known=known,
        machine=MACHINE,
    )

    assert [case.reason for case in made.cases] == ["", "", "", "it normalizes the last axes alone"]


def test_fewer_rows_are_fewer_positions_of_as_many_channels():
    few = over_channels(4, 96, 28, 28).with_rows(32)

    assert (few.shape, few.rows, few.features) == ((1, 96, 1, 28), 28, 96)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_x_and_dy_lie_in_memory_alike(layout):
    arrays = TorchArrays(over_channels(2, 8, 5, 3, layout=layout), seed=1)

    assert (
        arrays.x[0].stride()
        == arrays.dy[0].stride()
        == ((120, 15, 3, 1) if layout == "contiguous" else (120, 1, 24, 8))
    )


@pytest.mark.parametrize("affine", ["both", "weight", "none"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "add_layer_norm"])
def test_the_reference_result_is_that_of_the_last_axis_on_permuted_tensors(name, shape, affine):
    function, draw = FUNCTIONS[name], torch.Generator().manual_seed(3)
    on = over_channels(*shape, dtype="float64", affine=affine, eps=1e-3)

    def normal(sizes):
        return torch.randn(sizes, generator=draw, dtype=torch.float64)

    x, dy, weight, bias = (normal(sizes) for sizes in (shape, shape, shape[1], shape[1]))
    weight, bias = None if affine == "none" else weight, bias if affine == "both" and function.has_bias else None
    residual = (normal(shape), normal(shape)) if function.has_residual else (None, None)
    moved = workload(*shape[:1], *shape[2:], shape[1], dtype="float64", affine=affine, eps=1e-3)

    found = oracle(function, on, Inputs(x, dy, weight, bias, None, None, *residual), part_elements=40)
    right = oracle(
        function,
        moved,
        Inputs(
            *(None if it is None else it.movedim(1, -1).contiguous() for it in (x, dy)),
            weight,
            bias,
            None,
            None,
            *(None if it is None else it.movedim(1, -1).contiguous() for it in residual),
        ),
    )

    assert set(found) == set(right)
    for tensor, expected in right.items():
        for given, wanted in ((found[tensor].value, expected.value), (found[tensor].tolerance, expected.tolerance)):
            moved_back = wanted.movedim(-1, 1) if wanted.dim() > 1 else wanted
            torch.testing.assert_close(given, moved_back, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TAKE_AXIS_1)
def test_a_built_in_is_right_over_channels(name, dtype, layout):
    outcome = judged(
        name,
        2, 32, 5, 3,
        norm_axes=(1,),
        dtype=dtype,
        layout=layout,
        norm_mode=MODES.get(name, ""),
        groups=4 if name == "group_norm" else None,
    )  # fmt: skip

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize(("name", "shape"), list(product(["eager", "fused", "rms_norm", "batch_norm"], SHAPES[1:])))
def test_channels_are_axis_1_of_every_rank(name, shape):
    outcome = judged(name, *shape, norm_axes=(1,), norm_mode=MODES.get(name, ""))

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.skipif(bool(missing_cpp_compiler()), reason="torch.compile needs a C++ compiler")
def test_the_compiled_formula_is_right_over_channels():
    outcome = judged("compiled", 2, 32, 5, 3, norm_axes=(1,))

    assert (outcome.status, outcome.reason) == (Status.OK, "")


def test_fused_copies_no_more_than_permuting_takes_and_leaves_channels_last_in_memory():
    work, _ = prepared("fused", over_channels(2, 32, 5, 3))

    y = work.forward()

    assert (tuple(y.shape), y.stride()) == ((2, 32, 5, 3), (480, 1, 96, 32))


def test_a_builder_that_does_not_read_norm_axes_is_unsupported():
    outcome = judged(lambda on: lambda x, weight, bias: x, 2, 8, 5, 3, norm_axes=(1,))

    assert (outcome.status, outcome.reason) == (Status.UNSUPPORTED, "it normalizes the last axes alone")


def test_a_plug_in_over_the_wrong_axis_is_wrong():
    def last(on):
        return lambda x, weight, bias: (
            functional.layer_norm(x, x.shape[-1:], None, None, on.eps) * weight[:, None, None] + bias[:, None, None]
        )

    outcome = judged(Registration("it", "layer_norm", "", last, {}, norm_axes=True), 2, 8, 5, 8, norm_axes=(1,))

    assert outcome.status is Status.WRONG
    assert "y is off by" in outcome.reason


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "add_layer_norm"])
def test_the_fewest_bytes_are_those_of_as_many_rows(name, phase):
    channels = minimum_bytes(name, phase, over_channels(4, 96, 8, 6), cache_b=1 << 20)

    assert channels == minimum_bytes(name, phase, workload(4, 8, 6, 96), cache_b=1 << 20)


def test_batch_norm_over_the_same_channels_moves_the_bytes_of_norm_dims_3():
    channels = minimum_bytes("batch_norm", Phase.FORWARD_BACKWARD, over_channels(4, 96, 8, 6))

    assert channels == minimum_bytes("batch_norm", Phase.FORWARD_BACKWARD, workload(4, 96, 8, 6, norm_dims=3))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"norm_axes": (1,)}, "8 is not axis 1 of shape 4x96x8"),
        ({"norm_axes": (1,), "normalized_shape": (96, 8)}, "96x8 is not axis 1"),
        ({"norm_axes": (1,), "shape": (8,)}, "8 is not axis 1 of shape 8"),
        ({"norm_axes": (2,)}, "known: last, 1"),
        ({"norm_axes": (10**30,)}, "known: last, 1"),
    ],
)
def test_a_planned_workload_that_contradicts_itself_is_refused(changed, message):
    fields = {"shape": (4, 96, 8), "normalized_shape": (8,), **changed}

    with pytest.raises(ValidationError, match=message):
        PlannedWorkload.model_validate(
            {"id": "it", "workload": fields, "reference": "", "phases": ["inference"], "clocks": ["wall"]}
        )


@pytest.mark.parametrize("version", range(1, 8))
def test_rows_of_earlier_journals_normalize_the_last_axes(version):
    run = read_run(Path(__file__).parent / "samples" / f"schema-{version}.jsonl")

    assert {row.norm_axes for row in summarize(run)} == {"last"}


def test_a_workload_over_channels_comes_back_from_a_journal():
    made = PlannedWorkload(
        id="it",
        workload=Workload((4, 96, 8), (96,), norm_axes=(1,)),
        reference="fused",
        phases=(Phase.INFERENCE,),
        clocks=("wall",),
    )

    assert json.loads(made.model_dump_json())["workload"]["norm_axes"] == [1]
    assert PlannedWorkload.model_validate_json(made.model_dump_json()) == made


PLUGIN = """
import sys
import torch
from torch.nn import functional as F
from lnbench import implementation

SEEN = set()


class Watch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y.view_as(y)

    @staticmethod
    def backward(ctx, dy):
        if dy.shape == (2, 12, 6, 4):
            SEEN.add(dy.stride())
        return dy


@implementation("ln2d", function="layer_norm", summary="mean over axis 1", norm_axes=True)
def ln2d(workload):
    (axis,) = workload.norm_axes or (-1,)

    def forward(x, w, b):
        centred = x - x.mean(axis, keepdim=True)
        y = centred * torch.rsqrt(centred.square().mean(axis, keepdim=True) + workload.eps)
        y = Watch.apply(y * w[:, None, None] + b[:, None, None])
        with open("seen", "w") as file:
            print(x.stride(), *SEEN, file=file)
        return y

    return forward
"""


def test_the_real_command_measures_a_norm_over_channels_with_x_and_dy_in_nchw(tmp_path):
    (tmp_path / "plug.py").write_text(PLUGIN)
    (tmp_path / "suite.yaml").write_text(
        "name: ln2d\nreference: fused\nimplementations: [fused, eager, module, ln2d]\nworkloads:\n"
        "  - {shapes: [[2, 12, 6, 4]], norm_axes: 1, threads: 1, phases: [inference, forward_backward]}\n"
        "sampling: {processes: 1, precision: 1.0e-6, budget_s: 0.3}\n"
    )

    done = run_lnbench(tmp_path, "run", "suite.yaml", "--plugin", "plug.py", "--output", "it")

    assert done.code == 0, done.stdout + done.stderr
    found = results(tmp_path / "it")
    assert set(found.norm_axes) == {"1"}
    assert set(found[found.implementation != "module"].status) <= MEASURED
    assert set(found[found.implementation == "module"].reason) == {"it normalizes the last axes alone"}
    assert (tmp_path / "seen").read_text().strip() == "(288, 24, 4, 1) (288, 24, 4, 1)"
    assert "norm_axes=1" in done.stdout
