"""How far results are off: compared with the oracle's element by element, part by part."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lnbench.functions import judged_as
from lnbench.implementations.contract import WrongResultError
from lnbench.implementations.oracle import Part, scale_of


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far a case is off, per tensor: relative to the largest right value, and as a share of the tolerance."""

    relative: Mapping[str, float]
    share: Mapping[str, float]

    @property
    def worst(self) -> str:
        """The tensor that is furthest off."""
        return max(self.share, key=lambda name: self.share[name])

    @property
    def wrong(self) -> Mapping[str, float]:
        """The tensors that leave their tolerance, by how many times: outputs before gradients, those of forward and
        backward before those of other calls, the furthest off before others."""
        off = {name: share for name, share in self.share.items() if share > 1.0}
        order = sorted(off, key=lambda name: (is_gradient(name), name != judged_as(name), -off[name]))
        return {name: off[name] for name in order}

    @property
    def is_right(self) -> bool:
        """True when every element of every tensor is within its tolerance."""
        return all(share <= 1.0 for share in self.share.values())


def is_gradient(name: str) -> bool:
    """True for a result that backward computes."""
    return judged_as(name).startswith("d")


def judge(outputs: Mapping[str, Tensor], expected: Iterable[Part], *, names: Collection[str], dtype: str) -> Judgement:
    """Compare tensors with the oracle's: that of an inference or of a whole step with the one that it should equal.

    `names`: the results that are to be there. NaN is never within a tolerance. Raises WrongResultError where one of
    them is missing.
    """
    given = {name: judged_as(name) for name in outputs}
    for name in names:
        if name not in given.values():
            raise WrongResultError(f"it gives no {name}")
    seen: dict[str, list[Tensor]] = {name: [] for name in outputs}
    least_scales = dict.fromkeys(outputs, 0.0)
    views: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    for part in expected:
        for name, tensor in outputs.items():
            if given[name] not in part.expected:
                continue
            key = (name, part.view)
            if key not in views:  # a copy where the result lies in memory otherwise
                views[key] = tensor.reshape(part.view)
            right = part.expected[given[name]]
            least_scales[name] = max(least_scales[name], right.least_scale)
            error = (views[key][part.place].to(right.value.device, torch.float64) - right.value).abs()
            seen[name].append(
                torch.stack(
                    [error.max(), (error / right.tolerance).max(), right.value.abs().max(), right.tolerance.max()]
                )
            )
    relative, share = {}, {}
    for name, found in seen.items():
        largest, worst, value, tolerance = torch.stack(found).amax(0).tolist()  # of NaN and a number it is NaN
        scale = max(scale_of(value, tolerance, dtype=dtype), least_scales[name])
        relative[name] = largest / scale if scale else (0.0 if largest == 0 else float("inf"))
        share[name] = worst if worst == worst else float("inf")
        if relative[name] != relative[name]:
            relative[name] = float("inf")
    return Judgement(relative, share)
