"""Verification in parts: the same judgement as of whole tensors, and no float64 copy of a whole one."""

import pytest
import torch
import zoo
from stage import OperationLog, Outcome, cases, judged, prepared, workload

from lnbench.functions import FUNCTIONS
from lnbench.planned import Status
from lnbench.worker.judging import Judge
from lnbench.worker.verify import Fill

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = 200
"""Elements of a part: the tensors here have many parts, of several rows or channels each."""

PLANTED = {
    "two passes": zoo.formula(zoo.two_passes),
    "unbiased variance": zoo.formula(zoo.unbiased_variance),
    "rounded statistics": zoo.formula(zoo.rounded_statistics),
    "no eps": zoo.formula(zoo.without_eps),
    "cancels": zoo.formula(zoo.difference_of_squares),
    "mean in 16 bits": zoo.formula(zoo.mean_in_the_dtype_of_x),
    **{f"{tensor} off": zoo.by_hand(**{tensor: zoo.scaled(0.98)}) for tensor in ("y", "dx", "dweight", "dbias")},
    "detached": zoo.after(lambda y, x, weight: y.detach()),
    "writes x": zoo.writing_into("x"),
    "NaN": zoo.after(lambda y, x, weight: y * torch.where(x == x.max(), torch.nan, 1.0)),
}


def judged_in_parts(entry, *shape, **axes):
    """The outcome of `judged`, with parts of SMALL elements."""
    options = {name: axes.pop(name) for name in ("function", "norm_mode", "groups") if name in axes}
    made, heard = cases({"it": entry}, workload(*shape, **axes), **options)
    made.build_all()
    judge = Judge(made, judged={}, part_elements=SMALL)
    judge.before()
    judge.after()
    end = heard.ends().get(0)
    return Outcome(end.status if end else Status.OK, end.reason if end else "", heard.notices())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", PLANTED)
def test_an_implementation_is_right_or_wrong_for_the_same_reason_in_parts_as_in_whole(name, dtype):
    whole = judged(PLANTED[name], 64, 48, dtype=dtype)

    found = judged_in_parts(PLANTED[name], 64, 48, dtype=dtype)

    assert (found.status, found.reason) == (whole.status, whole.reason)
    assert found.notices == whole.notices


def off_in_one_place(row, column):
    """Right everywhere but in one element of y."""

    def build(on):
        norm = zoo.honest(on)

        def forward(x, weight, bias):
            mask = torch.zeros(on.shape, dtype=x.dtype)
            mask[row, column] = 0.01
            return norm(x, weight, bias) + mask

        return forward

    return build


@pytest.mark.parametrize(("row", "column"), [(0, 0), (31, 17), (63, 47)])
def test_one_wrong_element_is_found_in_whichever_part_it_lies(row, column):
    on = workload(64, 48)
    case, arrays = prepared(off_in_one_place(row, column), on)

    found = Fill(arrays, part_elements=SMALL).judge(case, FUNCTIONS["layer_norm"], on, case.inputs())

    assert not found.is_right
    assert found.worst in {"y", "inference_y"}


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("layer_norm", (64, 48), {}),
        ("layer_norm", (64, 48), {"layout": "transposed"}),
        ("layer_norm", (64, 48), {"layout": "expanded_dy"}),
        ("rms_norm", (64, 48), {"affine": "none"}),
        ("batch_norm", (64, 48), {}),
        ("batch_norm", (8, 16, 5, 5), {"norm_dims": 3}),
        ("batch_norm", (8, 16, 5, 5), {"norm_dims": 3, "layout": "channels_last"}),
        ("group_norm", (8, 16, 5, 5), {"norm_dims": 3, "groups": 4}),
        ("instance_norm", (8, 16, 5, 5), {"norm_dims": 3}),
        ("add_layer_norm", (64, 48), {}),
    ],
)
def test_every_function_is_judged_alike_in_parts_of_any_size(name, shape, axes, mode):
    groups = {"groups": axes["groups"]} if "groups" in axes else {}
    own = {key: value for key, value in axes.items() if key != "groups"}
    norm_mode = mode if FUNCTIONS[name].norm_modes else ""
    made, _ = cases(
        {"it": {"layer_norm": "fused"}.get(name, name)}, workload(*shape, **own), norm_mode=norm_mode, **groups
    )
    made.build_all()
    (case,) = made.live.values()

    def judgement(part_elements):
        fill = Fill(made.arrays, part_elements=part_elements)
        return fill.judge(case.prepared, case.function, case.workload, case.prepared.inputs())

    whole, *others = (judgement(part_elements) for part_elements in (1 << 22, 1000, SMALL, 1))

    assert whole.is_right
    for found in others:
        # Errors of 1e-8 are differences of numbers that agree to 1e-16.
        assert found.relative == pytest.approx(whole.relative, rel=1e-6)
        assert found.share == pytest.approx(whole.share, rel=1e-6)


def test_running_statistics_that_a_case_writes_into_are_those_of_before_its_calls():
    def build(on):
        def forward(x, weight, bias, running_mean, running_var):
            y = torch.nn.functional.batch_norm(x, running_mean, running_var, weight, bias, False, 0.1, on.eps)
            running_mean.data.add_(1.0)
            return y

        return forward

    outcomes = [run(build, 64, 48, function="batch_norm", norm_mode="eval") for run in (judged, judged_in_parts)]

    assert outcomes[0].status == outcomes[1].status == Status.WRONG
    assert outcomes[0].reason.partition(" is off")[0] == outcomes[1].reason.partition(" is off")[0]


def test_no_tensor_in_float64_is_larger_than_a_part():
    on = workload(64, 48, dtype="bfloat16")
    case, arrays = prepared("fused", on)
    fill = Fill(arrays, part_elements=SMALL)

    with OperationLog([]) as log:
        found = fill.judge(case, FUNCTIONS["layer_norm"], on, case.inputs())

    wide = [tensor.numel() for _, _, made in log.seen for tensor in made if tensor.dtype is torch.float64]
    assert found.is_right
    assert wide
    assert max(wide) <= SMALL
