"""Modules as people write them: bound to the shared buffers, or unsupported with what to write instead."""

import pytest
import torch
from stage import cases, judged, workload
from torch import nn

from lnbench.planned import Stage, Status

pytestmark = pytest.mark.usefixtures("one_thread")


def normalized(x, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)


class Norm(nn.Module):
    """A layer norm whose tensors are given by name: parameters, and buffers."""

    def __init__(self, on, *, scale="weight", shift="bias", shape=None, buffers=None):
        super().__init__()
        self.names, self.eps = (scale, shift), on.eps
        shape = on.normalized_shape if shape is None else shape
        buffers = buffers or {}
        for name, values in ((scale, torch.ones(shape)), (shift, torch.zeros(shape))):
            if name and name not in buffers:
                self.register_parameter(name, nn.Parameter(values))
        for name, values in buffers.items():
            self.register_buffer(name, values)

    def forward(self, x):
        scale, shift = (getattr(self, name) if name else None for name in self.names)
        y = normalized(x, self.eps)
        y = y if scale is None else y * scale
        return y if shift is None else y + shift


class Inside(nn.Module):
    """A module with the norm somewhere in it, and that of another under a second name."""

    def __init__(self, norm, **others):
        super().__init__()
        self.block = nn.ModuleDict({"norm": norm})
        for name, other in others.items():
            self.add_module(name, other)

    def forward(self, x):
        return self.block["norm"](x)


class LayerNormOf2017(Norm):
    """weight and bias as everywhere, and eps in a buffer."""

    def __init__(self, on):
        super().__init__(on, buffers={"epsilon": torch.tensor(on.eps)})

    def forward(self, x):
        return normalized(x, self.epsilon) * self.weight + self.bias


def of_torch(on):
    return nn.LayerNorm(on.normalized_shape, eps=on.eps)


def exported(on):
    return torch.export.export(of_torch(on), (torch.randn(on.shape),))


class Tied(nn.Module):
    """Two modules that share their parameters, of which one normalizes."""

    def __init__(self, on):
        super().__init__()
        self.first, self.second = of_torch(on), of_torch(on)
        self.second.weight, self.second.bias = self.first.weight, self.first.bias

    def forward(self, x):
        return self.second(x)


class Scriptable(nn.Module):
    """A norm of one's own that TorchScript compiles."""

    def __init__(self, on):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(on.features)), nn.Parameter(torch.zeros(on.features))
        self.eps = on.eps

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps) * self.weight + self.bias


@pytest.mark.parametrize(
    "build",
    [
        of_torch,
        lambda on: torch.jit.script(of_torch(on)),
        lambda on: torch.jit.trace(of_torch(on), torch.randn(on.shape)),
        lambda on: torch.jit.script(nn.Sequential(of_torch(on))),
        lambda on: torch.jit.script(Scriptable(on)),
        exported,
        lambda on: exported(on).module(),
        lambda on: torch.fx.symbolic_trace(of_torch(on)),
        LayerNormOf2017,
        lambda on: Inside(of_torch(on)),
        Tied,
        lambda on: nn.Sequential(nn.Identity(), of_torch(on)),
    ],
    ids=[
        *("plain", "scripted", "traced", "scripted inside", "scripted own", "exported", "exported module"),
        *("symbolically traced", "eps in a buffer", "inside", "tied", "in a sequence"),
    ],
)
def test_a_module_is_bound_however_it_was_made(build):
    outcome = judged(build, 6, 32)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


REGISTER = "register forward(x, weight, bias)"


@pytest.mark.parametrize(
    ("build", "axes", "reason"),
    [
        (
            lambda on: Norm(on, scale="gamma", shift="beta"),
            {},
            f'the module\'s "gamma" is not one of weight, bias: name it so, or {REGISTER}',
        ),
        (
            lambda on: Inside(Norm(on, scale="a_2", shift="b_2")),
            {},
            f'the module\'s "block.norm.a_2" is not one of weight, bias: name it so, or {REGISTER}',
        ),
        (
            lambda on: Norm(on, scale="gamma", shift="beta", buffers={"beta": torch.zeros(on.features)}),
            {},
            f'the module\'s "gamma" is not one of weight, bias: name it so, or {REGISTER}',
        ),
        (
            lambda on: Norm(on, buffers={"bias": torch.zeros(on.features)}),
            {},
            f'the module has no parameter called "bias", which the workload has: name it so, {REGISTER}, or measure it '
            "with affine: weight",
        ),
        (
            lambda on: Norm(on, scale="", shift=""),
            {},
            f'the module has no parameter called "weight", which the workload has: name it so, {REGISTER}, or measure '
            "it with affine: none",
        ),
        (
            lambda on: torch.jit.freeze(torch.jit.script(of_torch(on).eval())),
            {},
            f'the module has no parameter called "weight", which the workload has: name it so, {REGISTER}, or measure '
            "it with affine: none",
        ),
        (
            lambda on: Norm(on, shape=(4, 32)),
            {},
            f"the module's weight is (4, 32), the workload's is (32,): give it that shape, or {REGISTER}",
        ),
        (
            lambda on: Inside(of_torch(on), post=of_torch(on)),
            {},
            f'the module has two tensors called "weight", block.norm.weight and post.weight, the workload has one: '
            f"{REGISTER}",
        ),
        (
            lambda on: Norm(on, buffers={"table": torch.empty(3, device="meta")}),
            {},
            f"the module's table is on the meta device, and has no values: {REGISTER}",
        ),
        (
            lambda on: torch.jit.script(Scriptable(on)),
            {"affine": "weight"},
            "the workload has no bias, and a scripted module keeps its own: build it without where workload.affine "
            f"says so, or {REGISTER}",
        ),
        (
            Scriptable,
            {"affine": "weight"},
            "the workload has no bias, and the module can't run without (TypeError: unsupported operand type(s) for +: "
            "'Tensor' and 'NoneType'): build it without where workload.affine says so",
        ),
    ],
    ids=[
        *("gamma and beta", "inside", "gamma, beta a buffer", "bias a buffer", "nothing learned", "frozen script"),
        *("a weight per head", "two norms", "no values", "scripted with a bias", "needs its bias"),
    ],
)
def test_a_module_that_can_not_be_bound_is_unsupported_with_what_to_write_instead(build, axes, reason):
    outcome = judged(build, 6, 32, **axes)

    assert (outcome.status, outcome.reason) == (Status.UNSUPPORTED, reason)


