"""Planted implementations of layer norm: an honest one, and builders with one fault each."""

from collections.abc import Callable
from threading import Event, Thread

import torch
from torch import Tensor
from torch.nn import functional

Norm = Callable[[Tensor, int, float], Tensor]
"""x, how many last axes are normalized, eps: gives x normalized, before weight and bias."""


def honest(workload):
    """PyTorch's own kernel."""

    def forward(x, weight, bias):
        return functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)

    return forward


def formula(normalize: Norm):
    """A builder around a way to normalize; weight, bias and autograd are right."""

    def build(workload):
        def forward(x, weight, bias):
            y = normalize(x, len(workload.normalized_shape), workload.eps)
            y = y if weight is None else y * weight
            return (y if bias is None else y + bias).to(x.dtype)

        return forward

    return build


def two_passes(x, dims, eps):
    """The definition, in float32 or wider."""
    wide, axes = _wide(x), _last(dims)
    centred = wide - wide.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + eps)


def unbiased_variance(x, dims, eps):
    wide, axes = _wide(x), _last(dims)
    return (wide - wide.mean(axes, keepdim=True)) * torch.rsqrt(wide.var(axes, keepdim=True, correction=1) + eps)


def difference_of_squares(x, dims, eps):
    """The variance as E[x^2] - mean^2: right on N(0, 1), cancels where the mean is large."""
    wide, axes = _wide(x), _last(dims)
    mean = wide.mean(axes, keepdim=True)
    variance = (wide.square().mean(axes, keepdim=True) - mean.square()).clamp(min=0)
    return (wide - mean) * torch.rsqrt(variance + eps)


def overflowing(x, dims, eps):
    """rstd by way of the squared variance, which overflows float32 where the values are huge."""
    wide, axes = _wide(x), _last(dims)
    centred = wide - wide.mean(axes, keepdim=True)
    return centred * (centred.square().mean(axes, keepdim=True) + eps).square().pow(-0.25)


def unguarded_on_constant_rows(x, dims, eps):
    """Divides by the variance on the way, which is 0 on a constant row."""
    wide, axes = _wide(x), _last(dims)
    centred = wide - wide.mean(axes, keepdim=True)
    variance = centred.square().mean(axes, keepdim=True)
    return centred * torch.rsqrt(variance * (1 + eps / variance))


def without_eps(x, dims, eps):
    return two_passes(x, dims, 1e-12)


def eps_outside_the_root(x, dims, eps):
    wide, axes = _wide(x), _last(dims)
    centred = wide - wide.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + eps)


def rounded_statistics(x, dims, eps):
    """Mean and rstd rounded to bfloat16 on the way: with float32 inputs that is wrong."""
    wide, axes = _wide(x), _last(dims)
    mean = wide.mean(axes, keepdim=True).to(torch.bfloat16)
    centred = wide - mean
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + eps).to(torch.bfloat16)


def mean_in_the_dtype_of_x(x, dims, eps):
    """A 16-bit kernel that keeps its mean in 16 bits."""
    wide, axes = _wide(x), _last(dims)
    centred = wide - wide.mean(axes, keepdim=True).to(x.dtype)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + eps)


def over_all_but_the_first_axis(x, dims, eps):
    """Rank 3 or more treated as (shape[0], rest)."""
    return two_passes(x.flatten(1), 1, eps).reshape(x.shape)


def by_hand(*, y=None, dx=None, dweight=None, dbias=None):
    """A builder of layer norm with a backward written by hand; each result can be passed through a change.

    A change takes the right tensor, the upstream gradient and the workload, and gives what is returned instead.
    """

    def build(workload):
        axes = _last(len(workload.normalized_shape))

        def changed(change, tensor, dy):
            return tensor if change is None else change(tensor, dy, workload)

        class LayerNorm(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, weight, bias):
                centred = x - x.mean(axes, keepdim=True)
                rstd = torch.rsqrt(centred.square().mean(axes, keepdim=True) + workload.eps)
                ctx.save_for_backward(centred * rstd, rstd, weight)
                return changed(y, centred * rstd * weight + bias, None)

            @staticmethod
            def backward(ctx, dy):
                x_hat, rstd, weight = ctx.saved_tensors
                g = dy * weight
                inner = g - g.mean(axes, keepdim=True) - x_hat * (g * x_hat).mean(axes, keepdim=True)
                rows = tuple(range(dy.dim() - len(axes)))
                return (
                    changed(dx, rstd * inner, dy),
                    changed(dweight, (dy * x_hat).sum(rows), dy),
                    changed(dbias, dy.sum(rows), dy),
                )

        return LayerNorm.apply

    return build


