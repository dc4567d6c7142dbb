"""PyTorch's own kernels, called through their public functions and modules, with autograd for backward."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from lnbench.errors import Unsupported
from lnbench.functions import DEFAULT_GROUPS, channel_axis
from lnbench.implementations.torch_autocast import autocasting
from lnbench.workload import Workload

Forward = Callable[..., Tensor]


def layer_norm(workload: Workload) -> Forward:
    """`torch.nn.functional.layer_norm` over the normalized shape; of another axis than the last, between two permutes.

    y then lies in memory with that axis last, as ConvNeXt's and torchvision's norms over channels leave it.
    """
    shape, eps = workload.normalized_shape, workload.eps
    to_last, back = _permutations(workload)

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return functional.layer_norm(x, shape, weight, bias, eps)

    def between_permutes(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return functional.layer_norm(x.permute(to_last), shape, weight, bias, eps).permute(back)

    _require_dtypes(workload, lambda x, weight, bias: functional.layer_norm(x, (8,), weight, bias, eps))
    return between_permutes if workload.norm_axes else forward


def layer_norm_module(workload: Workload) -> nn.Module:
    """`torch.nn.LayerNorm`: what the call through a module adds is part of its time."""
    layer_norm(workload)
    return nn.LayerNorm(
        workload.normalized_shape,
        eps=workload.eps,
        elementwise_affine=workload.affine != "none",
        bias=workload.affine == "both",
    )


def add_layer_norm(workload: Workload) -> Callable[..., tuple[Tensor, Tensor]]:
    """x + residual, then `torch.nn.functional.layer_norm`: two passes over memory, as networks are mostly written."""
    norm = layer_norm(workload)

    def forward(x: Tensor, residual: Tensor, weight: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x + residual
        return norm(total, weight, bias), total

    return forward


def rms_norm(workload: Workload) -> Forward:
    """`torch.nn.functional.rms_norm` over the normalized shape: y = x / sqrt(mean(x^2) + eps) * weight.

    Of another axis than the last, between two permutes, as `layer_norm`.
    """
    shape, eps = workload.normalized_shape, workload.eps
    to_last, back = _permutations(workload)

    def forward(x: Tensor, weight: Tensor | None) -> Tensor:
        return functional.rms_norm(x, shape, weight, eps)

    def between_permutes(x: Tensor, weight: Tensor | None) -> Tensor:
        return functional.rms_norm(x.permute(to_last), shape, weight, eps).permute(back)

    return between_permutes if workload.norm_axes else forward


def add_rms_norm(workload: Workload) -> Callable[..., tuple[Tensor, Tensor]]:
    """x + residual, then `torch.nn.functional.rms_norm`: two passes over memory, as networks are mostly written."""
    norm = rms_norm(workload)

    def forward(x: Tensor, residual: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x + residual
        return norm(total, weight), total

    return forward


def batch_norm(workload: Workload) -> Forward:
    """`torch.nn.functional.batch_norm`; in train mode it updates the running statistics with momentum 0.1."""
    view, shape = _channels_second(workload), workload.shape
    training, eps = workload.norm_mode == "train", workload.eps

    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor, running_var: Tensor
    ) -> Tensor:
        if view is None:
            return functional.batch_norm(x, running_mean, running_var, weight, bias, training, 0.1, eps)
        y = functional.batch_norm(x.reshape(view), running_mean, running_var, weight, bias, training, 0.1, eps)
        return y.reshape(shape)

    def tiny(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        kept = torch.ones(8, dtype=getattr(torch, workload.param_dtype), device=workload.device)
        return functional.batch_norm(x, kept, kept.clone(), weight, bias, training, 0.1, eps)

    _require_dtypes(workload, tiny)
    return forward


def group_norm(workload: Workload) -> Forward:
    """`torch.nn.functional.group_norm` with the workload's groups."""
    view, shape = _channels_second(workload), workload.shape
    groups, eps = workload.groups or DEFAULT_GROUPS, workload.eps

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if view is None:
            return functional.group_norm(x, groups, weight, bias, eps)
        return functional.group_norm(x.reshape(view), groups, weight, bias, eps).reshape(shape)

    _require_dtypes(workload, lambda x, weight, bias: functional.group_norm(x, 2, weight, bias, eps))
    return forward


def instance_norm(workload: Workload) -> Forward:
    """`torch.nn.functional.instance_norm` with the statistics of its input."""
    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return functional.instance_norm(x, None, None, weight, bias, use_input_stats=True, eps=eps)

    return forward


def _permutations(workload: Workload) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The order of axes that puts the normalized one last, and the order that puts it back."""
    axes = range(len(workload.shape))
    to_last = (*(axis for axis in axes if axis not in workload.norm_axes), *workload.norm_axes)
    return to_last, tuple(to_last.index(axis) for axis in axes)


def _channels_second(workload: Workload) -> tuple[int, int] | None:
    """The view (samples, channels) of an x whose channels are last; None when they stand second already."""
    axis = channel_axis(workload)
    return None if axis == 1 else (workload.elements // workload.shape[axis], workload.shape[axis])


def _require_dtypes(workload: Workload, call: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]) -> None:
    """Raise Unsupported when the kernel refuses this pair of dtypes, found out on a tiny x of (4, 8)."""
    if workload.param_dtype == workload.dtype:
        return
    dtype, param_dtype = getattr(torch, workload.dtype), getattr(torch, workload.param_dtype)
    x = torch.ones(4, 8, dtype=dtype, device=workload.device)
    parameter = torch.ones(8, dtype=param_dtype, device=workload.device)
    try:
        with autocasting(workload):
            call(
                x,
                None if workload.affine == "none" else parameter,
                parameter if workload.affine == "both" else None,
            )
    except RuntimeError as error:
        place = "CUDA" if workload.is_cuda else "the CPU"
        raise Unsupported(
            f"PyTorch's kernel takes no {workload.param_dtype} parameters with {workload.dtype} input on {place}"
        ) from error
