"""Kernels whose backward writes into dy: each call gets a copy of dy, which is made outside of what is timed."""

import pytest
import torch
import zoo
from command import run_lnbench, write_suite
from fake_clocks import HostClock, HostWork, Stream, StreamWork
from stage import cases, judged, prepared, timed, workload
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lnbench.errors import PluginError
from lnbench.implementations.contract import Registration, implementation
from lnbench.measure.cuda import CudaSampler
from lnbench.measure.sampler import HostSampler, Rotation
from lnbench.planned import Status
from lnbench.worker import costs
from lnbench.worker.costs import measure_energy_of, measure_memory

pytestmark = pytest.mark.usefixtures("one_thread")


class RmsNormInPlace(torch.autograd.Function):
    """Writes dx into the memory of dy, as Liger and Unsloth do. `seen`: the first element of each dy."""

    seen: list[float]

    @staticmethod
    def forward(ctx, x, weight, eps):
        rstd = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, rstd)
        return x * rstd * weight

    @staticmethod
    def backward(ctx, dy):
        RmsNormInPlace.seen.append(float(dy.flatten()[0]))
        x, weight, rstd = ctx.saved_tensors
        x_hat = x * rstd
        dweight = (dy * x_hat).flatten(0, -2).sum(0)
        dy.mul_(weight)
        dot = (dy * x_hat).mean(-1, keepdim=True)
        dy.sub_(x_hat * dot).mul_(rstd)
        return dy, dweight, None


class LayerNormInPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        y, mean, rstd = torch.native_layer_norm(x, weight.shape, weight, bias, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, rstd = ctx.saved_tensors
        x_hat = (x - mean) * rstd
        dweight, dbias = (dy * x_hat).flatten(0, -2).sum(0), dy.flatten(0, -2).sum(0)
        dy.mul_(weight)
        inner = dy - dy.mean(-1, keepdim=True) - x_hat * (dy * x_hat).mean(-1, keepdim=True)
        return dy.copy_(rstd * inner), dweight, dbias, None


def rms_norm(on):
    return lambda x, weight: RmsNormInPlace.apply(x, weight, on.eps)


def layer_norm(on):
    return lambda x, weight, bias: LayerNormInPlace.apply(x, weight, bias, on.eps)


def add_layer_norm(on):
    def forward(x, residual, weight, bias):
        total = x + residual
        return LayerNormInPlace.apply(total, weight, bias, on.eps), total

    return forward


def in_place(builder, function="rms_norm"):
    return Registration("it", function, "", builder, {}, writes_dy=True)


@pytest.fixture(autouse=True)
def seen():
    RmsNormInPlace.seen = []
    return RmsNormInPlace.seen


def test_a_backward_that_writes_into_dy_is_wrong_and_told_of_the_way_out():
    outcome = judged(rms_norm, 8, 16, function="rms_norm", affine="weight")

    assert outcome.status is Status.WRONG
    assert "it writes into dy; inputs belong to the caller: register it with writes_dy=True" in outcome.reason


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "transposed_dy", "strided"])
@pytest.mark.parametrize(
    ("builder", "function"), [(rms_norm, "rms_norm"), (layer_norm, "layer_norm"), (add_layer_norm, "add_layer_norm")]
)
def test_with_a_dy_of_its_own_it_is_right_in_every_layout_and_its_rows_say_so(builder, function, layout):
    outcome = judged(in_place(builder, function), 8, 4, 16, function=function, layout=layout)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert "each call gets a copy of dy" in outcome.notices["own-dy"]


def test_what_only_reads_dy_has_none_of_its_own():
    work, _ = prepared("fused", workload(8, 16))

    assert work.renew_dy is None
    assert "own-dy" not in judged("fused", 8, 16).notices


def test_a_dy_of_its_own_lies_in_memory_as_the_shared_one():
    work, arrays = prepared(in_place(layer_norm), workload(8, 4, 16, layout="transposed_dy"))

    (own,) = work._upstream.pairs[0]

    assert own.stride() == arrays.dy[0].stride()
    assert own.data_ptr() != arrays.dy[0].data_ptr()


def test_one_element_expanded_can_not_be_written_into():
    outcome = judged(in_place(rms_norm), 8, 16, function="rms_norm", layout="expanded_dy")

    assert (outcome.status, "expanded_dy makes one element" in outcome.reason) == (Status.UNSUPPORTED, True)


