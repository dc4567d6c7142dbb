"""An `nn.Module` made to read the shared buffers."""

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lnbench.errors import Unsupported, in_a_line, text_of
from lnbench.functions import ALPHA_SHAPE, Function, parameter_shape
from lnbench.workload import Workload

_LEARNED = ("alpha", "weight", "bias")


class _Found(NamedTuple):
    """A tensor of a module, or the place of one that is None: who owns it, its name there, and its whole name."""

    owner: nn.Module
    name: str
    whole: str
    is_parameter: bool

    @property
    def table(self) -> Any:
        """The owner's map of parameters or buffers; that of a scripted module has little more than keys and items."""
        return self.owner._parameters if self.is_parameter else self.owner._buffers

    @property
    def tensor(self) -> Tensor | None:
        found: Tensor | None = self.table[self.name]
        return found


def as_callable(built: Any) -> Any:
    """What a builder gave, with a program of `torch.export` as the module that it can be called as."""
    programs = sys.modules.get("torch.export.exported_program")  # whoever exported something has it loaded
    return built.module() if programs is not None and isinstance(built, programs.ExportedProgram) else built


def bind_module(
    module: nn.Module, function: Function, workload: Workload, tensors: Mapping[str, Tensor | None]
) -> tuple[list[tuple[str, Tensor]], tuple[str, ...]]:
    """Make a module's parameters and running statistics the shared buffers, by name, and set its mode.

    They are found at any depth, and one may stand in several places. A parameter that the workload does not have
    becomes None, and one that is frozen stays so. Other buffers are left alone. Gives the (gradient name, parameter)
    pairs, and the names of the parameters that became None.
    Raises Unsupported, with what to do, where a tensor is missing or can't be matched: nothing was computed yet.
    """
    instead = f"register forward(x, {', '.join(function.parameters)})"
    shapes = dict.fromkeys(tensors, parameter_shape(function, workload)) | {"alpha": ALPHA_SHAPE}
    first: dict[str, tuple[_Found, Tensor]] = {}
    bound: dict[str, Tensor | None] = {}
    for found in _tensors_of(module):
        present = found.tensor
        if present is None:
            continue
        if is_lazy(present):
            text = f"the module's {found.whole} has no shape before its first call"
            raise Unsupported(f"{text}: build it with its sizes, or call it once in the builder")
        is_constant = not found.is_parameter and found.name in _LEARNED  # as zeros in place of a bias
        if found.name not in tensors or is_constant:
            _refuse_unknown(found, present, known=tensors, instead=instead)
            continue
        before, original = first.setdefault(found.name, (found, present))
        if present is not original:
            text = f'the module has two tensors called "{found.name}", {before.whole} and {found.whole}'
            raise Unsupported(f"{text}, the workload has one: {instead}")
        own, shape = tensors[found.name], shapes[found.name]
        if found.name == "alpha" and own is not None and not present.dim():  # a number without axes does too
            own = own.detach().reshape(()).requires_grad_(own.requires_grad)
        elif present.shape != shape:
            text = f"the module's {found.whole} is {tuple(present.shape)}, the workload's is {shape}"
            raise Unsupported(f"{text}: give it that shape, or {instead}")
        if found.name not in bound:
            bound[found.name] = _as_own(found, own)
        _put(found, bound[found.name], instead=instead)
    missing = [name for name, tensor in tensors.items() if tensor is not None and name not in bound]
    if missing:
        raise Unsupported(_what_is_missing(missing[0], workload, instead=instead))
    module.to(workload.device)
    with suppress(NotImplementedError):  # an exported program keeps the mode in which it was exported
        module.train(workload.norm_mode != "eval")
    wanted = [(f"d{name}", tensor) for name, tensor in bound.items() if name in _LEARNED and tensor is not None]
    return wanted, tuple(name for name, tensor in bound.items() if tensor is None)


def require_to_run_without(module: nn.Module, removed: Collection[str], arguments: Collection[Tensor]) -> None:
    """Call a module once, and raise Unsupported where it can't do without the parameters that were removed.

    Any other error is its own, and passes through.
    """
    try:
        with torch.no_grad():
            module(*arguments)
    except Exception as error:
        if "None" not in text_of(error):
            raise
        names = " and ".join(removed)
        text = f"the workload has no {names}, and the module can't run without ({in_a_line(error)})"
        raise Unsupported(f"{text}: build it without where workload.affine says so") from error


def _tensors_of(module: nn.Module) -> Iterator[_Found]:
    """The places of all parameters and buffers, those of a module before those of the modules in it."""
    for path, owner in module.named_modules():
        for is_parameter, names in ((True, owner._parameters.keys()), (False, owner._buffers.keys())):
            for name in list(names):
                yield _Found(owner, name, f"{path}.{name}" if path else name, is_parameter)


def _refuse_unknown(found: _Found, present: Tensor, *, known: Collection[str], instead: str) -> None:
    """Raise Unsupported for a parameter that no shared buffer stands for, and for a buffer without values."""
    if found.is_parameter:
        text = f'the module\'s "{found.whole}" is not one of {", ".join(known)}'
        raise Unsupported(f"{text}: name it so, or {instead}")
    if present.is_meta:
        raise Unsupported(f"the module's {found.whole} is on the meta device, and has no values: {instead}")


def _as_own(found: _Found, tensor: Tensor | None) -> Tensor | None:
    """A shared buffer as what a module holds in that place."""
    if tensor is None or not found.is_parameter:
        return tensor
    return nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)


def _put(found: _Found, tensor: Tensor | None, *, instead: str) -> None:
    """Replace a module's tensor. A scripted one takes no None: its code was compiled for a tensor."""
    try:
        found.table[found.name] = tensor
    except (RuntimeError, TypeError) as error:
        if tensor is None:
            text = f"the workload has no {found.name}, and a scripted module keeps its own"
            raise Unsupported(f"{text}: build it without where workload.affine says so, or {instead}") from error
        raise Unsupported(f"the module's {found.whole} can't be replaced ({in_a_line(error)}): {instead}") from error


def _what_is_missing(name: str, workload: Workload, *, instead: str) -> str:
    """A module without a parameter can be measured where the workload has none either."""
    if name not in _LEARNED:
        return f'the module has no buffer called "{name}", which the workload has: build it with one, or {instead}'
    if name == "alpha":
        return f'the module has no parameter called "alpha": name it so, or {instead}'
    without = "none" if name == "weight" or workload.affine != "both" else "weight"
    text = f'the module has no parameter called "{name}", which the workload has'
    return f"{text}: name it so, {instead}, or measure it with affine: {without}"
