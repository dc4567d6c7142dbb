"""Makes a `Prepared` of what a PyTorch builder gives: a callable or an `nn.Module`, with autograd for backward."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lnbench.errors import text_of
from lnbench.functions import Function, gradient_names
from lnbench.implementations.contract import WrongResultError
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.implementations.torch_autocast import autocast_call
from lnbench.implementations.torch_compiling import compilations
from lnbench.implementations.torch_modules import bind_module
from lnbench.workload import Autocast, Workload

_MUST_STAY = "a result must stay valid while the next is made"


class TorchPrepared:
    """A PyTorch case bound to the shared buffers.

    Gradients come from `torch.autograd.grad` over x and the affine parameters, or those of them that the workload asks
    for, so nothing accumulates and nothing needs zeroing; each backward runs on the graph of its own forward. What is
    frozen does not require a gradient, so that kernels can leave its work out.
    """

    inference: Callable[[], Any]
    forward: Callable[[], Any]
    backward: Callable[[Any], Any]
    repeats: bool | None = None

    def __init__(self, built: Any, function: Function, workload: Workload, arrays: TorchArrays) -> None:
        self._function = function
        self._workload = workload
        self._arrays = arrays
        self._leaves = arrays.leaves()
        self._running = arrays.running_statistics() if function.has_running_statistics else None
        self._names = gradient_names(function, workload)
        weight, bias = (
            None if parameter is None else parameter.detach().requires_grad_(name in self._names)
            for name, parameter in zip(("dweight", "dbias"), arrays.parameters(function), strict=True)
        )
        tensors = {"weight": weight, "bias": bias}
        if self._running:
            tensors |= dict(zip(("running_mean", "running_var"), self._running, strict=True))
        self._parameters = [
            (f"d{name}", parameter) for name, parameter in (("weight", weight), ("bias", bias)) if parameter is not None
        ]
        if isinstance(built, nn.Module):
            self._parameters = bind_module(built, function, workload, tensors)
            self._call: Callable[[Tensor], Any] = built
        elif callable(built):
            arguments = tuple(tensors[name] for name in function.parameters)
            self._call = lambda x: built(x, *arguments)
        else:
            raise WrongResultError(f"the builder gave a {type(built).__name__}, not a callable or an nn.Module")
        self._call = autocast_call(self._call, workload)
        self._upstream = arrays.dy if workload.autocast == Autocast.NONE else None
        self.select(0)

    def select(self, index: int) -> None:
        """Bind the calls to one pair of x and dy; bound as locals, so that a call costs nothing extra."""
        x, dy, call = self._leaves[index], (self._upstream or self._arrays.dy)[index], self._call
        inputs = tuple(leaf for _, leaf in self._wanted(x))
        grad = torch.autograd.grad

        # Each has a name of its own, by which the stack of a process that died tells what it was doing.
        def inference() -> Any:
            return call(x)

        def forward() -> Any:
            return call(x)

        def backward(saved: Any) -> Any:
            return grad(saved, inputs, dy)

        self.inference, self.forward, self.backward = inference, forward, backward
        if self._upstream is None:
            self.backward = lambda saved: self._first_backward(saved, index)

    def _first_backward(self, saved: Tensor, index: int) -> Any:
        """The first backward under autocast, which decides y's dtype: from then on dy is there in that, once cast."""
        self._upstream = self._arrays.dy_as(saved.dtype)
        self.select(index)
        return self.backward(saved)

    def _wanted(self, x: Tensor) -> list[tuple[str, Tensor]]:
        """What is differentiated, with the names of the gradients; frozen tensors are left out."""
        leaves = {"dx": x, **dict(self._parameters)}
        return [(name, leaves[name]) for name in self._names]

    def inputs(self) -> Inputs:
        """What the case reads now, for the oracle."""
        return self._arrays.inputs(self._function, self._running)

    def wait(self) -> None:
        if self._workload.is_cuda:
            torch.cuda.synchronize(self._workload.device)

    def without_gradients(self) -> AbstractContextManager[None]:
        return torch.no_grad()

    @contextmanager
    def steady(self) -> Iterator[None]:
        if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing the compiler takes seconds
            yield
            return
        with torch.compiler.set_stance("fail_on_recompile"):
            yield

    def compilations(self) -> int:
        return compilations()

    def close(self) -> None:
        self._leaves.clear()

    def outputs(self) -> Mapping[str, Tensor]:
        self.select(0)  # a rotation leaves the calls bound to the pair it ended at
        with self.without_gradients():
            _, inferred = self._called_twice(self.inference, "inference")
        (first, second), y = self._called_twice(self.forward, "forward")
        gradients, others = self._gradients(first), self._gradients(second)
        for name, gradient in gradients.items():
            if _storage(gradient) == _storage(others[name]) != _storage(self._arrays.dy[0]):
                raise WrongResultError(f"two calls return {name} in the same memory: {_MUST_STAY}")
        self.repeats = all(_same_bits(gradient, others[name]) for name, gradient in gradients.items())
        _refuse_changed(first, y, "forward")
        return {"inference_y": inferred, "y": y, **gradients}

    def saved_bytes(self) -> int:
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            saved[_storage(tensor)] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = self.forward()
        inputs = [*self._leaves, *(leaf for _, leaf in self._parameters), *self._arrays.all_buffers()]
        for tensor in (y, *inputs, *(self._running or ())):
            saved.pop(_storage(tensor), None)
        return sum(saved.values())

    def _called_twice(self, call: Callable[[], Any], phase: str) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Two results that are alive together, and a copy of the first, taken at once: unfinished work shows in it."""
        first = self._checked(call(), phase)
        copy = first.detach().clone()
        second = self._checked(call(), phase)
        if _storage(first) == _storage(second):
            raise WrongResultError(f"two calls of {phase} return the same memory: {_MUST_STAY}")
        _refuse_changed(first, copy, phase)
        return (first, second), copy

    def _gradients(self, y: Tensor) -> dict[str, Tensor]:
        """What one backward gives, by name."""
        if not y.requires_grad or y.grad_fn is None:
            raise WrongResultError("the result is detached from the graph: no gradient can flow back")
        wanted = self._wanted(self._leaves[0])

        def backward() -> tuple[Any, ...]:
            dy = self._arrays.dy_as(y.dtype)[0]
            return torch.autograd.grad(y, [leaf for _, leaf in wanted], dy, allow_unused=True)

        gradients = backward()
        for (name, leaf), gradient in zip(wanted, gradients, strict=True):
            if gradient is None:
                raise WrongResultError(f"no gradient reaches {'x' if name == 'dx' else name[1:]}")
            if gradient.dtype != leaf.dtype or gradient.shape != leaf.shape:
                raise WrongResultError(
                    f"{name} is {_kind(gradient)}, its tensor is {_kind(leaf)}",
                )
        return {name: gradient for (name, _), gradient in zip(wanted, gradients, strict=True)}

    def _checked(self, y: Any, phase: str) -> Tensor:
        """y, if it is a plain, finished tensor of its own with x's shape, dtype and device.

        Under autocast it may be float32 too: on CUDA, layer norm is one of the operations that it takes to float32.
        """
        x = self._leaves[0]
        if type(y) is not Tensor:
            raise WrongResultError(f"{phase} returns a {type(y).__name__}, not a plain torch.Tensor")
        if y.is_meta or y.layout != torch.strided:
            raise WrongResultError(f"{phase} returns a tensor without its own dense memory ({y.layout}, {y.device})")
        is_widened = self._workload.autocast != Autocast.NONE and y.dtype == torch.float32
        if y.shape != x.shape or (y.dtype != x.dtype and not is_widened):
            raise WrongResultError(f"{phase} returns {_kind(y)}, x is {_kind(x)}")
        if y.device != x.device:
            raise WrongResultError(f"{phase} returns a tensor on {y.device}, x is on {x.device}")
        parameters = (parameter for _, parameter in self._parameters)
        if _storage(y) in {_storage(tensor) for tensor in (x, self._arrays.dy[0], *parameters)}:
            raise WrongResultError(f"{phase} returns a view of its input")
        return y


def flushes_denormals() -> bool:
    """True when PyTorch's arithmetic takes numbers below the normal range for zero, as `set_flush_denormal` does."""
    return not bool((torch.full((64,), 1e-38) * 1e-4).any())


def _refuse_changed(result: Tensor, copy: Tensor, phase: str) -> None:
    """Raise WrongResultError when a result is no longer what it was when it was returned."""
    if not torch.equal(result.detach().nan_to_num(), copy.nan_to_num()):
        raise WrongResultError(
            f"what {phase} returned changed afterwards: it was not finished, or a later call writes into it"
        )


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")
"""What PyTorch's allocator for the CPU says, and what other C++ code does."""


def is_out_of_memory(error: BaseException) -> bool:
    """True for what PyTorch and Python raise when memory runs out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in text_of(error) for words in _OUT_OF_MEMORY)


def poisons_device(error: BaseException) -> bool:
    """True when a CUDA error has ended this process's use of the device (a kernel that read outside its memory)."""
    return isinstance(error, RuntimeError) and "CUDA error" in text_of(error) and not is_out_of_memory(error)
