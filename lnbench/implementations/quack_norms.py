"""QuACK's CuTe-DSL kernels. Its layer norm has no autograd, so it is the RMS norm that is measured, as users call it."""

from collections.abc import Callable

from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.workload import Workload


def rms_norm(workload: Workload) -> Callable[[Tensor, Tensor | None], Tensor]:
    """`quack.rmsnorm` over the last axis."""
    if len(workload.normalized_shape) != 1:
        raise Unsupported("QuACK normalizes the last axis alone")
    from quack import rmsnorm

    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None) -> Tensor:
        y: Tensor = rmsnorm(x, weight, eps=eps)
        return y

    return forward
