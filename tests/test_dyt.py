"""Dynamic tanh: right as a function and as a module, what is wrong is found, alpha is drawn."""

import pytest
import torch
from stage import judged, prepared, workload
from torch import nn

from lnbench.functions import FUNCTIONS, gradient_names
from lnbench.planned import Status

pytestmark = pytest.mark.usefixtures("one_thread")


def returning(formula):
    """A builder whose y is formula(x, alpha, weight, bias)."""

    def build(_):
        return lambda x, alpha, weight, bias: formula(x, alpha, weight, bias)

    return build


def scaled(tanh, weight, bias):
    """The affine part, as far as it is there."""
    y = tanh if weight is None else tanh * weight
    return y if bias is None else y + bias


def by_hand(*, dalpha=1.0, slope=lambda tanh: 1 - tanh.square()):
    """A builder with a backward of its own, in which a gradient may be wrong."""

    class Dyt(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, alpha, weight, bias):
            ctx.save_for_backward(x, alpha, weight)
            return torch.tanh(alpha * x) * weight + bias

        @staticmethod
        def backward(ctx, dy):
            x, alpha, weight = ctx.saved_tensors
            tanh = torch.tanh(alpha * x)
            inner = dy * weight * slope(tanh)
            return alpha * inner, dalpha * (inner * x).sum().reshape(1), (dy * tanh).sum(0), dy.sum(0)

    return lambda _: Dyt.apply


class DynamicTanh(nn.Module):
    """As the paper's code has it; alpha of `alpha_shape`."""

    def __init__(self, on, *, alpha_shape=(1,)):
        super().__init__()
        self.alpha = nn.Parameter(torch.full(alpha_shape, 0.5))
        affine = on.affine
        self.weight = nn.Parameter(torch.ones(on.normalized_shape)) if affine != "none" else None
        self.bias = nn.Parameter(torch.zeros(on.normalized_shape)) if affine == "both" else None

    def forward(self, x):
        return scaled(torch.tanh(self.alpha * x), self.weight, self.bias)


@pytest.mark.parametrize("gradients", ["all", "x", "parameters"])
@pytest.mark.parametrize("affine", ["both", "weight", "none"])
@pytest.mark.parametrize("alpha_shape", [(1,), ()])
def test_a_module_with_an_alpha_of_one_element_or_of_none_is_bound_and_right(alpha_shape, affine, gradients):
    outcome = judged(
        lambda on: DynamicTanh(on, alpha_shape=alpha_shape), 32, 96, function="dyt", affine=affine, gradients=gradients
    )

    assert (outcome.status, outcome.reason) == (Status.OK, "")


def test_an_alpha_per_feature_is_another_function_and_said():
    outcome = judged(lambda on: DynamicTanh(on, alpha_shape=(96,)), 32, 96, function="dyt")

    assert "alpha is (96,), the workload's is (1,)" in outcome.reason
    assert outcome.status is not Status.OK


@pytest.mark.parametrize("rows", [8, 4096])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("layout", ["contiguous", "strided", "expanded_dy"])
def test_the_composed_formula_is_right_and_coarse_nowhere(rows, dtype, layout):
    outcome = judged("dyt", rows, 96, dtype=dtype, layout=layout)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert "inaccurate" not in outcome.notices


@pytest.mark.parametrize("affine", ["both", "none"])
def test_tanh_from_a_sigmoid_is_right(affine):
    planted = returning(lambda x, alpha, weight, bias: scaled(2 * torch.sigmoid(2 * alpha * x) - 1, weight, bias))

    outcome = judged(planted, 32, 96, function="dyt", affine=affine)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert "inaccurate" not in outcome.notices


