"""An `nn.Module` made to read the shared buffers."""

from collections.abc import Mapping

from torch import Tensor, nn

from lnbench.functions import Function, parameter_shape
from lnbench.implementations.contract import WrongResultError
from lnbench.workload import Workload


def bind_module(
    module: nn.Module, function: Function, workload: Workload, tensors: Mapping[str, Tensor | None]
) -> list[tuple[str, Tensor]]:
    """Make a module's parameters and running statistics the shared buffers, by name, and set its mode.

    A parameter that the workload does not have becomes None, and one that is frozen stays so. Gives the
    (gradient name, parameter) pairs.
    Raises WrongResultError when the module lacks a parameter or has one that can't be matched.
    """
    wanted: list[tuple[str, Tensor]] = []
    seen: set[str] = set()
    shape = parameter_shape(function, workload)
    places = [
        (owner, name)
        for owner in module.modules()
        for name in (*owner._parameters, *owner._buffers)
        if name != "num_batches_tracked"
    ]
    for owner, name in places:
        if name not in tensors or name in seen:
            raise WrongResultError(f'the module\'s "{name}" is not one of {", ".join(tensors)}')
        seen.add(name)
        tensor, present = tensors[name], getattr(owner, name)
        if present is not None and present.shape != shape:
            raise WrongResultError(f"the module's {name} is {tuple(present.shape)}, the workload's is {shape}")
        if present is None and tensor is not None:
            raise WrongResultError(f"the module has no {name}, the workload has")
        if name in owner._parameters:
            bound = None if tensor is None else nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
            owner._parameters[name] = bound
            if bound is not None:
                wanted.append((f"d{name}", bound))
        else:
            owner._buffers[name] = tensor
    missing = [name for name, tensor in tensors.items() if tensor is not None and name not in seen]
    if missing:
        raise WrongResultError(f"the module has no {missing[0]}, the workload has")
    module.to(workload.device)
    module.train(workload.norm_mode != "eval")
    return wanted
