"""QuACK's kernels in CuTe-DSL. Its layer norm has no autograd, so what is here are its RMS norms."""

from collections.abc import Callable

from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.workload import Workload


def rms_norm(workload: Workload) -> Callable[[Tensor, Tensor | None], Tensor]:
    """`quack.rmsnorm` over the last axis."""
    _require_one_axis(workload)
    from quack import rmsnorm

    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None) -> Tensor:
        y: Tensor = rmsnorm(x, weight, eps=eps)
        return y

    return forward


def add_rms_norm(workload: Workload) -> Callable[..., tuple[Tensor, Tensor]]:
    """`quack.rmsnorm` of x and a residual, which with `prenorm` gives their sum beside y."""
    _require_one_axis(workload)
    from quack import rmsnorm

    eps = workload.eps

    def forward(x: Tensor, residual: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        results: tuple[Tensor, Tensor] = rmsnorm(x, weight, residual=residual, eps=eps, prenorm=True)
        return results

    return forward


def _require_one_axis(workload: Workload) -> None:
    if len(workload.normalized_shape) != 1:
        raise Unsupported("QuACK normalizes the last axis alone")