def test_an_exponential_that_overflows_is_right_on_ordinary_inputs_and_its_row_says_where_not():
    def overflowing(x, alpha, weight, bias):
        grown = torch.exp(2 * alpha * x)
        return (grown - 1) / (grown + 1) * weight + bias

    outcome = judged(returning(overflowing), 32, 96, function="dyt")

    assert outcome.status is Status.OK
    assert "an exponential that overflows does that" in outcome.notices["inaccurate"]
    assert "E[x²]" not in outcome.notices["inaccurate"]


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        pytest.param(returning(lambda x, a, w, b: torch.tanh(0.5 * x + 0 * a) * w + b), "is off", id="alpha of 0.5"),
        pytest.param(
            returning(lambda x, a, w, b: torch.tanh(a.detach() * x) * w + b),
            "no gradient reaches alpha",
            id="no dalpha",
        ),
        pytest.param(returning(lambda x, a, w, b: torch.tanh(a * x * w) + b), "is off", id="weight inside"),
        pytest.param(returning(lambda x, a, w, b: torch.tanh(a * x) * w + a * b), "is off", id="bias scaled"),
        pytest.param(returning(lambda x, a, w, b: torch.nn.functional.hardtanh(a * x) * w + b), "is off", id="clipped"),
        pytest.param(
            returning(lambda x, a, w, b: torch.tanh(a * x) * (1 + 2**-11) * w + b), "is off", id="a fast approximation"
        ),
        pytest.param(by_hand(dalpha=0.98), "dalpha is off", id="dalpha scaled"),
        pytest.param(by_hand(dalpha=1 + 1e-4), "dalpha is off", id="dalpha nearly right"),
        pytest.param(by_hand(slope=lambda tanh: 1 - tanh.abs()), "is off", id="another slope"),
        pytest.param(by_hand(slope=lambda tanh: 1 - tanh.half().float().square()), "is off", id="tanh kept in 16 bits"),
    ],
)
def test_what_is_wrong_with_it_is_found_and_said(planted, reason):
    outcome = judged(planted, 32, 96, function="dyt")

    assert outcome.status is Status.WRONG
    assert reason in outcome.reason


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_backward_of_its_own_is_right(dtype):
    outcome = judged(by_hand(), 32, 96, function="dyt", dtype=dtype)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


def test_what_is_off_on_small_x_or_around_a_large_mean_is_not_put_down_to_eps_or_to_statistics():
    def peculiar(x, alpha, weight, bias):
        is_small, has_mean = x.abs().max() < 0.1, x.mean() > 4
        return torch.tanh(alpha * x) * weight + bias + 100.0 * (is_small | has_mean)

    outcome = judged(returning(peculiar), 32, 96, function="dyt", dtype="bfloat16")

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert "rounded-statistics" not in outcome.notices


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        ({}, ("dx", "dalpha", "dweight", "dbias")),
        ({"affine": "weight"}, ("dx", "dalpha", "dweight")),
        ({"affine": "none"}, ("dx", "dalpha")),
        ({"gradients": "x"}, ("dx",)),
        ({"gradients": "parameters", "affine": "none"}, ("dalpha",)),
    ],
)
def test_alpha_is_learned_with_weight_and_bias_and_also_without_them(axes, names):
    assert gradient_names(FUNCTIONS["dyt"], workload(4, 8, **axes)) == names


def test_alpha_is_drawn_anew_with_each_fill_so_that_a_fixed_one_is_found():
    work, arrays = prepared("dyt", workload(4, 8))

    drawn = []
    for seed in range(40):
        arrays.refill(seed)
        drawn.append(float(work.inputs().alpha))

    assert len(set(drawn)) == 40
    assert 0.25 <= min(drawn) < 0.35
    assert 0.65 < max(drawn) <= 0.75


def test_what_writes_into_alpha_is_named():
    def writing(x, alpha, weight, bias):
        y = torch.tanh(alpha * x) * weight + bias
        alpha.data.mul_(1.0001)
        return y

    outcome = judged(returning(writing), 32, 96, function="dyt", gradients="x")

    assert outcome.status is Status.WRONG
    assert "it writes into alpha" in outcome.reason


def test_arrays_of_other_frameworks_have_alpha_too():
    class InNumpy:
        no_step = "inference alone"

        def __init__(self, arrays):
            self.arrays = {name: tensor.numpy() for name, tensor in arrays.parameters().items()}
            self.x = arrays.x.numpy()

        def inference(self):
            import numpy as np

            return np.tanh(self.arrays["alpha"] * self.x) * self.arrays["weight"] + self.arrays["bias"]

        def wait(self):
            pass

        def outputs(self):
            return {"inference_y": self.inference()}

        def close(self):
            pass

    outcome = judged(lambda _, arrays: InNumpy(arrays), 32, 96, function="dyt")

    assert (outcome.status, outcome.reason) == (Status.OK, "")
