"""QuACK's kernels in CuTe-DSL. Its layer norm has no autograd, so what is here is its RMS norm."""

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
