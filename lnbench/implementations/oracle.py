"""The float64 oracle: every function here from its definition, with its gradients and the tolerance for them.

It works part by part, so that float64 copies of a part exist and never of all of x: tensors of 2^31 elements can be
verified beside the work itself. A part holds whole groups of elements that share statistics.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import product
from math import prod

import torch
from torch import Tensor

from lnbench.footprint import PART_ELEMENTS
from lnbench.functions import ALPHA_SHAPE, Function, Geometry, geometry, gradient_names, parameter_shape
from lnbench.tanh_tolerance import TanhSums, TanhTerms, tanh_sum_tolerances, tanh_tolerances
from lnbench.tolerance import ResidualTerms, Sums, Terms, rounding, sum_tolerances, tolerances
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
    alpha: Tensor | None = None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Those that are there, by name."""
        found = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, tensor) for name, tensor in found if tensor is not None)


PARAMETERS = ("weight", "bias", "running_mean", "running_var")
"""The inputs that have an entry for each channel or normalized element."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Right values in float64, and the largest accepted |error|, elementwise.

    least_scale: what a relative error is relative to at least. dalpha, one sum of all elements, may be small by chance:
    then it is the root-sum-square of its terms.
    """

    value: Tensor
    tolerance: Tensor
    least_scale: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """What is right in a part of x, or for the parameters: by the name of the result.

    view, place: a result that is reshaped to the view holds the part at this place.
    """

    view: tuple[int, ...]
    place: tuple[slice, ...]
    expected: Mapping[str, Expected]


def scale_of(largest: float, tolerance: float, *, dtype: str) -> float:
    """What an error of a result is relative to: the largest |value|.

    Where the terms cancel, as in the dx of a dy that is the same everywhere, it is the size of the terms, which the
    largest accepted error gives.
    """
    terms = tolerance / rounding(dtype)
    return largest if largest > CANCELLED * terms else terms


def expected_names(function: Function, workload: Workload) -> tuple[str, ...]:
    """The results that the oracle gives: outputs, and the gradients that the workload asks for."""
    return (*function.outputs, *gradient_names(function, workload))


def oracle(
    function: Function,
    workload: Workload,
    inputs: Inputs,
    *,
    exact_mean: bool = False,
    part_elements: int = PART_ELEMENTS,
) -> Iterator[Part]:
    """The outputs and gradients of a function on a workload, in float64, with tolerances for the workload's dtype.

    Parts of about `part_elements` elements, more where so many share statistics; last, where they are asked for, the
    gradients of weight and bias, which sum over all parts.
    With a residual, x + residual is normalized, and is the new residual; its upstream gradient adds to dx, which is
    dresidual too. `exact_mean` is the stricter tolerance of `tolerances`.
    The variance divides by the number of elements, not by one less.
    Sources: layer norm arXiv:1607.06450, RMS norm arXiv:1910.07467, batch norm arXiv:1502.03167,
    group norm arXiv:1803.08494, instance norm arXiv:1607.08022; dx = rstd (g - mean(g) - x̂ mean(g x̂)), g = w dy.
    Dynamic tanh arXiv:2503.10622: y = w tanh(alpha x) + b, dx = alpha g s, dalpha = sum(g x s), s = 1 - tanh^2.
    """
    plan = geometry(function, workload)
    if not function.has_statistics:
        yield from _dynamic_tanh(function, workload, inputs, plan, part_elements=part_elements)
        return
    fixed = function.has_running_statistics and workload.norm_mode == "eval"
    names = expected_names(function, workload)
    given = _canonical(inputs, plan)
    sums = Sums(*(given.x.new_zeros(plan.parameter_view, dtype=torch.float64) for _ in range(5)))
    for place in part_places(plan, part_elements):
        own = tuple(taken if axis in plan.parameter_axes else slice(None) for axis, taken in enumerate(place))
        part = _part_of(given, place, own)
        x = part.x if part.residual is None else part.x + part.residual
        terms = _terms(x, part, function, plan, eps=workload.eps, fixed=fixed)
        values = {"y": terms.y, "dx": _dx(terms, function, plan, fixed=fixed)}
        if part.dnew_residual is not None:
            values["dx"] = values["dresidual"] = values["dx"] + part.dnew_residual
            values["new_residual"] = x
            terms = replace(terms, residual=ResidualTerms(total=x, dtotal=part.dnew_residual, dx=values["dx"]))
        accepted = tolerances(
            terms,
            plan,
            dtype=workload.dtype,
            centred=function.centred,
            fixed_statistics=fixed,
            exact_mean=exact_mean,
        )
        if "dweight" in names:
            sums.add(terms, plan, own)
        yield Part(plan.view, place, _named(values, accepted, names))
    if "dweight" in names:
        parameters = parameter_shape(function, workload)
        accepted = sum_tolerances(
            sums,
            plan,
            dtype=workload.dtype,
            equal_dy=workload.layout == Layout.EXPANDED_DY,
            has_residual=function.has_residual,
        )
        found = _named({"dweight": sums.dweight, "dbias": sums.dbias}, accepted, names)
        shaped = {
            name: Expected(it.value.reshape(parameters), it.tolerance.reshape(parameters)) for name, it in found.items()
        }
        yield Part(parameters, (), shaped)


