"""Layouts and frozen tensors as the PyTorch adapter makes them: where memory lies, and what is differentiated."""

import pytest
import torch
from stage import OperationLog, cases, prepared, workload
from torch.nn import functional

from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.measure.probe import Probe
from lnbench.worker.judging import Judge
from lnbench.workload import STRIDE_PADDING

pytestmark = pytest.mark.usefixtures("one_thread")

LAYOUTS = ["contiguous", "channels_last", "transposed", "strided", "transposed_dy", "expanded_dy"]
SHAPE = (4, 8, 3, 5)


def arrays(layout, *, pairs=1, shape=SHAPE, **axes):
    return TorchArrays(workload(*shape, layout=layout, **axes), seed=3, pairs=pairs)


@pytest.mark.parametrize(
    ("layout", "x_strides", "dy_strides"),
    [
        ("contiguous", (120, 15, 5, 1), (120, 15, 5, 1)),
        ("channels_last", (120, 1, 40, 8), (120, 1, 40, 8)),
        ("transposed", (120, 15, 1, 3), (120, 15, 5, 1)),
        ("strided", (24 * (5 + STRIDE_PADDING), 3 * (5 + STRIDE_PADDING), 5 + STRIDE_PADDING, 1), (120, 15, 5, 1)),
        ("transposed_dy", (120, 15, 5, 1), (120, 15, 1, 3)),
        ("expanded_dy", (120, 15, 5, 1), (0, 0, 0, 0)),
    ],
)
def test_a_layout_is_the_strides_of_x_and_dy(layout, x_strides, dy_strides):
    made = arrays(layout, pairs=2)

    for x, dy in zip(made.x, made.dy, strict=True):
        assert (x.shape, x.stride()) == (SHAPE, x_strides)
        assert (dy.shape, dy.stride()) == (SHAPE, dy_strides)
        assert x.isfinite().all()
        assert len(dy.unique()) == (1 if layout == "expanded_dy" else dy.numel())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_are_drawn_anew_scaled_and_restored_in_the_same_memory(layout):
    made = arrays(layout, pairs=2)
    places = [(x.data_ptr(), dy.data_ptr()) for x, dy in zip(made.x, made.dy, strict=True)]
    before = [tensor.clone() for tensor in (*made.x, *made.dy)]
    made.refill(4)
    fresh = [tensor.clone() for tensor in (*made.x, *made.dy)]
    made.scale_x(2.0, 1.0)
    scaled = [x.clone() for x in made.x]
    made.restore()

    assert [(x.data_ptr(), dy.data_ptr()) for x, dy in zip(made.x, made.dy, strict=True)] == places
    assert not any(torch.equal(old, new) for old, new in zip(before, fresh, strict=True))
    assert all(torch.equal(2.0 * old + 1.0, new) for old, new in zip(fresh, scaled, strict=False))
    assert all(torch.equal(old, new) for old, new in zip(fresh, (*made.x, *made.dy), strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("target", ["x", "dy"])
def test_a_write_into_an_input_is_found_and_undone_in_every_layout(layout, target):
    def writing(on):
        class Writing(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, weight, bias):
                ctx.rows = x.numel() // on.features
                if target == "x":
                    x.data.mul_(1.001)
                return functional.layer_norm(x, on.normalized_shape, weight, bias, on.eps)

            @staticmethod
            def backward(ctx, dy):
                if target == "dy":
                    dy.data[(0,) * dy.dim()] += 1.0
                return torch.zeros(on.shape), torch.zeros(on.normalized_shape), torch.zeros(on.normalized_shape)

        return Writing.apply

    made, heard = cases({"it": writing}, workload(*SHAPE, layout=layout))
    made.build_all()
    Judge(made, judged={}).before()

    assert f"it writes into {target}; inputs belong to the caller" in heard.ends()[0].reason


def test_a_write_between_the_rows_of_a_strided_x_is_found():
    def writing(on):
        def forward(x, weight, bias):
            x.data.as_strided((1,), (1,), x.storage_offset() + 16).fill_(1.0)
            return functional.layer_norm(x, on.normalized_shape, weight, bias, on.eps)

        return forward

    made, heard = cases({"it": writing}, workload(8, 16, layout="strided"))
    made.build_all()
    Judge(made, judged={}).before()

    assert "it writes into x" in heard.ends()[0].reason


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pairs", [1, 3])
def test_the_probe_copies_contiguous_bytes_as_many_as_x_and_dy_have(layout, pairs):
    x, dy = arrays(layout, pairs=pairs, dtype="bfloat16").dense()
    copies = Probe(x, dy)

    assert (len(x), len(dy)) == (pairs, pairs)
    for source in (*x, *dy, *copies._targets):
        assert source.is_contiguous()
        assert source.numel() == 480
    assert all(one.data_ptr() != other.data_ptr() for one, other in zip(x, dy, strict=True))


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "transposed_dy"])
def test_what_the_probe_reads_is_the_memory_that_the_cases_read(layout):
    made = arrays(layout, pairs=2)

    for dense, read in zip(made.dense(), (made.x, made.dy), strict=True):
        assert [part.data_ptr() for part in dense] == [tensor.data_ptr() for tensor in read]


@pytest.mark.parametrize("implementation", ["fused", "module"])
@pytest.mark.parametrize(
    ("gradients", "asked"), [("all", [True] * 3), ("x", [True, False, False]), ("parameters", [False, True, True])]
)
def test_the_kernel_is_asked_for_the_gradients_of_the_workload_alone(implementation, gradients, asked):
    work, _ = prepared(implementation, workload(8, 16, gradients=gradients))
    masks = []

    class Masks(OperationLog):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "native_layer_norm_backward" in func.name():
                masks.append(args[-1])
            return super().__torch_dispatch__(func, types, args, kwargs)

    y = work.forward()
    with Masks([]):
        found = work.backward(y)

    assert masks == [asked]
    assert len(found) == sum(asked)


@pytest.mark.parametrize(
    ("gradients", "needed"),
    [("all", (True, True, True)), ("x", (True, False, False)), ("parameters", (False, True, True))],
)
def test_what_is_frozen_does_not_require_a_gradient(gradients, needed):
    seen = []

    def spying(on):
        class Spy(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, weight, bias):
                seen.append(ctx.needs_input_grad)
                return functional.layer_norm(x, on.normalized_shape, weight, bias, on.eps)

        return Spy.apply

    work, _ = prepared(spying, workload(8, 16, gradients=gradients))
    work.forward()

    assert seen == [needed]


@pytest.mark.parametrize(
    ("gradients", "names"), [("x", {"dx"}), ("parameters", {"dweight", "dbias"}), ("all", {"dx", "dweight", "dbias"})]
)
def test_exactly_the_gradients_of_the_workload_are_judged(gradients, names):
    work, _ = prepared("fused", workload(8, 16, gradients=gradients))

    assert work.outputs().keys() == {"y", "inference_y", *names}
