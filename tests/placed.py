"""Tensors with the device that they would lie on: what PyTorch refuses of a card's and the CPU's tensors is refused.

All of them are the CPU's, and keep a mark. Made on "cuda", or moved there, they are marked so, and so is what is
computed from them; `device` and `is_cuda` answer with the mark.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")

_READ_BY_THE_HOST = ("numpy", "__array__")
_ACROSS = ("copy_",)
"""What takes tensors of two devices."""

_RAW = ("untyped_storage", "data_ptr", "__repr__")


class Placed(TorchFunctionMode):
    """A context in which every tensor has a place. What a generator of a card draws is drawn on the CPU, and moved."""

    def __enter__(self):
        self._generator, torch.Generator = torch.Generator, _GeneratorOnTheCpu
        return super().__enter__()

    def __exit__(self, *error):
        torch.Generator = self._generator
        return super().__exit__(*error)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", "")
        if name == "__get__":
            return _read(function, args)
        wanted, args, kwargs = _target(name, args, kwargs)
        tensors = list(_tensors((args, kwargs)))
        found = {place_of(tensor) for tensor in tensors if name in _RAW or tensor.dim() or place_of(tensor) != CPU}
        if len(found) > 1 and name not in _ACROSS:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two: {name}")
        if name in _READ_BY_THE_HOST and CUDA in found:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        result = function(*args, **kwargs)
        here = place_of(tensors[0]) if name in _ACROSS else next(iter(found), CPU)
        for tensor in _tensors(result):
            tensor.place = wanted or here
        return result


class _GeneratorOnTheCpu(torch.Generator):
    def __new__(cls, device="cpu"):
        return super().__new__(cls)


def place_of(tensor: Tensor) -> torch.device:
    """Where a tensor would lie."""
    return tensor.__dict__.get("place", CPU)


def _read(function, args):
    """A property of a tensor."""
    (tensor, *_), owner = args, function.__self__
    if owner is Tensor.device:
        return place_of(tensor)
    if owner is Tensor.is_cuda:
        return place_of(tensor) == CUDA
    result = function(*args)
    for made in _tensors(result):
        made.place = place_of(tensor)
    return result


def _target(name, args, kwargs):
    """The device that a call moves to or makes on, None where it names none; and the call without it."""
    wanted = None
    if "device" in kwargs and kwargs["device"] is not None:
        wanted = _device(kwargs["device"])
        kwargs["device"] = CPU
    if name == "to":
        devices = [it for it in args[1:] if isinstance(it, str | torch.device)]
        wanted = _device(devices[0]) if devices else wanted
        args = (args[0], *(CPU if isinstance(it, str | torch.device) else it for it in args[1:]))
        if wanted is not None and wanted != place_of(args[0]):
            kwargs["copy"] = True  # it is another tensor, as between two memories
    if name == "cpu":
        wanted = CPU
        args = (args[0].clone(),)
    if name == "cuda":
        raise AssertionError("moved by name: give the device of the workload")
    return wanted, args, kwargs


def _device(named) -> torch.device:
    return CUDA if torch.device(named).type == "cuda" else CPU


def _tensors(found) -> Iterator[Tensor]:
    return (it for it in tree_leaves(found) if isinstance(it, Tensor))
