"""LayerNorm and dynamic tanh composed of PyTorch operations, as a person would write them who has no kernel.

LayerNorm's formula is fixed, because `compiled` compiles it and speedups are read against it:

    mean     = mean of x over the normalized axes, accumulated and kept in float32
    centred  = x - mean                                  rounded to x's dtype
    variance = mean of centred squared, in float32, divided by the features
    y        = centred * rsqrt(variance + eps) * weight + bias, in x's dtype

Statistics of 16-bit inputs are float32, as in the fused kernel, yet nothing of x's size stays up-cast past the first
subtraction: working on a float32 copy throughout would nearly double the bytes and flatter every other row. float64
inputs have float64 statistics. Parameters wider than x widen the last two operations, and y is cast back.
Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450, eq. 4; two passes, so that a large mean does not cancel.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lnbench.workload import Workload

Forward = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
ForwardWithAlpha = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
ForwardWithResidual = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], tuple[Tensor, Tensor]]


def layer_norm(workload: Workload) -> Forward:
    """The formula above for a workload; x: `workload.shape`, weight and bias: `workload.normalized_shape`."""
    axes = workload.norm_axes or tuple(range(-len(workload.normalized_shape), 0))
    eps = workload.eps
    statistics = torch.float64 if workload.dtype == "float64" else torch.float32

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        mean = x.mean(axes, keepdim=True, dtype=statistics)
        centred = (x - mean).to(x.dtype)
        variance = centred.square().mean(axes, keepdim=True, dtype=statistics)
        y = centred * torch.rsqrt(variance + eps).to(x.dtype)
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y + bias
        return y.to(x.dtype)

    return _along_axis(forward, workload) if workload.norm_axes else forward


def _along_axis(norm: Forward, workload: Workload) -> Forward:
    """The norm with weight and bias in the shape that meets the normalized axis of x, as (C, 1, 1) does of NCHW."""
    (axis,) = workload.norm_axes
    shape = (workload.shape[axis], *[1] * (len(workload.shape) - axis - 1))

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return norm(x, None if weight is None else weight.view(shape), None if bias is None else bias.view(shape))

    return forward


def add_layer_norm(workload: Workload) -> ForwardWithResidual:
    """x + residual, rounded to x's dtype, then the same formula; gives y and that sum."""
    norm = layer_norm(workload)

    def forward(x: Tensor, residual: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x + residual
        return norm(total, weight, bias), total

    return forward


def dyt(workload: Workload) -> ForwardWithAlpha:
    """Dynamic tanh: y = tanh(alpha x) * weight + bias, cast back to x's dtype where parameters are wider.

    Source: Zhu et al. 2025, arXiv:2503.10622, algorithm 1.
    """

    dtype = getattr(torch, workload.dtype)

    def forward(x: Tensor, alpha: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        y = torch.tanh(alpha * x)
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y + bias
        return y.to(dtype)

    return forward