@pytest.mark.parametrize("pairs", [1, 3])
def test_every_timed_backward_reads_dy_as_it_was_drawn(seen, pairs):
    on = workload(8, 16, affine="weight", cache="cold" if pairs > 1 else "hot")
    made, heard = cases({"it": in_place(rms_norm)}, on, function="rms_norm", pairs=pairs)
    made.build_all()
    seen.clear()

    timed(made, heard, HostSampler(rotation=Rotation(pairs, seed=1) if pairs > 1 else None), rounds=4)
    measure_memory(made)
    made.live[0].prepared.backward(made.live[0].prepared.forward())

    assert heard.ends() == {}
    assert set(seen) == {float(dy[0, 0]) for dy in made.arrays.dy}


def test_on_the_host_renewing_dy_stands_outside_of_every_part():
    clock = HostClock()
    work = HostWork(clock, forward_ns=200, backward_ns=300, release_ns=10, renew_ns=9999)

    sample = HostSampler(now=clock).sample_step(work, 3)

    assert sample.wall_s == pytest.approx(
        {"forward": 200e-9, "backward": 300e-9, "forward_backward": 500e-9, "disposal": 20e-9}
    )
    assert [name for name, _ in work.calls] == ["forward", "backward", "renew"] * 3


def test_on_a_gpu_renewing_dy_stands_between_the_events_of_two_steps_and_is_subtracted_from_wall_times():
    stream = Stream()
    work = StreamWork(stream, forward_s=1e-3, backward_s=2e-3, renew_s=5e-3)
    plain = StreamWork(stream, forward_s=1e-3, backward_s=2e-3)
    sampler = CudaSampler(stream, now=stream.host)

    own, usual = sampler.sample_step(work, 10), sampler.sample_step(plain, 10)

    assert own.device_s == pytest.approx(usual.device_s)
    assert own.wall_s == pytest.approx(usual.wall_s, rel=0.01)


def test_the_energy_of_a_step_is_left_out_where_it_would_hold_copies(monkeypatch):
    class Counter:
        source = "a counter"

        def read_j(self):
            raise AssertionError("nothing is to be read")

    monkeypatch.setattr(costs, "_counter", lambda cases: Counter())
    made, heard = cases({"it": in_place(rms_norm)}, workload(8, 16, affine="weight"), function="rms_norm")
    made.build_all()

    measure_energy_of(made, planned=type("Planned", (), {"phases": ("forward", "backward", "forward_backward")}))

    assert "copies of dy" in heard.notices()["no-energy"]


def test_a_gradient_that_goes_into_a_buffer_is_told_that_it_has_to_be_returned():
    class IntoMainGrad(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, eps):
            return functional.rms_norm(x, weight.shape, weight, eps)

        @staticmethod
        def backward(ctx, dy):
            return dy, None, None

    outcome = judged(
        lambda on: lambda x, weight: IntoMainGrad.apply(x, weight, on.eps), 8, 16, function="rms_norm", affine="weight"
    )

    assert outcome.status is Status.WRONG
    assert "no gradient reaches weight" in outcome.reason
    assert "(main_grad) has to return it too" in outcome.reason


@pytest.mark.parametrize(("reentrant", "status"), [(True, Status.UNSUPPORTED), (False, Status.OK)])
def test_reentrant_checkpointing_is_unsupported_with_the_way_out(reentrant, status):
    def checkpointed(on):
        return lambda *inputs: checkpoint(zoo.honest(on), *inputs, use_reentrant=reentrant)

    outcome = judged(checkpointed, 8, 16)

    assert outcome.status is status
    assert ("use_reentrant=False works" in outcome.reason) is reentrant


def test_a_builder_with_arrays_copies_dy_itself():
    with pytest.raises(PluginError) as caught:
        implementation("it", function="layer_norm", writes_dy=True)(lambda workload, arrays: None)

    assert "writes_dy is for builders of PyTorch" in caught.value.message


PLUGIN = """
import torch
from lnbench import implementation


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        rstd = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, rstd)
        return x * rstd * weight

    @staticmethod
    def backward(ctx, dy):
        x, weight, rstd = ctx.saved_tensors
        x_hat = x * rstd
        dweight = (dy * x_hat).flatten(0, -2).sum(0)
        dy.mul_(weight)
        dot = (dy * x_hat).mean(-1, keepdim=True)
        dy.sub_(x_hat * dot).mul_(rstd)
        return dy, dweight, None


@implementation("in_place", function="rms_norm", writes_dy=True)
def in_place(workload):
    return lambda x, w: InPlace.apply(x, w, workload.eps)
"""


def test_the_real_command_measures_an_in_place_backward_and_says_what_it_got(tmp_path):
    (tmp_path / "plug.py").write_text(PLUGIN)
    suite = write_suite(tmp_path, "fns", implementations=("rms_norm", "in_place"), shapes="[[64, 768]]")

    done = run_lnbench(tmp_path, "run", suite, "--plugin", "plug.py")

    assert done.code == 0, done.stdout + done.stderr
    assert "its backward writes into dy" in done.stdout
