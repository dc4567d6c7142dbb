"""Makes a `Prepared` of a case of another framework: completion forced, results checked, PyTorch left out of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypedDict

import torch
from torch import Tensor

from lnbench.errors import PluginError, Unsupported
from lnbench.functions import Function, gradient_names, judged_as, result_shape
from lnbench.implementations.contract import MOST_REMARK, WrongResultError
from lnbench.implementations.framework import Arrays
from lnbench.implementations.framework_results import Result, checked_result, named_gradients, read_returned
from lnbench.implementations.oracle import Inputs
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.implementations.torch_results import same_bits
from lnbench.workload import Autocast, Cache, Layout, Workload

Prepare = Callable[[Workload, Arrays], Any]

_NO_STEP = "it has no forward and backward"
_EVERY_CASE = ("inference", "wait", "outputs", "close")


class _Kind(TypedDict):
    dtype: str
    shape: tuple[int, ...]


class ArrayPrepared:
    """A case of another framework, bound to the shared buffers.

    On the CPU every call is followed by `wait`, so that its time is that of finished work. On CUDA a block of calls is:
    the framework has streams of its own, which CUDA events of PyTorch's do not see.
    """

    on_torch_stream: bool = False
    overwrites_results: bool = False
    renew_dy: Callable[[], object] | None = None
    repeats: bool | None = None
    inference: Callable[[], Any]
    forward: Callable[[], Any]
    backward: Callable[[Any], Any]
    forward_backward: Callable[[], Any] | None = None

    def __init__(self, prepare: Prepare, function: Function, workload: Workload, arrays: TorchArrays) -> None:
        self._function = function
        self._workload = workload
        self._arrays = arrays
        self._running = arrays.running_statistics() if function.has_running_statistics else None
        self._handed = _hand_over(function, workload, arrays, self._running)
        self._finish_values()
        made = prepare(workload, self._handed)
        _require_contract(made, pairs=len(self._handed.pairs))
        self._made: Any = made  # a FrameworkCase, with or without what is optional there
        self.no_step = "" if _has(made, "forward") else str(getattr(made, "no_step", "") or _NO_STEP)
        self.copies: tuple[str, ...] = tuple(getattr(made, "copies", ()))
        self.compiles = bool(getattr(made, "compiles", False))
        self.remark = str(getattr(made, "remark", ""))[:MOST_REMARK]
        self.on_torch_stream = bool(getattr(made, "on_torch_stream", False))
        if workload.is_cuda and workload.cache != Cache.HOT and not self.on_torch_stream:
            raise Unsupported("cold caches on a GPU need PyTorch's events, which do not see another framework's stream")
        self._bind()

    def select(self, index: int) -> None:
        if len(self._handed.pairs) > 1:
            self._made.select(index)

    def refresh(self) -> None:
        self._finish_values()
        if _has(self._made, "refresh"):
            self._made.refresh()

    def inputs(self) -> Inputs:
        """What the case reads now, for the oracle."""
        return self._arrays.inputs(self._function, self._running)

    def wait(self) -> None:
        self._made.wait()

    def without_gradients(self) -> AbstractContextManager[None]:
        return torch.no_grad()

    @contextmanager
    def steady(self) -> Iterator[None]:
        yield

    def compilations(self) -> int:
        return 0

    def saved_bytes(self) -> None:
        """Not known: what another framework keeps is not PyTorch's."""

    def close(self) -> None:
        self._made.close()

    def outputs(self) -> Mapping[str, Tensor]:
        self.select(0)
        timed = self._timed_results()
        first, second = self._checked(self._made.outputs()), self._checked(self._made.outputs())
        for name in first:
            if first[name].address == second[name].address:
                raise WrongResultError(
                    f"two calls return {name} in the same memory: a result must stay valid while the next is made"
                )
        gradients = [name for name in first if name in self._handed.gradients]
        if gradients:
            self.repeats = all(same_bits(first[name].values, second[name].values) for name in gradients)
        return {name: found.values for name, found in first.items()} | timed

    def _timed_results(self) -> dict[str, Tensor]:
        """What the timed calls themselves return, whatever `outputs` computes, under names that begin with `timed_`.

        Raises WrongResultError where that can't be told, so that what is timed may be nothing.
        """
        names = self._handed.gradients
        found = {"timed_y": self.inference()}
        if not self.no_step:
            saved = self.forward()
            if saved is None:
                raise WrongResultError("forward() returns nothing, and backward needs what it saved")
            gradients = named_gradients("backward(saved)", self.backward(saved), names)
            found |= {f"timed_{name}": value for name, value in gradients.items()}
        if self.forward_backward is not None:
            step = self.forward_backward()
            if not isinstance(step, tuple | list) or len(step) != 2:
                raise WrongResultError("forward_backward() gives no pair of y and the gradients")
            gradients = named_gradients("forward_backward()", step[1], names)
            found |= {"timed_step_y": step[0]} | {f"timed_step_{name}": it for name, it in gradients.items()}
        self._made.wait()  # on a GPU the calls do not, and nothing orders their stream before the one that reads
        return {name: read_returned(name, value, **self._kind_of(name)) for name, value in found.items()}

    def _finish_values(self) -> None:
        """Let PyTorch finish what it writes into the shared buffers.

        A framework reads them on streams of its own. TensorFlow waits for no other stream, JAX only when it wraps a
        buffer.
        """
        if self._workload.is_cuda:
            torch.cuda.synchronize(self._workload.device)

    def _bind(self) -> None:
        """Bind the calls, each with a name by which the stack of a process that died tells what it was doing."""
        made, wait = self._made, self._made.wait
        run_inference = made.inference
        run_forward, run_backward = getattr(made, "forward", None), getattr(made, "backward", None)
        run_step = getattr(made, "forward_backward", None)

        def inference() -> Any:
            result = run_inference()
            wait()
            return result

        def forward() -> Any:
            saved = run_forward()  # type: ignore[misc]  # called only where the case has it
            wait()
            return saved

        def backward(saved: Any) -> Any:
            gradients = run_backward(saved)  # type: ignore[misc]  # as above
            wait()
            return gradients

        def forward_backward() -> Any:
            results = run_step()  # type: ignore[misc]  # as above
            wait()
            return results

        if self._workload.is_cuda:
            self.inference = run_inference
            self.forward, self.backward = run_forward or forward, run_backward or backward
            self.forward_backward = run_step
        else:
            self.inference, self.forward, self.backward = inference, forward, backward
            self.forward_backward = forward_backward if run_step is not None else None

    def _checked(self, given: Any) -> dict[str, Result]:
        """The results by name, if each is there and of the right kind."""
        if not isinstance(given, Mapping):
            raise WrongResultError(f"outputs() gives a {type(given).__name__}, not a map of names to arrays")
        wanted = ["inference_y"]
        if not self.no_step:
            wanted += ["y", *self._handed.gradients]
        if self.forward_backward is not None:
            wanted += ["step_y", *(f"step_{name}" for name in self._handed.gradients)]
        missing = [name for name in wanted if name not in given]
        if missing:
            raise WrongResultError(f"outputs() has no {missing[0]}; it gives {', '.join(map(str, given))[:100]}")
        return {name: self._result(name, given[name]) for name in wanted}

    def _result(self, name: str, value: Any) -> Result:
        result = checked_result(name, value, **self._kind_of(name))
        if result.address in {it.data_ptr() for pair in self._handed.pairs for it in pair}:
            raise WrongResultError(f"{name} is a view of an input")
        return result

    def _kind_of(self, name: str) -> _Kind:
        """The dtype and shape of the result behind a name."""
        judged = judged_as(name)
        learned = judged in {"dalpha", "dweight", "dbias"}
        dtype = self._workload.param_dtype if learned else self._workload.dtype
        return {"dtype": dtype, "shape": result_shape(self._function, self._workload, judged)}


