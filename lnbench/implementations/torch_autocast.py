"""Autocast as a step of training has it: on in forward, off in backward, and its cache of casts cleared in between."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from lnbench.workload import Autocast, Workload


def autocasting(workload: Workload) -> AbstractContextManager[Any]:
    """A context in which the workload's autocast holds, for what is not timed."""
    if workload.autocast == Autocast.NONE:
        return nullcontext()
    return torch.autocast(_device(workload), dtype=getattr(torch, workload.autocast))


def autocast_call(call: Callable[..., Any], workload: Workload) -> Callable[..., Any]:
    """The call under the workload's autocast; the call itself where there is none.

    It sets what `torch.autocast` sets, with the plain functions behind it: entering and leaving that context takes
    3.4 µs, as long as a small norm, and these take 1 µs.
    """
    if workload.autocast == Autocast.NONE:
        return call
    device, dtype = _device(workload), getattr(torch, workload.autocast)
    usual = torch.get_autocast_dtype(device)
    set_enabled, set_dtype = torch.set_autocast_enabled, torch.set_autocast_dtype
    enter, leave, clear = torch.autocast_increment_nesting, torch.autocast_decrement_nesting, torch.clear_autocast_cache

    def under_autocast(*tensors: Any) -> Any:
        set_dtype(device, dtype)
        set_enabled(device, True)
        enter()
        try:
            return call(*tensors)
        finally:
            if leave() == 0:
                clear()
            set_enabled(device, False)
            set_dtype(device, usual)

    return under_autocast


def _device(workload: Workload) -> str:
    return "cuda" if workload.is_cuda else "cpu"
