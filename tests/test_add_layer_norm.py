"""The residual add with its LayerNorm: right as a function and as a module, and what is wrong with it is found."""

import pytest
import torch
from stage import cases, judged, prepared, timed, workload
from torch import nn
from torch.nn import functional

from lnbench.measure.sampler import HostSampler, Rotation
from lnbench.planned import Status
from lnbench.worker.judging import Judge

pytestmark = pytest.mark.usefixtures("one_thread")


def fused_by_hand(*, dnew_residual=1.0, dresidual=1.0):
    """A builder with one backward for sum and norm, in which a gradient may be counted wrongly."""

    def build(on):
        class AddLayerNorm(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, residual, weight, bias):
                total = x + residual
                centred = total - total.mean(-1, keepdim=True)
                rstd = torch.rsqrt(centred.square().mean(-1, keepdim=True) + on.eps)
                ctx.save_for_backward(centred * rstd, rstd, weight)
                return centred * rstd * weight + bias, total

            @staticmethod
            def backward(ctx, dy, dtotal):
                x_hat, rstd, weight = ctx.saved_tensors
                g = dy * weight
                inner = g - g.mean(-1, keepdim=True) - x_hat * (g * x_hat).mean(-1, keepdim=True)
                dx = rstd * inner + dnew_residual * dtotal
                return dx, dresidual * dx, (dy * x_hat).sum(0), dy.sum(0)

        return AddLayerNorm.apply

    return build


def returning(results):
    """A builder whose results are made of x, residual and a layer norm: results(x, residual, norm)."""

    def build(on):
        def forward(x, residual, weight, bias):
            return results(x, residual, lambda it: functional.layer_norm(it, on.normalized_shape, weight, bias, on.eps))

        return forward

    return build


def in_place(x, residual, norm):
    """The sum in the residual's memory, as kernels for inference have it."""
    residual.data.add_(x.data)
    return norm(x + residual.detach()), residual + 0 * x


@pytest.mark.parametrize("axes", [{}, {"dtype": "bfloat16"}, {"layout": "strided"}, {"layout": "expanded_dy"}])
def test_a_fused_one_with_a_backward_of_its_own_is_right(axes):
    honest = returning(lambda x, residual, norm: (norm(x + residual), x + residual))

    for entry in (honest, *([fused_by_hand()] if "dtype" not in axes else [])):
        outcome = judged(entry, 32, 96, function="add_layer_norm", **axes)
        assert (outcome.status, outcome.reason) == (Status.OK, "")


class AddLayerNorm(nn.Module):
    def __init__(self, on):
        super().__init__()
        self.norm = nn.LayerNorm(on.normalized_shape, eps=on.eps)

    def forward(self, x, residual):
        total = x + residual
        return self.norm(total), total


@pytest.mark.parametrize("gradients", ["all", "x", "parameters"])
def test_a_module_takes_x_and_the_residual(gradients):
    outcome = judged(AddLayerNorm, 32, 96, function="add_layer_norm", gradients=gradients)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        pytest.param(
            returning(lambda x, residual, norm: norm(x + residual)),
            "returns a Tensor, not the tuple (y, new_residual)",
            id="y alone",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), x + residual, None)),
            "returns 3 results, not the tuple (y, new_residual)",
            id="three",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), None)),
            "returns as new_residual a NoneType, not a plain torch.Tensor",
            id="no new residual",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), residual)),
            "returns as new_residual a view of its input",
            id="the old residual",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), 1.0 * x)), "new_residual is off", id="x instead"
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x), x + residual)), "times the tolerance", id="norm of x"
        ),
        pytest.param(returning(lambda x, residual, norm: (x + residual, norm(x + residual))), "is off", id="exchanged"),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), (x + residual).half().float())),
            "new_residual is off",
            id="a sum rounded to 16 bits",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual.detach()), x + residual.detach())),
            "no gradient reaches residual",
            id="residual detached",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), (x + residual).detach())),
            "detached from the graph",
            id="sum detached",
        ),
        pytest.param(
            returning(lambda x, residual, norm: (norm(x + residual), x + residual.detach() + 0 * residual)),
            "dresidual is off",
            id="residual's own path dropped",
        ),
        pytest.param(fused_by_hand(dnew_residual=0.0), "times the tolerance", id="dnew_residual dropped"),
        pytest.param(fused_by_hand(dresidual=0.98), "dresidual is off", id="dresidual scaled"),
        pytest.param(returning(in_place), "it writes into residual", id="in place"),
    ],
)
def test_what_is_wrong_with_it_is_found_and_said(planted, reason):
    outcome = judged(planted, 32, 96, function="add_layer_norm")

    assert outcome.status is Status.WRONG
    assert reason in outcome.reason


def test_the_gradients_of_x_and_the_residual_have_the_new_residuals_own_gradient_in_them():
    work, arrays = prepared("add_layer_norm", workload(8, 16))
    with_it = dict(zip(work._names, work.backward(work.forward()), strict=True))
    x = (arrays.x[0] + arrays.of("residual")[0]).requires_grad_()
    weight, bias = arrays.parameters(work._function)
    (without,) = torch.autograd.grad(functional.layer_norm(x, (16,), weight, bias, 1e-5), [x], arrays.dy[0])

    torch.testing.assert_close(with_it["dx"], without + arrays.of("dnew_residual")[0])
    assert torch.equal(with_it["dx"], with_it["dresidual"])


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "transposed_dy", "expanded_dy"])
def test_residuals_lie_in_memory_as_x_and_dy_do_and_are_drawn_apart_from_them(layout):
    _, arrays = prepared("add_layer_norm", workload(8, 16, layout=layout))

    for like, name in ((arrays.x[0], "x"), (arrays.dy[0], "dy")):
        found = arrays.of({"x": "residual", "dy": "dnew_residual"}[name])[0]
        assert (found.shape, found.stride()) == (like.shape, like.stride())
        assert not torch.equal(found, like)


def test_it_takes_turns_beside_a_layer_norm_on_rotating_buffers():
    entries = {"both": "add_layer_norm", "norm": "fused"}
    made, heard = cases(entries, workload(8, 16, cache="cold"), pairs=3)
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    turns = timed(made, heard, HostSampler(rotation=Rotation(3, seed=1)), rounds=4)
    judge.after()

    assert {turn.case for turn in turns} >= {0, 1}
    assert heard.ends() == {}
    assert sorted(made.live) == [0, 1]


def test_the_sum_is_an_output_and_no_memory_that_is_saved_beside_it():
    work, _ = prepared("add_layer_norm", workload(64, 32))

    assert work.saved_bytes() == 2 * 64 * 4  # mean and rstd
