"""Tensors on the pretended GPU: a CPU build of PyTorch makes and computes them, and refuses to mix them with others.

A dispatch mode sees every operation below autograd. It makes on the CPU what is asked for on "cuda", tags the results,
puts the time that the CPU took in line on the device's stream, and raises what PyTorch raises where the tensors of an
operation lie on two devices. What Python code asks a tensor about its device is answered from the tag.
"""

from collections.abc import Callable, Sequence
from math import prod
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tools.gpu_check.pretended.device import DEVICE
from tools.gpu_check.pretended.placement import Placement, storage_of

PLACEMENT = Placement(DEVICE)

_aten = torch.ops.aten
_MAY_MIX = {
    _aten.copy_.default,
    _aten._to_copy.default,
    # A CPU tensor may index one on CUDA.
    _aten.index.Tensor,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}
"""Operations that take tensors of two devices."""

_HERE = torch.device("cuda", 0)
_real_device = Tensor.device
_real_numpy = Tensor.numpy
_real_to = Tensor.to
_real_tensor = torch.tensor
_real_as_tensor = torch.as_tensor


class _OnPretendedGpu(TorchDispatchMode):
    """Redirects what is asked for on CUDA to the CPU, and keeps account of where it lies."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Marking this for the compiler would import the compiler (torch 2.13)."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        given = _tensors((args, named))
        asked = named.get("device")
        is_asked_for = asked is not None and torch.device(asked).type == "cuda"
        if not is_asked_for and not any(map(PLACEMENT.holds, given)):
            return func(*args, **named)
        DEVICE.require_alive()
        if func not in _MAY_MIX:
            _require_one_device(given)
        if is_asked_for:
            named["device"] = torch.device("cpu")
            _require_memory(args, named)
        launched = perf_counter()
        result = func(*args, **named)
        seconds = perf_counter() - launched
        made = _tensors(result)
        known = set(map(storage_of, given))
        for tensor in made:
            if storage_of(tensor) not in known:
                PLACEMENT.put(tensor)
        DEVICE.enqueue(seconds, launched=launched)
        if not all(map(PLACEMENT.holds, made)) or not made:  # the host waits for what it reads
            DEVICE.synchronize()
        return result


def pretend_tensors() -> None:
    """Redirect this process's tensors, for good."""
    replaced: dict[str, Any] = {
        "device": property(_device),
        "is_cuda": property(PLACEMENT.holds),
        "get_device": lambda self: 0 if PLACEMENT.holds(self) else -1,
        "to": _to,
        "cpu": lambda self, **named: _to(self, "cpu", **named),
        "cuda": lambda self, device=None, **named: _to(self, _HERE if device is None else device, **named),
        "numpy": _numpy,
    }
    for name, value in replaced.items():
        setattr(Tensor, name, value)
    made_here: dict[str, Any] = {"tensor": _made(_real_tensor), "as_tensor": _made(_real_as_tensor)}
    for name, value in {**made_here, "Generator": _Generator}.items():
        setattr(torch, name, value)
    _OnPretendedGpu().__enter__()


def _tensors(value: Any) -> list[Tensor]:
    """The tensors with memory in a nest of values."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


def _require_one_device(tensors: Sequence[Tensor]) -> None:
    """A tensor without axes may lie on the CPU, as a number does."""
    places = {PLACEMENT.holds(tensor) for tensor in tensors if tensor.dim()}
    if len(places) > 1:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
        )


def _require_memory(args: Sequence[Any], named: dict[str, Any]) -> None:
    size = args[0] if args and isinstance(args[0], list | tuple | torch.Size) else ()
    asked_b = prod(size) * (named.get("dtype") or torch.get_default_dtype()).itemsize
    if asked_b > DEVICE.free_b:
        raise torch.OutOfMemoryError(
            f"CUDA out of memory. Tried to allocate {asked_b / 2**30:.2f} GiB. GPU 0 has {DEVICE.free_b / 2**30:.2f} "
            "GiB free."
        )


def _device(self: Tensor) -> torch.device:
    found: torch.device = _real_device.__get__(self)
    return _HERE if found.type == "cpu" and self.layout == torch.strided and PLACEMENT.holds(self) else found


def _to(self: Tensor, *args: Any, **named: Any) -> Tensor:
    """Tensor.to; what goes from one device to the other is copied, and the host waits for what it gets."""
    copy = named.pop("copy", False)
    other = named.pop("other", args[0] if args and isinstance(args[0], Tensor) else None)
    device, dtype, memory_format = None, None, named.get("memory_format")
    if other is None:
        device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **named)
    else:
        device, dtype = other.device, other.dtype
    target = (device or self.device).type
    moves = target != self.device.type
    made = _real_to(self, dtype=dtype or self.dtype, copy=copy or moves, memory_format=memory_format)
    if moves and target == "cuda":
        PLACEMENT.put(made)
    elif moves:
        PLACEMENT.take(made)
        DEVICE.synchronize()
    return made


def _numpy(self: Tensor, **named: Any) -> Any:
    if PLACEMENT.holds(self):
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )
    return _real_numpy(self, **named)


def _made(real: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that makes tensors of Python values; PyTorch hides what these do from modes."""

    def make(data: Any, *, device: Any = None, **named: Any) -> Tensor:
        made = real(data, **named)
        return made if device is None else made.to(device)

    return make


class _Generator(torch.Generator):
    """Random numbers for either device; they are the CPU's."""

    def __new__(cls, device: Any = "cpu") -> "_Generator":
        return super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self._said = torch.device(device)

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # PyTorch's stub has it as an attribute
        return self._said
