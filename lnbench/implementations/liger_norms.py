"""Liger's Triton kernels, through the functions that its modules call, with its own autograd for backward."""

from collections.abc import Callable

from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.implementations.contract import with_remark
from lnbench.implementations.toolchains import require_triton
from lnbench.workload import Workload

_ZEROED = (
    "Liger's backward zeroes dx before it computes it: one extra write of x's bytes. By default it writes dx over dy, "
    "without that write; here in_place is False, because all implementations read dy"
)
"""True of liger-kernel 0.5 to 0.8.5, whose rms_norm_backward allocates dx with zeros_like where it is not in place."""

MOST_DYT_ROWS = 65_535
"""liger_dyt_fwd (liger-kernel 0.8.5) launches a block a row along a grid's y, which CUDA bounds."""


def layer_norm(workload: Workload) -> Callable[[Tensor, Tensor | None, Tensor | None], Tensor]:
    """`liger_layer_norm` over the last axis. Raises Unsupported without weight and bias, which it always has."""
    _require_one_axis(workload)
    if workload.affine != "both":
        raise Unsupported("Liger's layer norm always has a weight and a bias")
    require_triton("Liger")
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
    require_triton("Liger")
    from liger_kernel.transformers.functional import liger_rms_norm

    eps = workload.eps

    def forward(x: Tensor, weight: Tensor | None) -> Tensor:
        y: Tensor = liger_rms_norm(x, weight, eps, 0.0, "llama", False)
        return y

    return with_remark(forward, _ZEROED)


def add_rms_norm(workload: Workload) -> Callable[..., tuple[Tensor, Tensor]]:
    """`liger_fused_add_rms_norm` as its Llama models use it, but not in place; dx and dresidual are one tensor."""
    _require_one_axis(workload)
    if workload.affine == "none":
        raise Unsupported("Liger's fused add and RMS norm always has a weight")
    require_triton("Liger")
    from liger_kernel.transformers.functional import liger_fused_add_rms_norm

    eps = workload.eps

    def forward(x: Tensor, residual: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        results: tuple[Tensor, Tensor] = liger_fused_add_rms_norm(x, residual, weight, eps, 0.0, "llama", False)
        return results

    return forward


def dyt(workload: Workload) -> Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]:
    """`liger_dyt` over the last axis. Raises Unsupported without a weight, which it always has."""
    _require_one_axis(workload)
    if workload.affine == "none":
        raise Unsupported("Liger's dynamic tanh always has a weight")
    if workload.rows > MOST_DYT_ROWS:
        raise Unsupported(f"Liger's dynamic tanh takes at most {MOST_DYT_ROWS} rows")
    require_triton("Liger")
    from liger_kernel.transformers.functional import liger_dyt

    def forward(x: Tensor, alpha: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        y: Tensor = liger_dyt(x, alpha, weight, bias)
        return y

    return forward


def _require_one_axis(workload: Workload) -> None:
    if len(workload.normalized_shape) != 1:
        raise Unsupported("Liger normalizes the last axis alone")
