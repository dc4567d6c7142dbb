"""Layouts, frozen tensors and autocast as the PyTorch adapter makes them."""

import pytest
import torch
import zoo
from stage import OperationLog, cases, judged, prepared, workload
from torch.nn import functional

from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.measure.probe import Probe
from lnbench.planned import Status
from lnbench.worker.guard import Guard
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


def widening(on):
    """Gives y in float32, as PyTorch's layer norm does under autocast on CUDA."""
    return lambda x, weight, bias: zoo.honest(on)(x, weight, bias).float()


class Seeing:
    """A builder whose forward and backward write down whether autocast is on, and to which dtype."""

    def __init__(self):
        self.forward: list[tuple[bool, torch.dtype]] = []
        self.backward: list[bool] = []

    def __call__(self, on):
        seeing, norm = self, zoo.honest(on)

        class Marked(torch.autograd.Function):
            @staticmethod
            def forward(ctx, y):
                return y.clone()

            @staticmethod
            def backward(ctx, dy):
                seeing.backward.append(torch.is_autocast_enabled("cpu"))
                return dy

        def forward(x, weight, bias):
            seeing.forward.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
            return Marked.apply(norm(x, weight, bias))

        return forward


@pytest.mark.parametrize("autocast", ["float16", "bfloat16"])
def test_autocast_is_on_in_forward_and_inference_and_off_in_backward(autocast):
    seen = Seeing()
    work, _ = prepared(seen, workload(8, 16, autocast=autocast))

    with work.without_gradients():
        work.inference()
    work.backward(work.forward())

    assert seen.forward == [(True, getattr(torch, autocast))] * 2
    assert seen.backward == [False]


def test_autocast_leaves_everything_as_it_was_also_when_the_call_raises():
    def raising(on):
        def forward(x, weight, bias):
            raise ValueError("no norm today")

        return forward

    guard, usual = Guard(), torch.get_autocast_dtype("cpu")
    for entry in ("fused", raising):
        work, _ = prepared(entry, workload(8, 16, autocast="float16"))
        try:
            work.backward(work.forward())
        except ValueError:
            assert entry is raising

        assert guard.set_back() == ((), ())
        assert torch.get_autocast_dtype("cpu") == usual
        assert torch.autocast_increment_nesting() == 1
        assert torch.autocast_decrement_nesting() == 0


def test_a_cast_of_a_parameter_is_not_kept_from_one_step_to_the_next():
    kept = []

    def casting(on):
        def forward(x, weight, bias):
            kept.append(torch.matmul(torch.eye(16), weight))  # autocast casts the weight, and keeps the cast of a leaf
            return zoo.honest(on)(x, weight, bias)

        return forward

    work, arrays = prepared(casting, workload(8, 16, autocast="bfloat16"))
    work.forward()
    arrays.refill(5)
    work.forward()

    weight, _ = arrays.parameters(work._function)
    assert torch.equal(kept[1], weight.bfloat16())


def test_y_may_be_float32_under_autocast_and_not_otherwise():
    assert judged(widening, 8, 16, dtype="bfloat16", autocast="bfloat16").status is Status.OK
    assert "float32 (8, 16), x is bfloat16" in judged(widening, 8, 16, dtype="bfloat16").reason
    refused = judged(zoo.after(lambda y, x, weight: y.bfloat16()), 8, 16, autocast="bfloat16")
    assert "bfloat16 (8, 16), x is float32" in refused.reason


def test_dy_is_cast_to_the_dtype_of_y_once_and_drawn_anew_with_the_others():
    on = workload(8, 16, dtype="bfloat16", autocast="bfloat16", layout="transposed_dy")
    seen = []

    def spying(on):
        class Spy(torch.autograd.Function):
            @staticmethod
            def forward(ctx, y):
                return y.clone()

            @staticmethod
            def backward(ctx, dy):
                seen.append(dy)
                return dy

        return lambda x, weight, bias: Spy.apply(widening(on)(x, weight, bias))

    work, arrays = prepared(spying, on)
    gradients = work.backward(work.forward())
    arrays.refill(7)
    work.backward(work.forward())

    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16] * 3
    assert seen[0].data_ptr() == seen[1].data_ptr()
    assert (seen[1].dtype, seen[1].stride()) == (torch.float32, arrays.dy[0].stride())
    assert torch.equal(seen[1], arrays.dy[0].float())


def test_every_pair_of_a_rotation_has_its_own_cast_dy():
    arrays = TorchArrays(workload(8, 16, dtype="bfloat16"), seed=3, pairs=3)

    cast = arrays.upstream("y", torch.float32)

    assert all(torch.equal(one, other.float()) for one, other in zip(cast, arrays.dy, strict=True))
    assert len({one.data_ptr() for one in cast}) == 3
    assert all(one is other for one, other in zip(arrays.upstream("y", torch.bfloat16), arrays.dy, strict=True))


def test_a_write_into_the_cast_dy_is_found():
    def writing(on):
        class Writing(torch.autograd.Function):
            @staticmethod
            def forward(ctx, y):
                return y.clone()

            @staticmethod
            def backward(ctx, dy):
                dy.data.mul_(1.5)
                return dy

        return lambda x, weight, bias: Writing.apply(widening(on)(x, weight, bias))

    assert "it writes into dy" in judged(writing, 8, 16, dtype="bfloat16", autocast="bfloat16").reason
