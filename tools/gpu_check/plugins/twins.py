"""Identical work under two names: whatever differs from `fused` in their times is the measurement's error."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from lnbench import implementation
from lnbench.workload import Workload

Forward = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]


@implementation("twin_a", function="layer_norm", summary="PyTorch's layer_norm, once more")
@implementation("twin_b", function="layer_norm", summary="PyTorch's layer_norm, once more")
def twin(workload: Workload) -> Forward:
    """Another caller of what `fused` calls."""
    shape, eps = workload.normalized_shape, workload.eps

    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        return functional.layer_norm(x, shape, weight, bias, eps)

    return forward