@pytest.mark.parametrize("affine", ["weight", "none"])
def test_a_parameter_that_the_workload_does_not_have_is_taken_out_of_a_module_that_can_do_without(affine):
    outcome = judged(of_torch, 6, 32, affine=affine)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


def test_a_module_without_parameters_is_measured_where_the_workload_has_none():
    assert judged(lambda on: Norm(on, scale="", shift=""), 6, 32, affine="none").status is Status.OK


def test_zeros_in_a_buffer_called_bias_are_left_alone_where_the_workload_has_no_bias():
    def build(on):
        return Norm(on, buffers={"bias": torch.zeros(on.features)})

    assert judged(build, 6, 32, affine="weight").status is Status.OK


BATCH_NORM = "register forward(x, weight, bias, running_mean, running_var)"


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (
            lambda on: nn.LazyBatchNorm1d(eps=on.eps),
            "the module's weight has no shape before its first call: build it with its sizes, or call it once in the "
            "builder",
        ),
        (
            lambda on: nn.BatchNorm1d(on.features, track_running_stats=False),
            'the module has no buffer called "running_mean", which the workload has: build it with one, or '
            f"{BATCH_NORM}",
        ),
        (
            lambda on: nn.BatchNorm1d(2 * on.features),
            f"the module's weight is (64,), the workload's is (32,): give it that shape, or {BATCH_NORM}",
        ),
    ],
    ids=["lazy", "no running statistics", "other channels"],
)
def test_a_batch_norm_that_can_not_be_bound_is_unsupported(build, reason):
    outcome = judged(build, 6, 32, function="batch_norm", norm_mode="train")

    assert (outcome.status, outcome.reason) == (Status.UNSUPPORTED, reason)


@pytest.mark.parametrize("norm_mode", ["train", "eval"])
@pytest.mark.parametrize("scripted", [False, True], ids=["plain", "scripted"])
def test_a_batch_norm_module_uses_the_shared_running_statistics(norm_mode, scripted):
    def build(on):
        module = nn.BatchNorm1d(on.features, eps=on.eps)
        return torch.jit.script(module) if scripted else module

    outcome = judged(build, 6, 32, function="batch_norm", norm_mode=norm_mode)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


def test_a_lazy_module_that_the_builder_has_called_is_bound():
    def build(on):
        module = nn.LazyBatchNorm1d(eps=on.eps)
        module(torch.randn(on.shape))
        return module

    assert judged(build, 6, 32, function="batch_norm", norm_mode="train").status is Status.OK


def test_the_readme_s_way_out_binds_parameters_of_other_names():
    def build(on):
        module = Norm(on, scale="gamma", shift="beta")
        return lambda x, weight, bias: torch.func.functional_call(module, {"gamma": weight, "beta": bias}, (x,))

    assert judged(build, 6, 32).status is Status.OK


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda on: None, "the builder gave a NoneType, not a callable or an nn.Module: is a `return` missing?"),
        (lambda on: nn.LayerNorm, "the builder gave the class LayerNorm, not a callable or an nn.Module: give an "),
        (lambda on: torch.ones(3), "the builder gave a Tensor, not a callable or an nn.Module"),
    ],
    ids=["nothing", "a class", "a tensor"],
)
def test_what_is_no_implementation_is_an_error_and_not_called_wrong(build, reason):
    made, heard = cases({"it": build}, workload(6, 32))

    made.build_all()

    end = heard.ends()[0]
    assert (end.status, end.stage) == (Status.ERROR, Stage.BUILD)
    assert end.reason.startswith(reason)


def test_an_error_of_the_module_s_own_stays_its_own():
    class Failing(Norm):
        def forward(self, x):
            raise ValueError("not on a Saturday")

    outcome = judged(Failing, 6, 32, affine="weight")

    assert (outcome.status, outcome.reason) == (Status.ERROR, "ValueError: not on a Saturday")
