"""The mistakes of comparing unlike things, 18 to 22: an eager that pays too much, raw kernels, bytes, dead work."""

import pytest
import torch
import zoo
from fabricate import case, noisy_turns, run
from fabricate import workload as planned_workload
from stage import OperationLog, cases, judged, prepared, timed, workload

from lnbench.implementations import eager
from lnbench.measure.sampler import HostSampler
from lnbench.planned import Status
from lnbench.render.markdown import render_report
from lnbench.summaries import summarize
from lnbench.traffic import minimum_bytes
from lnbench.view import view_run
from lnbench.workload import Phase, Workload

pytestmark = pytest.mark.usefixtures("one_thread")

BFLOAT16 = workload(64, 512, dtype="bfloat16")


def moved_bytes(forward):
    """The bytes that a forward's operations read and write, every operation's tensors counted once."""
    x, weight, bias = torch.randn(64, 512).bfloat16(), torch.ones(512).bfloat16(), torch.ones(512).bfloat16()
    with torch.no_grad(), OperationLog([]) as log:
        forward(x, weight, bias)
    views = {"detach", "expand", "view", "alias"}
    return sum(tensor.nbytes for name, given, made in log.seen if name not in views for tensor in (*given, *made))


def on_a_float32_copy(x, weight, bias):
    """The eager formula as others write it: everything is done on an up-cast copy."""
    wide = x.float()
    centred = wide - wide.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return (centred * torch.rsqrt(variance + 1e-5) * weight.float() + bias.float()).to(x.dtype)


def test_mistake_18_eager_keeps_nothing_of_the_size_of_x_in_float32_past_the_subtraction():
    forward = eager.layer_norm(BFLOAT16)
    x = torch.randn(64, 512).bfloat16().requires_grad_()
    weight, bias = (torch.ones(512).bfloat16().requires_grad_() for _ in range(2))
    saved = []

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda kept: kept):
        log = OperationLog([])
        with log:
            forward(x, weight, bias)

    wide = [
        name
        for name, _, made in log.seen
        for tensor in made
        if tensor.dtype is torch.float32 and tensor.numel() == x.numel()
    ]
    assert wide == ["sub"]
    assert [tensor for tensor in saved if tensor.dtype is torch.float32 and tensor.numel() == x.numel()] == []


def test_mistake_18_eager_moves_far_fewer_bytes_than_on_an_up_cast_copy():
    fair, up_cast = moved_bytes(eager.layer_norm(BFLOAT16)), moved_bytes(on_a_float32_copy)

    assert fair < 0.6 * up_cast  # 56 % by count: 24 bytes an element instead of 43, each rounded up


def test_mistake_19_a_raw_kernel_whose_result_is_detached_is_refused():
    outcome = judged(zoo.after(lambda y, x, weight: y.detach()), 8, 16)

    assert outcome.status is Status.WRONG
    assert "detached from the graph" in outcome.reason


@pytest.mark.parametrize(
    ("planted", "what"),
    [
        (zoo.into_one_buffer_at_inference, "inference"),
        (zoo.by_hand(y=zoo.into_one_buffer()), "inference"),
        (zoo.by_hand(dx=zoo.into_one_buffer()), "dx"),
        (zoo.by_hand(dweight=zoo.into_one_buffer()), "dweight"),
    ],
)
def test_mistake_19_preallocated_results_are_refused(planted, what):
    outcome = judged(planted, 8, 16)

    assert outcome.status is Status.WRONG
    assert what in outcome.reason
    assert "same memory" in outcome.reason


@pytest.mark.parametrize("entry", ["eager", "fused", "module", "rms_norm", "batch_norm"])
def test_mistake_19_every_implementation_goes_through_autograd_and_gives_new_memory(entry):
    work, _ = prepared(entry, workload(8, 16, norm_mode="train"))

    first, second = ([y, *work.backward(y)] for y in (work.forward(), work.forward()))

    assert first[0].grad_fn is not None
    assert {tensor.data_ptr() for tensor in first}.isdisjoint(tensor.data_ptr() for tensor in second)


def bytes_by_row(made):
    return {(row.implementation, row.phase): row.minimum_bytes for row in summarize(made)}


def test_mistake_20_every_row_of_a_function_counts_the_same_bytes_whatever_it_does():
    names = ["eager", "fused", "compiled", "mine"]
    made = run([planned_workload()], [case(name) for name in names], noisy_turns(dict.fromkeys(range(4), 1e-4)))

    found = bytes_by_row(made)

    for phase in Phase:
        assert len({found[name, phase] for name in names}) == 1


