"""A LayerNorm for PyTorch: a builder that gives a function of tensors. Backward comes from autograd."""

from collections.abc import Callable

import torch
from torch import Tensor

from lnbench import implementation
from lnbench.workload import Workload

Forward = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]


@implementation("example_torch", function="layer_norm", summary="torch.var_mean, then element by element")
def example_torch(workload: Workload) -> Forward:
    """Decide here, untimed, what depends on the workload alone."""
    axes = tuple(range(-len(workload.normalized_shape), 0))
    wide = torch.float64 if workload.dtype == "float64" else torch.float32  # 16-bit sums would lose too much
    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Timed: y with the shape and dtype of x. Absent parameters are None."""
        wide_x = x.to(wide)
        variance, mean = torch.var_mean(wide_x, axes, correction=0, keepdim=True)
        y = (wide_x - mean) * torch.rsqrt(variance + eps)
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y + bias
        return y.to(x.dtype)

    return forward
