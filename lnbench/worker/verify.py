"""Is a case right? Its outputs and all its gradients against the float64 oracle, element by element."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lnbench.functions import Function, judged_as
from lnbench.implementations.contract import Prepared, WrongResultError
from lnbench.implementations.oracle import Expected, Inputs, oracle
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.planned import Notice
from lnbench.units import format_shape
from lnbench.workload import Layout, Workload

JUDGED_ROWS = 32
"""At few rows a wrong dweight or dbias stands out of the rounding that many rows bring."""

COARSE_GRADIENT = 0.02
"""A relative gradient error above which a right but coarse result is said."""


@dataclass(frozen=True, slots=True)
class HardInput:
    """An input on which a careless formula loses its digits: x becomes factor x + offset."""

    name: str
    factor: float
    offset: float


ROUNDED_MEAN = HardInput("rows with a mean 8 times their deviation, in 16 bits", 1.0, 8.0)
"""Told apart in the workload's own dtype: a mean kept in 16 bits is then off by far more than y's own rounding."""

LEAST_EPS = 1e-30
"""A smaller eps is not judged: the squares of values as small as its root leave float32's normal range."""

HARD_INPUTS = (
    HardInput("rows with a mean 1000 times their deviation", 1.0, 1000.0),
    HardInput("constant rows", 0.0, 3.0),
    HardInput("values around 1e12", 1e12, 0.0),
)


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
    def is_right(self) -> bool:
        """True when every element of every tensor is within its tolerance."""
        return all(share <= 1.0 for share in self.share.values())


def judged_workloads(workload: Workload) -> tuple[Workload, ...]:
    """The workloads on which a formula is judged beside the real one: in float32 at its own shape and at few rows.

    float64 is judged in float64. A dy that is the same everywhere hides errors of the gradients, so there the formula
    is judged with one that is not. Shapes that coincide with the real workload are left out, for it is judged anyway.
    """
    layout = "contiguous" if workload.layout == Layout.EXPANDED_DY else workload.layout
    if workload.dtype == "float64":
        plain = replace(workload, cache="hot", layout=layout)
    else:
        plain = replace(workload, dtype="float32", param_dtype="float32", cache="hot", layout=layout)
    candidates = [plain, plain.with_rows(JUDGED_ROWS)]
    hot = replace(workload, cache="hot")
    return tuple(dict.fromkeys(candidate for candidate in candidates if candidate != hot))


class Fill:
    """One set of values in the shared buffers, and the oracle's answers for it, worked out once per function."""

    def __init__(self, arrays: TorchArrays, *, exact_mean: bool = False) -> None:
        self._arrays = arrays
        self._exact_mean = exact_mean
        self._before = [buffer.clone() for buffer in arrays.all_buffers()]
        self._expected: dict[tuple[str, str, int | None], Mapping[str, Expected]] = {}

    def judge(self, prepared: Prepared, function: Function, workload: Workload, inputs: Inputs) -> Judgement:
        """Hold a case's results against the oracle. Raises WrongResultError for what no tolerance can excuse."""
        key = (function.name, workload.norm_mode, workload.groups)
        if key not in self._expected:
            self._expected[key] = oracle(function, workload, inputs, exact_mean=self._exact_mean)
        prepared.refresh()
        try:
            outputs = dict(prepared.outputs())
        except BaseException:
            self._put_back()
            raise
        written = self._put_back()
        if written:
            raise WrongResultError(f"it writes into {written}; inputs belong to the caller")
        expected = self._expected[key]
        return judge(outputs, {"y": expected["y"]} if prepared.no_step else expected)

    def changed_buffers(self) -> bool:
        """True when some shared buffer no longer holds these values."""
        return any(
            not torch.equal(now, before) for now, before in zip(self._arrays.all_buffers(), self._before, strict=False)
        )

    def _put_back(self) -> str:
        """Undo what was written into the shared buffers, before another case is blamed for it; names the first."""
        written = ""
        names = self._arrays.buffer_names()
        for name, now, before in zip(names, self._arrays.all_buffers(), self._before, strict=False):
            if not torch.equal(now, before):
                now.copy_(before)
                written = written or name
        return written


def judge(outputs: Mapping[str, Tensor], expected: Mapping[str, Expected]) -> Judgement:
    """Compare tensors with the oracle's: that of an inference or of a whole step with the one that it should equal.

    NaN is never within a tolerance. Raises WrongResultError where one of those expected is not there.
    """
    given = {name: judged_as(name) for name in outputs}
    for name in expected:
        if name not in given.values():
            raise WrongResultError(f"it gives no {name}")
    relative, share = {}, {}
    for name, tensor in outputs.items():
        right = expected[given[name]]
        error = (tensor.to(right.value.device, torch.float64) - right.value).abs()
        largest = float(error.max())
        relative[name] = largest / right.scale if right.scale else (0.0 if largest == 0 else float("inf"))
        ratio = error / right.tolerance
        worst = float(ratio.max())
        share[name] = worst if worst == worst else float("inf")
        if relative[name] != relative[name]:
            relative[name] = float("inf")
    return Judgement(relative, share)


def explain(judgement: Judgement, workload: Workload) -> str:
    """The reason that a wrong case gets: which tensor, by how much, where."""
    name = judgement.worst
    size = judgement.share[name]
    times = "not finite" if size == float("inf") else f"{size:.3g} times the tolerance"
    return (
        f"{name} is off by {judgement.relative[name]:.2g} of its largest value, {times}, "
        f"at {format_shape(workload.shape)} {workload.dtype}"
    )


def accuracy_notices(judgement: Judgement, workload: Workload) -> list[Notice]:
    """What a right result still owes its reader: a gradient that lost more than two percent."""
    coarse = {
        name: error
        for name, error in judgement.relative.items()
        if name in {"dweight", "dbias"} and error > COARSE_GRADIENT
    }
    if not coarse:
        return []
    parts = ", ".join(f"{name} by {100 * error:.2g} %" for name, error in coarse.items())
    return [
        Notice(
            code="coarse-gradient",
            text=f"off at {workload.dtype}: {parts} of the largest value; sums over {workload.rows} rows kept in "
            "16 bits do that; float32 parameters or accumulation avoid it",
        )
    ]


def hard_input_notice(failures: Mapping[str, float]) -> Notice | None:
    """The notice `inaccurate` for the hard inputs on which a case left its tolerance."""
    if not failures:
        return None
    parts = "; ".join(f"{name}: {share:.2g} times the tolerance" for name, share in failures.items())
    return Notice(
        code="inaccurate",
        text=f"right on ordinary inputs, off on hard ones ({parts}); computing the variance as E[x²] - mean² does "
        "that; subtract the mean first",
    )