def test_mistake_20_a_step_counts_the_bytes_of_forward_and_of_backward():
    found = bytes_by_row(run([planned_workload()], [case("fused")], []))

    step = found["fused", Phase.FORWARD_BACKWARD]
    assert step == found["fused", Phase.FORWARD] + found["fused", Phase.BACKWARD]
    assert found["fused", Phase.BACKWARD] > found["fused", Phase.FORWARD] > found["fused", Phase.INFERENCE]


def test_mistake_20_parameters_and_saved_statistics_are_counted():
    one_row = Workload((1, 8192), (8192,), dtype="bfloat16", param_dtype="float32")
    bare = Workload((1, 8192), (8192,), dtype="bfloat16", param_dtype="float32", affine="none")
    both, without = (minimum_bytes("layer_norm", Phase.INFERENCE, found).bytes for found in (one_row, bare))

    assert (both - without) / both == pytest.approx(2 / 3)
    assert minimum_bytes("layer_norm", Phase.FORWARD, one_row).bytes == both + 2 * 4  # mean and rstd in float32


@pytest.fixture
def batch_beside_layer():
    on = planned_workload((65536, 256))  # 64 MiB: more than the fabricated machine's 32 MiB of cache
    entries = [case("fused"), case("batch_norm", function="batch_norm", norm_mode="train")]
    return run([on], entries, noisy_turns({0: 1e-2, 1: 2e-2}))


def test_mistake_21_a_row_of_another_function_says_so(batch_beside_layer):
    fused, batch = (
        {notice.code for row in summarize(batch_beside_layer) if row.implementation == name for notice in row.notices}
        for name in ("fused", "batch_norm")
    )

    assert "another-function" in batch - fused
    assert "computes batch_norm, the reference layer_norm" in render_report(view_run(batch_beside_layer))


def test_mistake_21_batch_norm_says_which_bound_its_bytes_use(batch_beside_layer):
    small = run(
        [planned_workload((256, 768))],
        [case("batch_norm", function="batch_norm", norm_mode="train")],
        noisy_turns({0: 1e-4}),
    )

    def codes(made):
        return {n.code for row in summarize(made) if row.implementation == "batch_norm" for n in row.notices}

    assert "practical-bytes" in codes(batch_beside_layer)
    assert "ideal-bytes" in codes(small)


class Asked:
    """Layer norm that notes which gradients it is asked for, and whether autograd looks at all."""

    def __init__(self):
        self.needed: set[tuple[bool, ...]] = set()
        self.recorded: set[bool] = set()

    def __call__(self, on):
        asked, norm = self, zoo.honest(on)

        class Norm(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, weight, bias):
                ctx.save_for_backward(x, weight, bias)
                return norm(x, weight, bias)

            @staticmethod
            def backward(ctx, dy):
                asked.needed.add(ctx.needs_input_grad)
                with torch.enable_grad():
                    leaves = [None if t is None else t.detach().requires_grad_() for t in ctx.saved_tensors]
                    wanted = [leaf for leaf in leaves if leaf is not None]
                    found = iter(torch.autograd.grad(norm(*leaves), wanted, dy))
                return tuple(None if leaf is None else next(found) for leaf in leaves)

        def forward(x, weight, bias):
            y = Norm.apply(x, weight, bias)
            self.recorded.add(y.requires_grad)
            return y

        return forward


@pytest.mark.parametrize(
    ("affine", "needed"),
    [("both", (True, True, True)), ("weight", (True, True, False)), ("none", (True, False, False))],
)
def test_mistake_22_the_gradients_asked_for_are_those_of_x_and_of_the_parameters_that_exist(affine, needed):
    asked = Asked()
    made, heard = cases({"asked": asked}, workload(8, 16, affine=affine))
    made.build_all()
    asked.needed.clear()

    timed(made, heard, HostSampler())

    assert asked.needed == {needed}


def test_mistake_22_inference_keeps_nothing_for_a_gradient():
    asked = Asked()
    made, heard = cases({"asked": asked}, workload(8, 16))
    made.build_all()
    asked.recorded.clear()

    timed(made, heard, HostSampler(), phases=(Phase.INFERENCE,))

    assert asked.recorded == {False}


@pytest.mark.parametrize(("entry", "count"), [("batch_norm", 3), ("rms_norm", 2), ("group_norm", 3)])
def test_mistake_22_a_step_gives_one_gradient_per_tensor_that_needs_one(entry, count):
    work, _ = prepared(entry, workload(8, 32, norm_mode="train"))

    assert len(work.backward(work.forward())) == count