def scaled(factor):
    """A change that is off by a factor."""
    return lambda tensor, dy, workload: factor * tensor


def into_one_buffer():
    """A change that returns every result in the same preallocated memory."""
    kept = {}

    def change(tensor, dy, workload):
        return kept.setdefault(workload.shape, torch.empty_like(tensor)).copy_(tensor)

    return change


def into_one_buffer_at_inference(workload):
    """A raw kernel with a preallocated output wherever autograd does not look."""
    buffer, norm = torch.empty(workload.shape), honest(workload)

    def forward(x, weight, bias):
        y = norm(x, weight, bias)
        return y if torch.is_grad_enabled() else buffer.copy_(y)

    return forward


def after(change):
    """A builder whose result is right, and then passed through a change: change(y, x, weight)."""

    def build(workload):
        norm = honest(workload)

        def forward(x, weight, bias):
            return change(norm(x, weight, bias), x, weight)

        return forward

    return build


def caching_outputs(workload):
    """Computes once for each tensor that it is given, and returns copies of that from then on."""
    norm, kept = honest(workload), {}

    def forward(x, weight, bias):
        key = (id(x), torch.is_grad_enabled())
        if key not in kept:
            kept[key] = norm(x, weight, bias).detach()
        return kept[key] + 0 * norm(x, weight, bias)

    return forward


def caching_statistics_by_version(workload):
    """Keeps the mean and variance of a tensor for as long as PyTorch's version counter says that it is unchanged."""
    kept = {}

    def forward(x, weight, bias):
        key = (x.data_ptr(), x._version)
        if key not in kept:
            kept[key] = (x.mean(-1, keepdim=True).detach(), x.var(-1, keepdim=True, correction=0).detach())
        mean, variance = kept[key]
        right = two_passes(x, 1, workload.eps)
        cheap = (x - mean) * torch.rsqrt(variance + workload.eps)
        return (right + (cheap - right).detach()) * weight + bias

    return forward


def writing_into(target):
    """A builder that changes one of its inputs on the way: "x", "weight", or "dy" (in its backward)."""

    def build(workload):
        norm = honest(workload)
        in_backward = by_hand(dx=lambda tensor, dy, workload: _spoil(dy, tensor))(workload)

        def forward(x, weight, bias):
            if target == "dy":
                return in_backward(x, weight, bias)
            y = norm(x, weight, bias)
            _spoil({"x": x, "weight": weight}[target], y)
            return y

        return forward

    return build


def writing_into_y_in_backward(workload):
    """A backward that takes the memory of y for its own, although its caller still holds y."""

    class Overwriting(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            result = y.clone()
            ctx.scratch = result.data
            return result

        @staticmethod
        def backward(ctx, dy):
            ctx.scratch.copy_(dy)
            return dy

    norm = honest(workload)
    return lambda x, weight, bias: Overwriting.apply(norm(x, weight, bias))


class Lazy(torch.Tensor):
    """A tensor that is not computed until somebody looks."""


class Unfinished:
    """A builder whose result is filled in by a thread, which starts to work only when `looked` is set."""

    def __init__(self):
        self.looked = Event()
        self.threads: list[Thread] = []

    def __call__(self, workload):
        norm = honest(workload)

        def forward(x, weight, bias):
            right = norm(x, weight, bias)
            y = torch.zeros_like(x) + 0 * right

            def work():
                self.looked.wait()
                y.data.copy_(right.data)

            self.threads.append(Thread(target=work))
            self.threads[-1].start()
            return y

        return forward

    def finish(self):
        self.looked.set()
        for thread in self.threads:
            thread.join()


def _spoil(victim: Tensor, result: Tensor) -> Tensor:
    victim.data.mul_(1.001)
    return result


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype is torch.float64 else x.float()


def _last(dims: int) -> tuple[int, ...]:
    return tuple(range(-dims, 0))
