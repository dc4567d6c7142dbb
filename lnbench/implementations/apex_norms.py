"""Apex's fused CUDA kernels, through its modules, with its own autograd for backward."""

from torch import nn

from lnbench.errors import Unsupported
from lnbench.workload import Workload


def layer_norm(workload: Workload) -> nn.Module:
    """`FusedLayerNorm`. Raises Unsupported for a weight alone, and for parameters of another dtype."""
    if workload.affine == "weight":
        raise Unsupported("Apex's layer norm has weight and bias, or neither")
    _require_one_dtype(workload)
    from apex.normalization import FusedLayerNorm

    module: nn.Module = FusedLayerNorm(
        workload.normalized_shape, eps=workload.eps, elementwise_affine=workload.affine == "both"
    )
    return module


def rms_norm(workload: Workload) -> nn.Module:
    """`FusedRMSNorm`."""
    _require_one_dtype(workload)
    from apex.normalization import FusedRMSNorm

    module: nn.Module = FusedRMSNorm(
        workload.normalized_shape, eps=workload.eps, elementwise_affine=workload.affine != "none"
    )
    return module


def _require_one_dtype(workload: Workload) -> None:
    """Its mixed modules give y in the parameters' dtype, which is not x's."""
    if workload.affine != "none" and workload.param_dtype != workload.dtype:
        raise Unsupported(f"Apex gives y in the parameters' {workload.param_dtype}, or takes {workload.dtype} ones")
