"""What a PyTorch result must be before its values are looked at: a plain, finished tensor of its own."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lnbench.implementations.contract import WrongResultError

GradientsOf = Callable[[tuple[Tensor, ...]], dict[str, Tensor]]
"""One backward from these outputs, its gradients by name; it raises WrongResultError for one that is none."""

MUST_STAY = "a result must stay valid while the next is made"


@dataclass(frozen=True, slots=True)
class Check:
    """Refuses what is no result, with a WrongResultError that says why.

    names: the outputs, which are returned as a tuple where they are several. like: a tensor whose shape, dtype and
    device each output has. given: the storages of the inputs, where no output may lie. may_widen: under autocast an
    output may be float32 too, for on CUDA layer norm is one of the operations that it takes to float32.
    """

    names: tuple[str, ...]
    like: Tensor
    given: frozenset[int]
    may_widen: bool

    def called_twice(
        self, call: Callable[[], Any], phase: str
    ) -> tuple[tuple[tuple[Tensor, ...], tuple[Tensor, ...]], tuple[Tensor, ...]]:
        """Two results that are alive together, and a copy of the first, taken at once: unfinished work shows in it."""
        first = self.outputs(call(), phase)
        copies = _copies(first)
        second = self.outputs(call(), phase)
        if storages(first) & storages(second):
            raise WrongResultError(f"two calls of {phase} return the same memory: {MUST_STAY}")
        refuse_changed(first, copies, phase)
        return (first, second), copies

    def outputs(self, result: Any, phase: str) -> tuple[Tensor, ...]:
        """Every output of a call, checked."""
        if len(self.names) == 1:
            self._require_tensor(result, f"{phase} returns")
            return (result,)
        if type(result) is not tuple or len(result) != len(self.names):
            found = f"{len(result)} results" if type(result) is tuple else f"a {type(result).__name__}"
            raise WrongResultError(f"{phase} returns {found}, not the tuple ({', '.join(self.names)})")
        for name, output in zip(self.names, result, strict=True):
            self._require_tensor(output, f"{phase} returns as {name}")
        return result

    def _require_tensor(self, output: Any, returns: str) -> None:
        like = self.like
        if type(output) is not Tensor:
            raise WrongResultError(f"{returns} a {type(output).__name__}, not a plain torch.Tensor")
        if output.is_meta or output.layout != torch.strided:
            place = f"{output.layout}, {output.device}"
            raise WrongResultError(f"{returns} a tensor without its own dense memory ({place})")
        is_widened = self.may_widen and output.dtype == torch.float32
        if output.shape != like.shape or (output.dtype != like.dtype and not is_widened):
            raise WrongResultError(f"{returns} {kind(output)}, x is {kind(like)}")
        if output.device != like.device:
            raise WrongResultError(f"{returns} a tensor on {output.device}, x is on {like.device}")
        if storages([output]) & self.given:
            raise WrongResultError(f"{returns} a view of its input")


@dataclass(frozen=True, slots=True)
class StepResults:
    """What is read of a case: outputs of an inference and of a step, gradients, and whether backward repeats."""

    inferred: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    gradients: dict[str, Tensor]
    repeats: bool


def read_results(calls: "Calls", gradients_of: GradientsOf, check: Check) -> StepResults:
    """The results of two inferences and two steps that are alive together, none in the memory of another.

    Raises WrongResultError where a result does not stay what it was.
    """
    with calls.without_gradients():
        _, inferred = check.called_twice(calls.inference, "inference")
    (first, second), outputs = check.called_twice(calls.forward, "forward")
    gradients, others = gradients_of(first), gradients_of(second)
    for name, gradient in gradients.items():
        if storages([gradient]) == storages([others[name]]) and not storages([gradient]) & check.given:
            raise WrongResultError(f"two calls return {name} in the same memory: {MUST_STAY}")
    refuse_changed(first, outputs, "forward")
    return StepResults(inferred, outputs, gradients, _repeat(gradients, others))


def read_overwritten_results(calls: "Calls", gradients_of: GradientsOf, check: Check) -> StepResults:
    """The same of a case whose next call overwrites them: copies of each, taken before the next call is made."""
    with calls.without_gradients():
        inferred = _copies(check.outputs(calls.inference(), "inference"))
    steps = []
    for _ in range(2):
        results = check.outputs(calls.forward(), "forward")
        outputs = _copies(results)
        gradients = {name: gradient.clone() for name, gradient in gradients_of(results).items()}
        steps.append((outputs, gradients))
        del results
    (outputs, gradients), (_, others) = steps
    return StepResults(inferred, outputs, gradients, _repeat(gradients, others))


class Calls(Protocol):
    """The phases of a case, as far as its results are read."""

    inference: Callable[[], Any]
    forward: Callable[[], Any]

    def without_gradients(self) -> AbstractContextManager[None]: ...


def _copies(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone() for tensor in tensors)


def _repeat(gradients: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return all(same_bits(gradient, others[name]) for name, gradient in gradients.items())


def refuse_changed(results: tuple[Tensor, ...], copies: tuple[Tensor, ...], phase: str) -> None:
    """Raise WrongResultError when results are no longer what they were when they were returned."""
    for result, copy in zip(results, copies, strict=True):
        if not torch.equal(result.detach().nan_to_num(), copy.nan_to_num()):
            raise WrongResultError(
                f"what {phase} returned changed afterwards: it was not finished, or a later call writes into it"
            )


def same_bits(one: Tensor, other: Tensor) -> bool:
    """True when two tensors of a dtype and shape agree to the bit."""
    bits, others = (tensor.reshape(-1).contiguous().view(torch.uint8) for tensor in (one, other))
    return torch.equal(bits, others)


def storages(tensors: Iterable[Tensor]) -> frozenset[int]:
    """Where the memory behind tensors begins; views of one block share it."""
    return frozenset(tensor.untyped_storage().data_ptr() for tensor in tensors)


def kind(tensor: Tensor) -> str:
    """Its dtype and shape, for a message."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
