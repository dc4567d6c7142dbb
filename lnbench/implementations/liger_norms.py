"""Liger's Triton kernels, through the functions that its modules call, with its own autograd for backward."""

from collections.abc import Callable

from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.workload import Workload


def layer_norm(workload: Workload) -> Callable[[Tensor, Tensor | None, Tensor | None], Tensor]:
    """`liger_layer_norm` over the last axis. Raises Unsupported without weight and bias, which it always has."""
    _require_one_axis(workload)
    if workload.affine != "both":
        raise Unsupported("Liger's layer norm always has a weight and a bias")
    from liger_kernel.transformers.functional import liger_layer_norm

    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        y: Tensor = liger_layer_norm(x, weight, bias, eps)
        return y

    return forward


def rms_norm(workload: Workload) -> Callable[[Tensor, Tensor | None], Tensor]:
    """`liger_rms_norm` as its Llama models use it, but not in place, which would write the gradient into dy."""
    _require_one_axis(workload)
    if workload.affine == "none":
        raise Unsupported("Liger's functional RMS norm always has a weight")
    from liger_kernel.transformers.functional import liger_rms_norm

    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None) -> Tensor:
        y: Tensor = liger_rms_norm(x, weight, eps, 0.0, "llama", False)
        return y

    return forward


def _require_one_axis(workload: Workload) -> None:
    if len(workload.normalized_shape) != 1:
        raise Unsupported("Liger normalizes the last axis alone")
