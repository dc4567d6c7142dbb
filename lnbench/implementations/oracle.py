"""The float64 oracle: every function here from its definition, with its gradients and the tolerance for them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lnbench.functions import Function, Geometry, geometry, gradient_names, parameter_shape
from lnbench.tolerance import ResidualTerms, Terms, rounding, tolerances
from lnbench.workload import Layout, Workload

CANCELLED = 2.0**-36
"""A result this much smaller than the terms that it sums is zero but for float64's own rounding."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a normalization reads; absent tensors are None.

    x, dy, residual and the upstream gradient of the new residual have the workload's shape.
    """

    x: Tensor
    dy: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    residual: Tensor | None = None
    dnew_residual: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """The right result of one tensor in float64, and the largest accepted |error|, elementwise.

    scale: what a relative error is relative to, the largest |value|; where the terms cancel, as in the dx of a dy that
    is the same everywhere, the size of the terms.
    """

    value: Tensor
    tolerance: Tensor
    scale: float


def oracle(
    function: Function, workload: Workload, inputs: Inputs, *, exact_mean: bool = False
) -> Mapping[str, Expected]:
    """The outputs and gradients of a function on a workload, in float64, with tolerances for the workload's dtype.

    With a residual, x + residual is normalized, and is the new residual; its upstream gradient adds to dx, which is
    dresidual too. Gradients that the workload does not ask for are left out. `exact_mean` is the stricter tolerance of
    `tolerances`.
    The variance divides by the number of elements, not by one less.
    Sources: layer norm arXiv:1607.06450, RMS norm arXiv:1910.07467, batch norm arXiv:1502.03167,
    group norm arXiv:1803.08494, instance norm arXiv:1607.08022; dx = rstd (g - mean(g) - x̂ mean(g x̂)), g = w dy.
    """
    plan = geometry(function, workload)
    dtype = torch.float64
    x, dy = (_canonical(tensor, plan) for tensor in (inputs.x, inputs.dy))
    if inputs.residual is not None:
        x = x + _canonical(inputs.residual, plan)
    weight, bias = (
        None if parameter is None else parameter.to(dtype).reshape(plan.parameter_view)
        for parameter in (inputs.weight, inputs.bias)
    )
    fixed = function.has_running_statistics and workload.norm_mode == "eval"
    if fixed:
        assert inputs.running_mean is not None
        assert inputs.running_var is not None
        mean = inputs.running_mean.to(dtype).reshape(plan.parameter_view)
        variance = inputs.running_var.to(dtype).reshape(plan.parameter_view)
    else:
        mean = x.mean(plan.statistic_axes, keepdim=True)
        if not function.centred:
            mean = torch.zeros_like(mean)
        variance = (x - mean).square().mean(plan.statistic_axes, keepdim=True)
    rstd = 1.0 / (variance + workload.eps).sqrt()
    x_hat = (x - mean) * rstd

    y = x_hat if weight is None else x_hat * weight
    if bias is not None:
        y = y + bias
    g = dy if weight is None else dy * weight
    inner = g
    if not fixed:
        inner = g - x_hat * (g * x_hat).mean(plan.statistic_axes, keepdim=True)
        if function.centred:
            inner = inner - g.mean(plan.statistic_axes, keepdim=True)
    values = {
        "y": y,
        "dx": rstd * inner,
        "dweight": (dy * x_hat).sum(plan.sum_axes, keepdim=True),
        "dbias": dy.sum(plan.sum_axes, keepdim=True),
    }
    residual = None
    if inputs.dnew_residual is not None:
        dtotal = _canonical(inputs.dnew_residual, plan)
        values["dx"] = values["dx"] + dtotal
        values |= {"new_residual": x, "dresidual": values["dx"]}
        residual = ResidualTerms(total=x, dtotal=dtotal, dx=values["dx"])
    terms = Terms(
        normalized=x_hat,
        rstd=rstd,
        condition=1.0 + mean.abs() * rstd,
        weight=weight,
        bias=bias,
        dy=dy,
        y=y,
        dweight=values["dweight"],
        dbias=values["dbias"],
        residual=residual,
    )
    accepted = tolerances(
        terms,
        plan,
        dtype=workload.dtype,
        centred=function.centred,
        fixed_statistics=fixed,
        exact_mean=exact_mean,
        equal_dy=workload.layout == Layout.EXPANDED_DY,
    )
    parameters = parameter_shape(function, workload)
    return {
        name: Expected(
            values[name].reshape(parameters if name in {"dweight", "dbias"} else workload.shape),
            accepted[name]
            .expand_as(values[name])
            .reshape(parameters if name in {"dweight", "dbias"} else workload.shape),
            _scale(values[name], accepted[name], dtype=workload.dtype),
        )
        for name in (*function.outputs, *gradient_names(function, workload))
    }


def _scale(value: Tensor, tolerance: Tensor, *, dtype: str) -> float:
    terms = float(tolerance.detach().max()) / rounding(dtype)
    scale = float(value.detach().abs().max())
    return scale if scale > CANCELLED * terms else terms


def _canonical(tensor: Tensor, plan: Geometry) -> Tensor:
    return tensor.detach().to(torch.float64).reshape(plan.view)
