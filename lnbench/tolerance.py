"""How far an honest implementation may be from the float64 oracle, element by element.

Derived from the dtype's rounding and the lengths of the sums, for any function whose geometry is known. Takes tensors
and returns tensors of the same kind; knows no device.
"""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from lnbench.functions import Geometry

ALLOWANCE = 8.0
"""|error| may be this many times the estimate below. PyTorch's own kernels reach 1.9 over (8, 16) to (50432, 384) and
(16, 65536), while an unbiased variance in float32 reaches 42 and more."""

_HALF_EPSILON = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_SMALLEST_SUBNORMAL = {"float64": 2.0**-1074, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the oracle knows about a part of x, all float64, in the canonical view.

    normalized: x̂. rstd: 1 / sqrt(variance + eps) per statistic. condition: κ = 1 + |mean| rstd.
    weight, bias: broadcastable, or None.
    """

    normalized: Any
    rstd: Any
    condition: Any
    weight: Any | None
    bias: Any | None
    dy: Any
    y: Any
    residual: "ResidualTerms | None" = None


@dataclass(frozen=True, slots=True)
class ResidualTerms:
    """The same where x + residual is normalized: the sum, its own upstream gradient, and dx with that added."""

    total: Any
    dtotal: Any
    dx: Any


@dataclass(slots=True)
class Sums:
    """What parts of x add to the gradients of weight and bias, all float64, in the view of the parameters.

    dweight: Σ dy x̂. dbias: Σ dy. Sums of squared terms: dweight_squares Σ (dy x̂)², dbias_squares Σ dy², and
    moved_squares Σ (dy (|x̂| + κ))². condition: the largest κ of all.
    """

    dweight: Any
    dbias: Any
    dweight_squares: Any
    dbias_squares: Any
    moved_squares: Any
    condition: float = field(default=0.0, init=False)

    def add(self, terms: Terms, geometry: Geometry, place: tuple[slice, ...]) -> None:
        """Add a part of x. `place`: where its parameters lie among all."""
        weighted, moved = terms.dy * terms.normalized, terms.dy * (terms.normalized.abs() + terms.condition)
        for total, summed in (
            (self.dweight, weighted),
            (self.dbias, terms.dy),
            (self.dweight_squares, weighted.square()),
            (self.dbias_squares, terms.dy.square()),
            (self.moved_squares, moved.square()),
        ):
            total[place] += summed.sum(geometry.sum_axes, keepdim=True)
        self.condition = max(self.condition, float(terms.condition.max()))


def rounding(dtype: str) -> float:
    """The share of its terms that a result may be off for a rounding to a dtype."""
    return ALLOWANCE * _HALF_EPSILON[dtype]


def tolerances(
    terms: Terms,
    geometry: Geometry,
    *,
    dtype: str,
    centred: bool,
    fixed_statistics: bool,
    exact_mean: bool = False,
) -> dict[str, Any]:
    """The largest accepted |error| of y and dx; with a residual also of new_residual and dresidual.

    With u half the dtype's epsilon, v = 2^-24 (the accumulator's; 2^-53 in float64), and N the length of the sums over
    features:

        y   u (|x̂ w| + |y| + |b| + |w| (κ - 1)) + v sqrt(N) |w| (|x̂| + κ)
        dx  (u + v sqrt(N)) κ rstd (|w dy| + rms(w dy) (1 + |x̂|))

    all times ALLOWANCE, plus the smallest subnormal.
    The terms in u κ admit statistics that are kept in x's dtype, as PyTorch's 16-bit batch norm and group norm do;
    `exact_mean` takes that away for y, for telling such implementations from those with float32 statistics.
    Where s = x + residual is normalized, s may be rounded to x's dtype once, by u |s|: that moves x̂ by about
    u (|x̂| + κ), and so adds

        y             u |w| (|x̂| + κ)
        dx            u κ rstd (|w dy| + rms(w dy) (1 + |x̂|)) + u (|ds| + |dx|), for the sum with s's own gradient ds
        new_residual  u |s|

    and dresidual is dx.
    `fixed_statistics`: mean and variance are given (batch norm in eval mode), so dx is w dy rstd alone.
    """
    u, v = roundings(dtype)
    over_features = v * sqrt(geometry.statistic_length)
    x_hat, condition, dy = terms.normalized.abs(), terms.condition, terms.dy
    scaled = x_hat if terms.weight is None else (x_hat * terms.weight.abs())
    gain = 1.0 if terms.weight is None else terms.weight.abs()
    shift = 0.0 if terms.bias is None else terms.bias.abs()
    scaled_dy = (dy if terms.weight is None else dy * terms.weight).abs()

    shifted_mean = 0.0 if exact_mean else gain * (condition - 1.0)
    y = u * (scaled + terms.y.abs() + shift + shifted_mean) + over_features * gain * (x_hat + condition)
    reach = scaled_dy
    if not fixed_statistics:
        rms = scaled_dy.square().mean(geometry.statistic_axes, keepdim=True).sqrt()
        reach = scaled_dy + rms * ((1.0 if centred else 0.0) + x_hat)
    dx = (u + over_features) * condition * terms.rstd * reach
    bounds = {"y": y, "dx": dx}
    if terms.residual is not None:
        total, dtotal, whole = terms.residual.total.abs(), terms.residual.dtotal.abs(), terms.residual.dx.abs()
        bounds["y"] = y + u * gain * (x_hat + condition)
        bounds["dx"] = bounds["dresidual"] = dx + u * (condition * terms.rstd * reach + dtotal + whole)
        bounds["new_residual"] = u * total
    return accepted(bounds, dtype)


def sum_tolerances(
    sums: Sums, geometry: Geometry, *, dtype: str, equal_dy: bool = False, has_residual: bool = False
) -> dict[str, Any]:
    """The largest accepted |error| of dweight and dbias.

    With u, v and N as in `tolerances`, and M the length of the sums over rows:

        dweight  u |dweight| + v sqrt(M) κmax S2(dy x̂) + (u + v sqrt(N)) S2(dy (|x̂| + κ))
        dbias    u |dbias| + v sqrt(M) S2(dy)

    all times ALLOWANCE, plus the smallest subnormal; S2 is the root-sum-square over the summed terms. 16-bit runs may
    accumulate over rows in 16 bits, as PyTorch's fused CPU backward does: u sqrt(M) is added to v sqrt(M).
    `equal_dy`: dy is the same everywhere, so its partial sums grow with the rows and are all rounded the same way:
    (v + u) M |dbias| is added for dbias. PyTorch's fused CPU backward needs it: in float32 it is 3e-4 off at 50000
    rows, and in bfloat16 its sum stands still before 4096 rows.
    Where x + residual is normalized, u S2(dy (|x̂| + κ)) is added for dweight: the sum may be rounded once.
    """
    u, v = roundings(dtype)
    over_features = v * sqrt(geometry.statistic_length)
    over_rows = (v + (u if u > v else 0.0)) * sqrt(geometry.sum_length)
    moved = (u + over_features + (u if has_residual else 0.0)) * sums.moved_squares.sqrt()
    dweight = u * sums.dweight.abs() + over_rows * sums.condition * sums.dweight_squares.sqrt() + moved
    dbias = u * sums.dbias.abs() + over_rows * sums.dbias_squares.sqrt()
    if equal_dy:
        dbias = dbias + over_rows * sqrt(geometry.sum_length) * sums.dbias.abs()
    return accepted({"dweight": dweight, "dbias": dbias}, dtype)


def roundings(dtype: str) -> tuple[float, float]:
    """Half the epsilon of a dtype, and of what its sums are accumulated in."""
    return _HALF_EPSILON[dtype], 2.0**-53 if dtype == "float64" else 2.0**-24


def accepted(bounds: dict[str, Any], dtype: str) -> dict[str, Any]:
    """The accepted |errors| for these estimates of what rounding does."""
    return {name: ALLOWANCE * bound + _SMALLEST_SUBNORMAL[dtype] for name, bound in bounds.items()}
