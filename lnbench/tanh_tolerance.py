"""How far an honest dynamic tanh may be from the float64 oracle: it has no statistics, so it has a rule of its own."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

from lnbench.functions import Geometry
from lnbench.tolerance import accepted, roundings


@dataclass(frozen=True, slots=True)
class TanhTerms:
    """What the oracle knows about a part of x, all float64, in the canonical view, with z = alpha x.

    tanh, slope: tanh(z) and its derivative 1 - tanh(z)^2. weight, bias: broadcastable, or None. scaled_dy: weight dy.
    y, dx: the right results.
    """

    x: Any
    z: Any
    tanh: Any
    slope: Any
    alpha: Any
    weight: Any | None
    bias: Any | None
    dy: Any
    scaled_dy: Any
    y: Any
    dx: Any

    def error_of_tanh(self, dtype: str) -> Any:
        """u (|t| + |z| s) + v for t = tanh(z) and its slope s: z and t are rounded once each."""
        u, v = roundings(dtype)
        return u * (self.tanh.abs() + self.z.abs() * self.slope) + v

    def error_of_slope(self, dtype: str) -> Any:
        """u (s + 2 t^2 + 2 |t z| s) + v, for 1 - t^2 from a t that was rounded."""
        u, v = roundings(dtype)
        tanh = self.tanh.abs()
        return u * (self.slope + 2.0 * tanh.square() + 2.0 * tanh * self.z.abs() * self.slope) + v


@dataclass(slots=True)
class TanhSums:
    """What parts of x add to the gradients of alpha, weight and bias, all float64; those of weight and bias in the view
    of the parameters.

    dalpha: Σ g x s, with g = weight dy. dweight: Σ dy t. dbias: Σ dy. `_squares`: of these terms; `_moved`: of what
    rounding may move them by.
    """

    dweight: Any
    dbias: Any
    dweight_squares: Any
    dbias_squares: Any
    dweight_moved: Any
    dalpha: Any
    dalpha_squares: Any
    dalpha_moved: Any

    def add(self, terms: TanhTerms, geometry: Geometry, place: tuple[slice, ...], *, dtype: str) -> None:
        """Add a part of x. `place`: where its parameters lie among all."""
        weighted = terms.dy * terms.tanh
        for total, summed in (
            (self.dweight, weighted),
            (self.dbias, terms.dy),
            (self.dweight_squares, weighted.square()),
            (self.dbias_squares, terms.dy.square()),
            (self.dweight_moved, (terms.dy * terms.error_of_tanh(dtype)).square()),
        ):
            total[place] += summed.sum(geometry.sum_axes, keepdim=True)
        reach, (u, _) = terms.scaled_dy * terms.x, roundings(dtype)
        self.dalpha += (reach * terms.slope).sum()
        self.dalpha_squares += (reach * terms.slope).square().sum()
        self.dalpha_moved += (reach * (terms.error_of_slope(dtype) + u * terms.slope)).square().sum()


def tanh_tolerances(terms: TanhTerms, *, dtype: str) -> dict[str, Any]:
    """The largest accepted |error| of y and dx; u and v as in `tolerances`, t = tanh(z), s its slope, g = weight dy:

        y   u (|w t| + |y| + |b|) + |w| error(t)
        dx  u |dx| + |alpha g| error(s)

    all times ALLOWANCE, plus the smallest subnormal. The v in error(t) and error(s) admits tanh from an exponential, as
    in 2 sigmoid(2 z) - 1, which loses the digits of a small z.
    """
    u, _ = roundings(dtype)
    gain = 1.0 if terms.weight is None else terms.weight.abs()
    shift = 0.0 if terms.bias is None else terms.bias.abs()
    y = u * (gain * terms.tanh.abs() + terms.y.abs() + shift) + gain * terms.error_of_tanh(dtype)
    dx = u * terms.dx.abs() + terms.alpha.abs() * terms.scaled_dy.abs() * terms.error_of_slope(dtype)
    return accepted({"y": y, "dx": dx}, dtype)


def tanh_sum_tolerances(
    sums: TanhSums, geometry: Geometry, *, elements: int, dtype: str, equal_dy: bool = False
) -> dict[str, Any]:
    """The largest accepted |error| of dalpha, dweight and dbias.

    With M the length of the sums over rows, E the number of elements, S2 the root-sum-square over the summed terms:

        dalpha   u |dalpha| + v sqrt(E) S2(g x s) + S2(g x (error(s) + u s))
        dweight  u |dweight| + v sqrt(M) S2(dy t) + S2(dy error(t))
        dbias    u |dbias| + v sqrt(M) S2(dy)

    all times ALLOWANCE, plus the smallest subnormal. 16-bit runs may accumulate dweight and dbias in 16 bits, as in
    `sum_tolerances`, but not dalpha, a sum of so many terms that nothing would be left of it.
    `equal_dy`: dy is the same everywhere, so partial sums grow: v E |dalpha| is added, and for dbias what
    `sum_tolerances` adds.
    """
    u, v = roundings(dtype)
    over_rows = (v + (u if u > v else 0.0)) * sqrt(geometry.sum_length)
    dalpha = u * sums.dalpha.abs() + v * sqrt(elements) * sums.dalpha_squares.sqrt() + sums.dalpha_moved.sqrt()
    dweight = u * sums.dweight.abs() + over_rows * sums.dweight_squares.sqrt() + sums.dweight_moved.sqrt()
    dbias = u * sums.dbias.abs() + over_rows * sums.dbias_squares.sqrt()
    if equal_dy:
        dalpha = dalpha + v * elements * sums.dalpha.abs()
        dbias = dbias + over_rows * sqrt(geometry.sum_length) * sums.dbias.abs()
    return accepted({"dalpha": dalpha, "dweight": dweight, "dbias": dbias}, dtype)
