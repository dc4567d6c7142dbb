"""The oracle's parts put together again, for tests that look at whole tensors."""

from dataclasses import dataclass

import torch

from lnbench.functions import result_shape
from lnbench.implementations.oracle import oracle as parts_of
from lnbench.implementations.oracle import scale_of


@dataclass(frozen=True)
class Assembled:
    """The right values of one result, the accepted |error|, and what a relative error is relative to."""

    value: torch.Tensor
    tolerance: torch.Tensor
    scale: float


def oracle(function, on, inputs, **options):
    """Every result of the oracle by name, in the shape that it has outside."""
    found = {}
    for part in parts_of(function, on, inputs, **options):
        for name, expected in part.expected.items():
            empty = torch.full(part.view, torch.nan, dtype=torch.float64)
            whole = found.setdefault(name, (empty, empty.clone(), expected.least_scale))
            for tensor, given in zip(whole[:2], (expected.value, expected.tolerance), strict=True):
                assert tensor[part.place].isnan().all()  # no two parts hold the same
                tensor[part.place] = given.detach()
    return {name: _assembled(name, *whole, function, on) for name, whole in found.items()}


def _assembled(name, value, tolerance, least_scale, function, on):
    shape = result_shape(function, on, name)
    scale = max(scale_of(float(value.abs().max()), float(tolerance.max()), dtype=on.dtype), least_scale)
    return Assembled(value.reshape(shape), tolerance.reshape(shape), scale)