def _hand_over(
    function: Function, workload: Workload, arrays: TorchArrays, running: tuple[Tensor, Tensor] | None
) -> Arrays:
    """The shared buffers as the fuller contract names them. Raises Unsupported for a layout that it does not have."""
    if function.has_residual:
        raise Unsupported(f"{function.name} is PyTorch's: arrays of other frameworks have no residual")
    if workload.autocast != Autocast.NONE:
        raise Unsupported("autocast is PyTorch's")
    if workload.layout != Layout.CONTIGUOUS:
        raise Unsupported(f"arrays of other frameworks are contiguous; layout {workload.layout} is PyTorch's")
    mean, variance = running or (None, None)
    return Arrays(
        pairs=tuple(zip(arrays.x, arrays.dy, strict=True)),
        gradients=gradient_names(function, workload),
        **arrays.learned(function),
        running_mean=mean,
        running_var=variance,
    )


def _require_contract(made: Any, *, pairs: int) -> None:
    """Raise where an object is not what the fuller contract asks for."""
    missing = [name for name in _EVERY_CASE if not _has(made, name)]
    if made is None:
        raise PluginError("the builder gave None, not a case", hint="is a `return` missing?")
    if missing:
        raise PluginError(f"the builder gave a {type(made).__name__}, which has no {missing[0]}()")
    if _has(made, "forward") != _has(made, "backward"):
        raise PluginError("a case has both forward() and backward(saved), or neither")
    if getattr(made, "copies", ()) and not _has(made, "refresh"):
        raise PluginError("a case that copies its inputs needs refresh(), which takes over new values")
    if pairs > 1 and not _has(made, "select"):
        raise Unsupported("cold caches rotate through several inputs, and it has no select(index)")


def _has(made: Any, name: str) -> bool:
    return callable(getattr(made, name, None))
