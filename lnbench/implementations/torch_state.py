"""PyTorch's settings that hold for a whole process: what one implementation leaves behind, all others run under."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them. `changes_speed`: with another value the work itself is another, and turns can't be compared."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    changes_speed: bool = False


def _set_default_device(found: torch.device) -> None:
    """The CPU is what holds without any; setting it would put a mode around every call."""
    torch.set_default_device(None if found.type == "cpu" else found)


_TINY = torch.full((1,), 1e-38)


def _flushes_denormals() -> bool:
    """True when numbers below the normal range are taken for zero; there is no other way to ask."""
    return _TINY.mul(1e-4).item() == 0.0


_SHARED_FUNCTIONS = (
    (torch.autograd, "grad"),
    (torch, "layer_norm"),
    *((functional, name) for name in ("layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm")),
    *((kind, "forward") for kind in (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)),
)
"""What others call, and libraries of kernels replace by their own."""


class _Functions(tuple[Any, ...]):
    """Functions themselves; they compare by identity."""

    def __str__(self) -> str:
        return "its own"


def _functions() -> _Functions:
    return _Functions(getattr(owner, name) for owner, name in _SHARED_FUNCTIONS)


def _set_functions(functions: _Functions) -> None:
    for (owner, name), function in zip(_SHARED_FUNCTIONS, functions, strict=True):
        setattr(owner, name, function)


def _uses_cuda() -> bool:
    """True when this process has used CUDA so far; asking for more than that would start it."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]  # PyTorch has not annotated it


def _current_device() -> int:
    """0 also where CUDA was not used so far."""
    return torch.cuda.current_device() if _uses_cuda() else 0


def _current_stream() -> Any:
    """The stream that PyTorch's work goes to; None where CUDA was not used so far and for the one it begins with."""
    if not _uses_cuda():
        return None
    current = torch.cuda.current_stream()
    return None if current == torch.cuda.default_stream() else current


def _set_stream(stream: Any) -> None:
    torch.cuda.set_stream(torch.cuda.default_stream() if stream is None else stream)


def _cudnn_flag(name: str) -> Setting:
    return Setting(
        f"flag {name} of cuDNN",
        lambda: getattr(torch.backends.cudnn, name),
        lambda value: setattr(torch.backends.cudnn, name, value),
    )


TORCH_SETTINGS = (
    # Before the stream, which is one of the current device's; events are recorded there.
    Setting("current CUDA device", _current_device, torch.cuda.set_device, changes_speed=True),
    Setting("current CUDA stream", _current_stream, _set_stream, changes_speed=True),
    *map(_cudnn_flag, ("enabled", "benchmark", "deterministic")),
    Setting("number of threads", torch.get_num_threads, torch.set_num_threads, changes_speed=True),
    Setting("default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("default device", torch.get_default_device, _set_default_device),
    Setting("treatment of denormals", _flushes_denormals, torch.set_flush_denormal, changes_speed=True),
    Setting("functions of PyTorch", _functions, _set_functions),
    Setting("precision of matmul", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Setting("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    Setting(
        "deterministic algorithms",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    Setting(
        "autocast on the CPU",
        lambda: torch.is_autocast_enabled("cpu"),
        lambda value: torch.set_autocast_enabled("cpu", value),
    ),
    Setting(
        "autocast on CUDA",
        lambda: torch.is_autocast_enabled("cuda"),
        lambda value: torch.set_autocast_enabled("cuda", value),
    ),
)
"""Seeds are not among them: inputs are drawn from generators of our own."""
