"""Is a case right? Its outputs and all its gradients against the float64 oracle, element by element."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from lnbench.footprint import PART_ELEMENTS
from lnbench.functions import Function, judged_as
from lnbench.implementations.contract import Prepared, WrongResultError
from lnbench.implementations.oracle import Inputs, Part, expected_names, oracle
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.planned import Notice
from lnbench.units import format_shape
from lnbench.worker.deviations import Judgement, is_gradient, judge
from lnbench.workload import Workload

_WAY_OUT = {"dy": ": register it with writes_dy=True, and each call gets a copy of dy, made outside of its times"}
"""What an implementation that writes into an input can do."""

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


_HARD_CAUSE = "computing the variance as E[x²] - mean² does that; subtract the mean first"
_HARD_CAUSE_OF_TANH = "an exponential that overflows does that, as in (exp(2z) - 1) / (exp(2z) + 1); use tanh itself"


class Fill:
    """One set of values in the shared buffers, and the oracle's answers for it.

    Where they are one part, they are worked out once per function; else anew for each case, part by part, so that never
    more than a part of them is in memory. `part_elements`: the size of a part.
    """

    def __init__(self, arrays: TorchArrays, *, exact_mean: bool = False, part_elements: int = PART_ELEMENTS) -> None:
        self._arrays = arrays
        self._exact_mean = exact_mean
        self._part_elements = part_elements
        self._before = [buffer.clone() for buffer in arrays.all_buffers()]
        self._expected: dict[tuple[str, str, int | None], Sequence[Part]] = {}

    def judge(self, prepared: Prepared, function: Function, workload: Workload, inputs: Inputs) -> Judgement:
        """Hold a case's results against the oracle. Raises WrongResultError for what no tolerance can excuse."""
        names = ("y",) if prepared.no_step else expected_names(function, workload)
        parts = self._parts(function, workload, inputs)
        prepared.refresh()
        try:
            outputs = dict(prepared.outputs())
        except BaseException:
            self._put_back()
            raise
        written = self._put_back()
        if written:
            raise WrongResultError(f"it writes into {written}; inputs belong to the caller{_WAY_OUT.get(written, '')}")
        return judge(outputs, parts, names=names, dtype=workload.dtype)

    def _parts(self, function: Function, workload: Workload, inputs: Inputs) -> Iterable[Part]:
        """The oracle's answers for a function, from memory where they are few.

        Those that are worked out later have running statistics as they are now: a case may write into them.
        """
        key = (function.name, workload.norm_mode, workload.groups)
        if key in self._expected:
            return self._expected[key]
        running = {name: it.clone() for name, it in inputs.named() if name in {"running_mean", "running_var"}}
        parts = oracle(
            function,
            workload,
            replace(inputs, **running),
            exact_mean=self._exact_mean,
            part_elements=self._part_elements,
        )
        if workload.elements > self._part_elements:
            return parts
        return self._expected.setdefault(key, tuple(parts))

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


def explain(judgement: Judgement, function: Function, workload: Workload, *, hint: str = "") -> str:
    """The reason that a wrong case gets: which tensor, by how much, where; and what its function computes.

    An output is named where one is off, for its gradients then follow. `hint`: what is known of the input.
    """
    name, *others = judgement.wrong
    size = judgement.share[name]
    times = "not finite" if size == float("inf") else f"{size:.3g} times the tolerance"
    text = (
        f"{name} is off by {judgement.relative[name]:.2g} of its largest value, {times}, "
        f"at {format_shape(workload.shape)} {workload.dtype}{hint}"
    )
    if is_gradient(name):
        return text
    gradients = ", ".join(dict.fromkeys(judged_as(other) for other in others if is_gradient(other)))
    follow = f"; so are its gradients ({gradients})" if gradients else ""
    return f"{text}{follow}; {function.name} is {function.formula}"


def accuracy_notices(judgement: Judgement, workload: Workload) -> list[Notice]:
    """What a right result still owes its reader: a gradient that lost more than two percent."""
    coarse = {
        name: error
        for name, error in judgement.relative.items()
        if name in {"dalpha", "dweight", "dbias"} and error > COARSE_GRADIENT
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


def hard_input_notice(failures: Mapping[str, float], function: Function) -> Notice | None:
    """The notice `inaccurate` for the hard inputs on which a case left its tolerance."""
    if not failures:
        return None
    parts = "; ".join(f"{name}: {share:.2g} times the tolerance" for name, share in failures.items())
    cause = _HARD_CAUSE if function.has_statistics else _HARD_CAUSE_OF_TANH
    return Notice(code="inaccurate", text=f"right on ordinary inputs, off on hard ones ({parts}); {cause}")
