"""Results of another framework, read as tensors: what its calls return, and what `outputs` gives as NumPy arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnbench.implementations.contract import WrongResultError
from lnbench.units import format_shape


class Result:
    """A result, kept alive, where it lies, and a copy of it as a tensor."""

    def __init__(self, array: "np.ndarray[Any, Any]") -> None:
        self.array = array
        self.address = int(array.__array_interface__["data"][0])
        copy = np.array(array, order="C")
        bits = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}[array.dtype.itemsize]
        # NumPy has no bfloat16 of its own, and PyTorch takes no other library's: the bits go through an integer.
        self.values = torch.from_numpy(copy.view(bits)).view(getattr(torch, array.dtype.name))


def checked_result(name: str, value: Any, *, dtype: str, shape: tuple[int, ...]) -> Result:
    """A result that `outputs` gives. Raises WrongResultError where it is not of the right kind."""
    if not isinstance(value, np.ndarray):
        raise WrongResultError(f"outputs() gives {name} as a {type(value).__name__}, not as a NumPy array")
    if value.shape != shape or value.dtype.name != dtype:
        found = f"{value.dtype.name} {format_shape(value.shape)}"
        raise WrongResultError(f"{name} is {found}, not {dtype} {format_shape(shape)}")
    return Result(value)


def read_returned(name: str, given: Any, *, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """What a timed call returned, as a tensor. Raises WrongResultError where that can't be told, or is another kind."""
    if given is None:
        raise WrongResultError(f"{name} is nothing: what is computed can't be told; is a `return` missing?")
    if isinstance(given, Tensor):
        values = given.detach().cpu().clone()
    else:
        array = _as_array(given)
        if array is None:
            raise WrongResultError(f"{name} is a {type(given).__name__}, which can't be read as an array")
        if array.dtype.name not in {"float64", "float32", "float16", "bfloat16"}:
            raise WrongResultError(f"{name} is {array.dtype.name}, not {dtype}")
        values = Result(array).values
    found = f"{str(values.dtype).removeprefix('torch.')} {format_shape(tuple(values.shape))}"
    if found != f"{dtype} {format_shape(shape)}":
        raise WrongResultError(f"{name} is {found}, not {dtype} {format_shape(shape)}")
    return values


def named_gradients(call: str, given: Any, names: Sequence[str]) -> dict[str, Any]:
    """The gradients that a timed call returned, by name. Raises WrongResultError for another number of them."""
    if isinstance(given, Mapping) and set(given) == set(names):
        return dict(given)
    if not isinstance(given, tuple | list) or len(given) != len(names):
        count = f"{len(given)} results" if isinstance(given, tuple | list) else f"a {type(given).__name__}"
        raise WrongResultError(f"{call} gives {count}, not the gradients {', '.join(names)}")
    return dict(zip(names, given, strict=True))


def _as_array(given: Any) -> "np.ndarray[Any, Any] | None":
    """A framework's array as one of NumPy's, by the ways in which frameworks offer that; None where it has none."""
    for convert in (getattr(given, "numpy", None), getattr(given, "__array__", None)):
        if callable(convert):
            try:
                array = convert()
            except (TypeError, RuntimeError, ValueError):
                continue
            if isinstance(array, np.ndarray):
                return array
    return None
