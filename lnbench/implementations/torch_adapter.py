"""Makes a `Prepared` of what a PyTorch builder gives: a callable or an `nn.Module`, with autograd for backward."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lnbench.errors import PluginError, Unsupported, text_of
from lnbench.functions import Function, gradient_names
from lnbench.implementations.contract import MOST_REMARK, WrongResultError
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.implementations.torch_autocast import autocast_call
from lnbench.implementations.torch_compiling import compilations
from lnbench.implementations.torch_modules import as_callable, bind_module, require_to_run_without
from lnbench.implementations.torch_results import (
    Check,
    kind,
    read_overwritten_results,
    read_results,
    storages,
)
from lnbench.implementations.torch_upstream import Upstream
from lnbench.workload import Autocast, Layout, Workload

_REENTRANT = "use_reentrant=True"
"""Stands in what PyTorch says of reentrant checkpointing (2.11 to 2.13)."""


class TorchPrepared:
    """A PyTorch case bound to the shared buffers.

    Gradients come from `torch.autograd.grad` over x and the affine parameters, or those of them that the workload asks
    for, so nothing accumulates and nothing needs zeroing; each backward runs on the graph of its own forward. What is
    frozen does not require a gradient, so that kernels can leave its work out.
    `writes_dy`: backward reads copies of the upstream gradients, one for each pair, which `renew_dy` fills anew.
    """

    inference: Callable[[], Any]
    forward: Callable[[], Any]
    backward: Callable[[Any], Any]
    repeats: bool | None = None
    no_step: str = ""
    forward_backward: Callable[[], object] | None = None
    on_torch_stream: bool = True
    copies: tuple[str, ...] = ()
    compiles: bool = False
    renew_dy: Callable[[], object] | None = None

    def __init__(
        self, built: Any, function: Function, workload: Workload, arrays: TorchArrays, *, writes_dy: bool = False
    ) -> None:
        if writes_dy and workload.layout == Layout.EXPANDED_DY:
            raise Unsupported("its backward writes into dy, which expanded_dy makes one element")
        self._function = function
        self._workload = workload
        self._arrays = arrays
        self.overwrites_results = bool(getattr(built, "overwrites_results", False))
        self.remark = str(getattr(built, "remark", ""))[:MOST_REMARK]
        self._leaves = arrays.leaves(function)
        self._running = arrays.running_statistics() if function.has_running_statistics else None
        self._names = gradient_names(function, workload)
        tensors = {
            name: None if parameter is None else parameter.detach().requires_grad_(f"d{name}" in self._names)
            for name, parameter in arrays.learned(function).items()
        }
        self._parameters = [(f"d{name}", parameter) for name, parameter in tensors.items() if parameter is not None]
        if self._running:
            tensors |= dict(zip(("running_mean", "running_var"), self._running, strict=True))
        built = as_callable(built)
        if isinstance(built, nn.Module):
            self._parameters, removed = bind_module(built, function, workload, tensors)
            if removed:
                require_to_run_without(built, removed, self._leaves[0])
            call: Callable[..., Any] = built
        elif callable(built) and not isinstance(built, type):
            arguments = tuple(tensors[name] for name in function.parameters if name != "residual")
            if function.has_residual:
                call = lambda x, residual: built(x, residual, *arguments)  # noqa: E731  # named by what calls it
            else:
                call = lambda x: built(x, *arguments)  # noqa: E731  # as above
        else:
            raise _no_implementation(built)
        self._call = autocast_call(call, workload)
        found = dict(self._parameters)
        self._wanted_parameters = tuple(found[name] for name in self._names if name in found)
        self._upstream = Upstream(arrays, self._differentiated, copied=writes_dy)
        if workload.autocast == Autocast.NONE:
            self._upstream.bind(dict.fromkeys(function.outputs, self._leaves[0][0].dtype))
        self.select(0)

    def select(self, index: int) -> None:
        """Bind the calls to one pair of x and dy, with what belongs to it."""
        leaves = self._leaves[index]
        upstream = None if self._upstream.pairs is None else self._upstream.pairs[index]
        if self._function.has_residual:
            self._bind_with_residual(*leaves, wanted=self._wanted(leaves), upstream=upstream)
        else:
            self._bind(*leaves, wanted=self._wanted(leaves), upstream=upstream)
        if upstream is None:
            self.backward = lambda saved: self._first_backward(saved, index)
        elif self._upstream.copied:
            self.renew_dy = lambda: self._upstream.renew(index)

    # What the calls need is bound as locals, so that a call costs nothing extra; and each has a name of its own, by
    # which the stack of a process that died tells what it was doing.
    def _bind(self, x: Tensor, *, wanted: tuple[Tensor, ...], upstream: tuple[Tensor, ...] | None) -> None:
        call, grad, dy = self._call, torch.autograd.grad, None if upstream is None else upstream[0]

        def inference() -> Any:
            return call(x)

        def forward() -> Any:
            return call(x)

        def backward(saved: Any) -> Any:
            return grad(saved, wanted, dy)

        self.inference, self.forward, self.backward = inference, forward, backward

    def refresh(self) -> None:
        """Nothing is copied but what backward writes into."""
        self._upstream.renew_all()

    def _bind_with_residual(
        self, x: Tensor, residual: Tensor, *, wanted: tuple[Tensor, ...], upstream: tuple[Tensor, ...] | None
    ) -> None:
        call, grad, last = self._call, torch.autograd.grad, len(self._differentiated)

        def inference() -> Any:
            return call(x, residual)

        def forward() -> Any:
            return call(x, residual)

        def backward(saved: Any) -> Any:
            return grad(saved[:last], wanted, upstream)

        self.inference, self.forward, self.backward = inference, forward, backward

    @property
    def _differentiated(self) -> tuple[str, ...]:
        """The outputs that gradients flow back from: none reaches the sum where x and the residual want none."""
        return self._function.outputs if "dx" in self._names else ("y",)

    def _wanted(self, leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What is differentiated, in the order of the gradients' names; frozen tensors are left out."""
        return (*leaves, *self._wanted_parameters) if "dx" in self._names else self._wanted_parameters

    def _first_backward(self, saved: Any, index: int) -> Any:
        """The first backward under autocast, which decides y's dtype: from then on dy is there in that, once cast."""
        self._upstream.bind(self._dtypes(saved if isinstance(saved, tuple) else (saved,)))
        self.select(index)
        return self.backward(saved)

    def _dtypes(self, outputs: tuple[Tensor, ...]) -> dict[str, torch.dtype]:
        return {name: output.dtype for name, output in zip(self._function.outputs, outputs, strict=True)}

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
        self.renew_dy = None  # it holds this case, and so its memory, in a cycle

    def outputs(self) -> Mapping[str, Tensor]:
        self.select(0)  # a rotation leaves the calls bound to the pair it ended at
        names, given = self._function.outputs, storages(self._given())
        check = Check(names, like=self._leaves[0][0], given=given, may_widen=self._workload.autocast != Autocast.NONE)
        read = read_overwritten_results if self.overwrites_results else read_results
        found = read(self, self._gradients, check)
        self.repeats = found.repeats
        inferences = {f"inference_{name}": result for name, result in zip(names, found.inferred, strict=True)}
        return {**inferences, **dict(zip(names, found.outputs, strict=True)), **found.gradients}

    def saved_bytes(self) -> int:
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            results = self.forward()
            if self.overwrites_results:
                self.backward(results)  # CUDA graphs wait for it before they reuse the memory of this forward
        others = [*(results if isinstance(results, tuple) else (results,)), *(leaf for _, leaf in self._parameters)]
        others += [leaf for pair in self._leaves for leaf in pair] + self._arrays.all_buffers()
        for storage in storages([*others, *(self._running or ())]):
            saved.pop(storage, None)
        return sum(saved.values())

    def _given(self) -> list[Tensor]:
        """What the case reads of the first pair: no output may lie there."""
        upstream = [self._arrays.upstream(name, self._leaves[0][0].dtype)[0] for name in self._differentiated]
        return [*self._leaves[0], *upstream, *(parameter for _, parameter in self._parameters)]

    def _gradients(self, outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """What one backward gives, by name."""
        flowing = outputs[: len(self._differentiated)]
        if not all(output.requires_grad and output.grad_fn is not None for output in flowing):
            raise WrongResultError("the result is detached from the graph: no gradient can flow back")
        wanted = self._wanted(self._leaves[0])
        upstream = self._upstream.first(self._dtypes(outputs))
        try:
            gradients = torch.autograd.grad(flowing, wanted, upstream, allow_unused=True)
        except RuntimeError as error:
            if _REENTRANT in text_of(error):
                raise Unsupported(
                    f"activation checkpointing with {_REENTRANT} works with .backward() alone, and gradients come from "
                    "torch.autograd.grad here; use_reentrant=False works"
                ) from error
            raise
        found = dict(zip(self._names, gradients, strict=True))
        for (name, gradient), leaf in zip(found.items(), wanted, strict=True):
            if gradient is None:
                raise WrongResultError(
                    f"no gradient reaches {name.removeprefix('d')}: what torch.autograd.grad gives is read, so a "
                    "backward that adds to a buffer (main_grad) has to return it too"
                )
            if gradient.dtype != leaf.dtype or gradient.shape != leaf.shape:
                raise WrongResultError(f"{name} is {kind(gradient)}, its tensor is {kind(leaf)}")
        return found


def _no_implementation(built: Any) -> PluginError:
    """What to say of a builder that gives what can't be called with tensors."""
    if isinstance(built, type):
        found, hint = f"the class {built.__name__}", "give an instance of it"
    else:
        found, hint = f"a {type(built).__name__}", "is a `return` missing?" if built is None else ""
    return PluginError(f"the builder gave {found}, not a callable or an nn.Module", hint=hint)


def flushes_denormals() -> bool:
    """True when PyTorch's arithmetic takes numbers below the normal range for zero, as `set_flush_denormal` does."""
    return not bool((torch.full((64,), 1e-38) * 1e-4).any())


_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")
"""What PyTorch's allocator for the CPU says, and what other C++ code does, in RuntimeErrors."""

_OUT_OF_DEVICE_MEMORY = (
    "RESOURCE_EXHAUSTED",  # XLA and what is built on it
    "ResourceExhausted",
    "OOM when allocating",  # TensorFlow
    "CUDA error: out of memory",  # PyTorch, outside its allocator
    "CUDA out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",  # the driver, as XLA, Triton and CuPy name its answer
    "cudaErrorMemoryAllocation",
    "STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN and cuSOLVER
    "Failed to allocate memory for requested buffer",  # ONNX Runtime
)
"""In errors of any kind: each library has its own. A lack of shared memory or registers is not meant."""


def is_out_of_memory(error: BaseException) -> bool:
    """True for what PyTorch, Python and other frameworks raise when memory runs out, the host's or a device's."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = f"{type(error).__name__}: {text_of(error)}"
    words = (*_OUT_OF_MEMORY, *_OUT_OF_DEVICE_MEMORY) if isinstance(error, RuntimeError) else _OUT_OF_DEVICE_MEMORY
    return any(it in text for it in words)