def _dynamic_tanh(
    function: Function, workload: Workload, inputs: Inputs, plan: Geometry, *, part_elements: int
) -> Iterator[Part]:
    """The same of dynamic tanh: parts of x, then the gradients of weight and bias, and that of alpha."""
    names, dtype = expected_names(function, workload), workload.dtype
    given = _canonical(inputs, plan)
    zeros = (given.x.new_zeros(plan.parameter_view, dtype=torch.float64) for _ in range(5))
    sums = TanhSums(*zeros, *(given.x.new_zeros((), dtype=torch.float64) for _ in range(3)))
    for place in part_places(plan, part_elements):
        own = tuple(taken if axis in plan.parameter_axes else slice(None) for axis, taken in enumerate(place))
        terms = _tanh_terms(_part_of(given, place, own))
        if "dalpha" in names:
            sums.add(terms, plan, own, dtype=dtype)
        yield Part(plan.view, place, _named({"y": terms.y, "dx": terms.dx}, tanh_tolerances(terms, dtype=dtype), names))
    if "dalpha" in names:
        is_equal = workload.layout == Layout.EXPANDED_DY
        allowed = tanh_sum_tolerances(sums, plan, elements=workload.elements, dtype=dtype, equal_dy=is_equal)
        found = _named({"dweight": sums.dweight, "dbias": sums.dbias}, allowed, names)
        parameters = parameter_shape(function, workload)
        shaped = {
            name: Expected(it.value.reshape(parameters), it.tolerance.reshape(parameters)) for name, it in found.items()
        }
        yield Part(parameters, (), shaped)
        scale = float(sums.dalpha_squares.sqrt())
        dalpha = Expected(sums.dalpha.reshape(ALPHA_SHAPE), allowed["dalpha"].reshape(ALPHA_SHAPE), scale)
        yield Part(ALPHA_SHAPE, (), {"dalpha": dalpha})


def _tanh_terms(part: Inputs) -> TanhTerms:
    """What the formula is made of. The slope is taken from cosh, which keeps its digits where tanh is nearly 1."""
    assert part.alpha is not None
    z = part.alpha * part.x
    tanh, slope = z.tanh(), 1.0 / z.cosh().square()
    y = tanh if part.weight is None else tanh * part.weight
    if part.bias is not None:
        y = y + part.bias
    scaled_dy = part.dy if part.weight is None else part.dy * part.weight
    dx = part.alpha * slope * scaled_dy
    return TanhTerms(part.x, z, tanh, slope, part.alpha, part.weight, part.bias, part.dy, scaled_dy, y, dx)


def part_places(plan: Geometry, most_elements: int) -> Iterator[tuple[slice, ...]]:
    """The parts that x is worked out in: each of at most so many elements, and never less than share statistics."""
    steps = list(plan.view)
    for axis in (axis for axis in range(len(steps)) if axis not in plan.statistic_axes):
        of_one = prod(steps) // steps[axis]
        steps[axis] = min(max(most_elements // of_one, 1), steps[axis])
    ranges = (
        [slice(start, min(start + step, size)) for start in range(0, size, step)]
        for size, step in zip(plan.view, steps, strict=True)
    )
    yield from product(*ranges)


def _terms(x: Tensor, part: Inputs, function: Function, plan: Geometry, *, eps: float, fixed: bool) -> Terms:
    """What the formula is made of, for inputs in float64. `x`: with the residual added, where there is one."""
    if fixed:
        assert part.running_mean is not None
        assert part.running_var is not None
        mean, variance = part.running_mean, part.running_var
    else:
        mean = x.mean(plan.statistic_axes, keepdim=True)
        if not function.centred:
            mean = torch.zeros_like(mean)
        variance = (x - mean).square().mean(plan.statistic_axes, keepdim=True)
    rstd = 1.0 / (variance + eps).sqrt()
    x_hat = (x - mean) * rstd
    y = x_hat if part.weight is None else x_hat * part.weight
    if part.bias is not None:
        y = y + part.bias
    return Terms(x_hat, rstd, 1.0 + mean.abs() * rstd, part.weight, part.bias, part.dy, y)


def _dx(terms: Terms, function: Function, plan: Geometry, *, fixed: bool) -> Tensor:
    """The gradient of x that flows through y."""
    x_hat: Tensor = terms.normalized
    g: Tensor = terms.dy if terms.weight is None else terms.dy * terms.weight
    inner = g
    if not fixed:
        inner = g - x_hat * (g * x_hat).mean(plan.statistic_axes, keepdim=True)
        if function.centred:
            inner = inner - g.mean(plan.statistic_axes, keepdim=True)
    dx: Tensor = terms.rstd * inner
    return dx


def _named(values: Mapping[str, Tensor], accepted: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, Expected]:
    """Those of these results that are expected."""
    return {name: Expected(value, accepted[name].expand_as(value)) for name, value in values.items() if name in names}


def _canonical(inputs: Inputs, plan: Geometry) -> Inputs:
    """The inputs in the canonical views of x and of the parameters, in their own dtypes."""
    found = {}
    for name, tensor in inputs.named():
        view = () if name == "alpha" else plan.parameter_view if name in PARAMETERS else plan.view
        found[name] = tensor.detach().reshape(view)
    return Inputs(**found)


def _part_of(given: Inputs, place: tuple[slice, ...], own: tuple[slice, ...]) -> Inputs:
    """A part of canonical inputs, in float64. `own`: where its parameters lie among all."""
    places = {"alpha": (), **dict.fromkeys(PARAMETERS, own)}
    return Inputs(**{name: tensor[places.get(name, place)].to(torch.float64) for name, tensor in given.named()})
