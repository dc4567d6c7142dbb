"""Transformer Engine's normalizations, through its PyTorch modules, with its own autograd for backward."""

from typing import Any

import torch
from torch import nn

from lnbench.errors import Unsupported
from lnbench.workload import Workload


def layer_norm(workload: Workload) -> nn.Module:
    """`transformer_engine.pytorch.LayerNorm`. Raises Unsupported without weight and bias, which it always has."""
    if workload.affine != "both":
        raise Unsupported("Transformer Engine's layer norm always has a weight and a bias")
    return _module("LayerNorm", workload)


def rms_norm(workload: Workload) -> nn.Module:
    """`transformer_engine.pytorch.RMSNorm`. Raises Unsupported without a weight, which it always has."""
    if workload.affine == "none":
        raise Unsupported("Transformer Engine's RMS norm always has a weight")
    return _module("RMSNorm", workload)


def _module(name: str, workload: Workload) -> nn.Module:
    if workload.param_dtype != workload.dtype:
        raise Unsupported("Transformer Engine gives y in the parameters' dtype")
    import transformer_engine.pytorch

    kind: Any = getattr(transformer_engine.pytorch, name)
    module: nn.Module = kind(
        workload.normalized_shape,
        eps=workload.eps,
        device=workload.device,
        dtype=getattr(torch, workload.param_dtype),
    )
    return module
