"""Results that the next call overwrites, as CUDA graphs have them: judged by copies where that is said, else wrong."""

import pytest
import torch
from stage import cases, judged, timed, workload

from lnbench.implementations.contract import Registration
from lnbench.implementations.preparing import prepare
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.measure.sampler import HostSampler
from lnbench.planned import Status
from lnbench.worker.judging import Judge

pytestmark = pytest.mark.usefixtures("one_thread")


def graph(*, said=True, scale=1.0, stale=False, dweight=1.0):
    """A builder of a layer norm whose y and gradients lie in the same memory at each call, as in a replayed graph.

    `stale`: a call gives what the one before computed.
    """

    def build(on):
        memory = {}

        def kept(name, value):
            place = memory.setdefault(name, torch.zeros_like(value))
            if stale:
                result = place.clone()
                place.copy_(value)
                return result
            return place.copy_(value)

        class Replayed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, weight, bias):
                ctx.save_for_backward(x, weight)
                y = torch.nn.functional.layer_norm(x, on.normalized_shape, weight, bias, on.eps)
                return kept("y", scale * y).view_as(y)

            @staticmethod
            def backward(ctx, dy):
                x, weight = (tensor.detach().requires_grad_() for tensor in ctx.saved_tensors)
                with torch.enable_grad():
                    y = torch.nn.functional.layer_norm(x, on.normalized_shape, weight, None, on.eps)
                    dx, dw = torch.autograd.grad(y, (x, weight), dy)
                return kept("dx", dx), kept("dweight", dweight * dw), kept("dbias", dy.sum(0))

        def forward(x, weight, bias):
            return Replayed.apply(x, weight, bias)

        if said:
            forward.overwrites_results = True
        return forward

    return build


def test_results_that_are_overwritten_are_right_where_that_is_said_and_the_row_says_it():
    outcome = judged(graph(), 16, 32)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert "over those of the call before" in outcome.notices["overwrites-results"]
    assert outcome.repeats is True


def test_results_that_are_overwritten_without_a_word_are_wrong():
    outcome = judged(graph(said=False), 16, 32)

    assert outcome.status is Status.WRONG
    assert "a result must stay valid while the next is made" in outcome.reason


@pytest.mark.parametrize(
    ("planted", "reason"),
    [
        pytest.param(graph(scale=1.01), "is off", id="y scaled"),
        pytest.param(graph(dweight=0.98), "dweight is off", id="dweight scaled"),
        pytest.param(graph(stale=True), "is off", id="results of the call before"),
    ],
)
def test_saying_it_excuses_nothing_else(planted, reason):
    outcome = judged(planted, 16, 32)

    assert outcome.status is Status.WRONG
    assert reason in outcome.reason


def test_overwritten_results_are_timed_beside_others_and_nothing_of_them_is_copied_in_a_turn():
    made, heard = cases({"graph": graph(), "fused": "fused"}, workload(16, 32))
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    turns = timed(made, heard, HostSampler(), rounds=4)
    work = made.live[0].prepared
    results = work.forward(), work.forward()
    judge.after()

    assert {turn.case for turn in turns} >= {0, 1}
    assert heard.ends() == {}
    assert results[0].data_ptr() == results[1].data_ptr()


def test_what_is_saved_is_read_in_a_step_of_its_own_whose_backward_is_run():
    backwards = []

    def build(on):
        forward = graph()(on)

        def counting(x, weight, bias):
            y = forward(x, weight, bias)
            if y.requires_grad:
                y.register_hook(lambda _: backwards.append(1))
            return y

        counting.overwrites_results = True
        return counting

    work = prepare(
        Registration("it", "layer_norm", "", build, {}), workload(16, 32), {}, TorchArrays(workload(16, 32), seed=1)
    )
    work.saved_bytes()

    assert backwards == [1]


def test_a_remark_of_a_builder_becomes_a_notice_of_its_rows():
    def build(on):
        def forward(x, weight, bias):
            return torch.nn.functional.layer_norm(x, on.normalized_shape, weight, bias, on.eps)

        forward.remark = "it does more than its users pay for"
        return forward

    assert judged(build, 16, 32).notices["remark"] == "it does more than its users pay for"
