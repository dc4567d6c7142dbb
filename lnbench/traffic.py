"""The fewest bytes that a phase can move: one account of tensors for every function, so that rows compare.

Each tensor that a result is computed from is read once and each result is written once; scratch is never counted.
Only statistics of the data force a second pass, where what they are taken over is too large to keep on the chip.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Literal

from lnbench.functions import ALPHA_SHAPE, FUNCTIONS, Function, geometry, gradient_names, parameter_shape
from lnbench.workload import DTYPE_BYTES, Layout, Phase, Workload

Bound = Literal["minimal", "ideal", "practical"]
Because = Literal["second read", "transposed dy", "expanded dy"]

_READ_FOR: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "y": ("x", "weight", "bias"),
        "dx": ("dy", "x", "mean", "rstd", "weight"),
        "dweight": ("dy", "x", "mean", "rstd"),
        "dbias": ("dy",),
    }
)
"""What each result is computed from, when the statistics are those of x."""

_READ_FOR_IN_EVAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "y": ("x", "running_mean", "running_var", "weight", "bias"),
        "dx": ("dy", "running_var", "weight"),
        "dweight": ("dy", "x", "running_mean", "running_var"),
        "dbias": ("dy",),
    }
)
"""The same when the statistics are given: dx then needs no x."""

_READ_FOR_WITH_RESIDUAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "y": ("x", "residual", "weight", "bias"),
        "new_residual": ("x", "residual"),
        "dx": ("dy", "dnew_residual", "new_residual", "mean", "rstd", "weight"),
        "dweight": ("dy", "new_residual", "mean", "rstd"),
        "dbias": ("dy",),
    }
)
"""The same when x + residual is normalized. Backward reads that sum, a result of forward; dresidual is dx itself."""

_READ_FOR_TANH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "y": ("x", "alpha", "weight", "bias"),
        "dx": ("dy", "x", "alpha", "weight"),
        "dalpha": ("dy", "x", "alpha", "weight"),
        "dweight": ("dy", "x", "alpha"),
        "dbias": ("dy",),
    }
)
"""The same for dynamic tanh: forward saves nothing, since tanh is computed again from x for the bytes of x."""

_READ_AGAIN: Mapping[str, tuple[str, ...]] = MappingProxyType({"y": ("x",), "dx": ("dy", "x")})
"""What is summed over before a result can be computed, and so must be held on the chip or read a second time. With a
residual it is the sum, which has the bytes of x."""


_DENSE_DY: Mapping[str, tuple[Because, int]] = MappingProxyType(
    {Layout.TRANSPOSED_DY: ("transposed dy", 2), Layout.EXPANDED_DY: ("expanded dy", 1)}
)
"""What a contiguous copy of a dy that is not adds, in times its bytes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes moved at least, and by which bound.

    minimal: every tensor is touched once. ideal: the same for batch norm in train mode, which must hold whole tensors
    on the chip for it. practical: what can't be held is read a second time, or dy is made contiguous first, as
    `because` tells.
    """

    bytes: int
    bound: Bound
    because: tuple[Because, ...] = ()


def minimum_bytes(
    function: str,
    phase: Phase,
    workload: Workload,
    *,
    cache_b: int | None = None,
    gradients: Collection[str] | None = None,
) -> Traffic:
    """The fewest bytes for a phase of a function on a workload, the same for every implementation.

    cache_b: the device's last-level cache; None, where it is unknown, counts as large enough.
    gradients: those that backward computes, where they are not those that the workload asks for; those of absent
    affine tensors drop out by themselves.
    forward_backward is forward plus backward, and practical when either is. PyTorch's kernels read a contiguous dy, so
    a backward is counted with what making one adds: a read and a write where it is transposed, a write where it is one
    element expanded. Without statistics there is no such kernel: element by element, dy is read as it lies.
    Raises Unsupported where the function is not defined on the workload.
    """
    if phase is Phase.FORWARD_BACKWARD:
        parts = [
            minimum_bytes(function, part, workload, cache_b=cache_b, gradients=gradients)
            for part in (Phase.FORWARD, Phase.BACKWARD)
        ]
        practical = [part for part in parts if part.bound == "practical"]
        reasons = dict.fromkeys(reason for part in parts for reason in part.because)
        return Traffic(sum(part.bytes for part in parts), (practical or parts)[0].bound, tuple(reasons))
    described = FUNCTIONS[function]
    sizes = _sizes(described, workload)
    wanted = gradient_names(described, workload) if gradients is None else gradients
    results = [result for result in wanted if result in sizes] if phase is Phase.BACKWARD else [*described.outputs]
    in_eval = described.has_running_statistics and workload.norm_mode == "eval"
    read_for = _read_for(described, in_eval=in_eval)
    touched = Counter({*results, *(tensor for result in results for tensor in read_for[result])})
    because: list[Because] = []
    if phase is Phase.BACKWARD and workload.layout in _DENSE_DY and described.has_statistics:
        reason, times = _DENSE_DY[workload.layout]
        touched["dy"] += times
        because.append(reason)
    if in_eval or not described.has_statistics:
        return Traffic(_total(touched, sizes), "practical" if because else "minimal", tuple(because))
    if phase is Phase.FORWARD:
        touched.update(("mean", "rstd"))  # saved for backward
    if phase is not Phase.BACKWARD:
        touched.update(("running_mean", "running_var") * 2)  # read and written
    again = [tensor for result in results for tensor in _READ_AGAIN.get(result, ())]
    if cache_b is not None and len(again) * _held_b(described, workload) > cache_b:
        touched.update(again)
        because.insert(0, "second read")
    bound: Bound = "ideal" if described.has_running_statistics else "minimal"
    return Traffic(_total(touched, sizes), "practical" if because else bound, tuple(because))


def _read_for(function: Function, *, in_eval: bool) -> Mapping[str, tuple[str, ...]]:
    """What each result of a function is computed from."""
    if not function.has_statistics:
        return _READ_FOR_TANH
    if in_eval:
        return _READ_FOR_IN_EVAL
    return _READ_FOR_WITH_RESIDUAL if function.has_residual else _READ_FOR


def _total(touched: Mapping[str, int], sizes: Mapping[str, int]) -> int:
    """The bytes of what is touched, each tensor as often as it is; absent tensors have none."""
    return sum(times * sizes.get(tensor, 0) for tensor, times in touched.items())


def _sizes(function: Function, workload: Workload) -> dict[str, int]:
    """The bytes of every tensor that exists.

    Saved statistics are float32, or float64 for float64 x. Running ones have the parameters' dtype, there being no
    other pair that PyTorch's batch norm takes.
    """
    parameter_b = prod(parameter_shape(function, workload)) * DTYPE_BYTES[workload.param_dtype]
    sizes = dict.fromkeys(("x", "y", "dy", "dx"), workload.x_bytes)
    if function.has_statistics:
        statistic_b = geometry(function, workload).statistics * max(DTYPE_BYTES[workload.dtype], 4)
        sizes |= {"rstd": statistic_b} | ({"mean": statistic_b} if function.centred else {})
    else:
        sizes["dy"] = workload.dy_bytes
    if function.has_alpha:
        sizes |= dict.fromkeys(("alpha", "dalpha"), prod(ALPHA_SHAPE) * DTYPE_BYTES[workload.param_dtype])
    if workload.affine != "none":
        sizes |= {"weight": parameter_b, "dweight": parameter_b}
    if workload.affine == "both" and function.has_bias:
        sizes |= {"bias": parameter_b, "dbias": parameter_b}
    if function.has_residual:
        sizes |= dict.fromkeys(("residual", "new_residual", "dnew_residual"), workload.x_bytes)
    if function.has_running_statistics:
        sizes |= {"running_mean": parameter_b, "running_var": parameter_b}
    return sizes


def _held_b(function: Function, workload: Workload) -> int:
    """The bytes of one tensor that share statistics at a time: a row or group; for batch norm the whole tensor."""
    if function.has_running_statistics:
        return workload.x_bytes
    return geometry(function, workload).statistic_length * DTYPE_BYTES[workload.dtype]
