"""`torch.compile` of the eager and PyTorch's own formulas: one whole graph, in a code object of its own per workload.

A code object of its own, because the compiler keeps at most eight versions per code object and then runs uncompiled;
the worker has fixed the number of threads before, because changing it afterwards compiles again.

Every builder takes two options. mode: one of torch.compile's, in `MODES`. dynamic: shapes are symbols.
On CUDA the modes in `GRAPH_MODES` replay CUDA graphs: they copy x, dy and the parameters into memory of the graph at
each call, and the results lie in memory that the next call overwrites.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

import torch

from lnbench.errors import Unsupported, nearest
from lnbench.implementations import eager, fused
from lnbench.implementations.built_in import MODES
from lnbench.implementations.toolchains import require_compiler
from lnbench.workload import Workload

GRAPH_MODES = frozenset({"reduce-overhead", "max-autotune"})
"""The modes with CUDA graphs (torch._inductor.list_mode_options, torch 2.5 to 2.13)."""

Formula = TypeVar("Formula", bound=Callable[..., Any])


def layer_norm(workload: Workload, *, dynamic: bool = False, mode: str = "default") -> eager.Forward:
    """The eager LayerNorm, compiled. Raises Unsupported without the compiler that the generated code needs."""
    return _compiled(eager.layer_norm, workload, dynamic=dynamic, mode=mode)


def rms_norm(workload: Workload, *, dynamic: bool = False, mode: str = "default") -> fused.Forward:
    """`torch.nn.functional.rms_norm`, compiled. Raises Unsupported as `layer_norm` does."""
    return _compiled(fused.rms_norm, workload, dynamic=dynamic, mode=mode)


def batch_norm(workload: Workload, *, dynamic: bool = False, mode: str = "default") -> fused.Forward:
    """`torch.nn.functional.batch_norm`, compiled, with its running statistics. Raises Unsupported as `layer_norm`."""
    return _compiled(fused.batch_norm, workload, dynamic=dynamic, mode=mode)


def add_layer_norm(workload: Workload, *, dynamic: bool = False, mode: str = "default") -> eager.ForwardWithResidual:
    """The residual add and the eager LayerNorm, compiled as one, so that the compiler can fuse them."""
    return _compiled(eager.add_layer_norm, workload, dynamic=dynamic, mode=mode)


def add_rms_norm(
    workload: Workload, *, dynamic: bool = False, mode: str = "default"
) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """The residual add and PyTorch's RMS norm, compiled as one, so that the compiler can fuse them."""
    return _compiled(fused.add_rms_norm, workload, dynamic=dynamic, mode=mode)


def dyt(workload: Workload, *, dynamic: bool = False, mode: str = "default") -> eager.ForwardWithAlpha:
    """The eager dynamic tanh, compiled. Raises Unsupported as `layer_norm` does."""
    return _compiled(eager.dyt, workload, dynamic=dynamic, mode=mode)


def _compiled(build: Callable[[Workload], Formula], workload: Workload, *, dynamic: bool, mode: str) -> Formula:
    if mode not in MODES:
        raise Unsupported(f"torch.compile has no mode {mode!a}: {nearest(mode, MODES)}")
    require_compiler(workload)
    compiled: Any = torch.compile(_own_code(build(workload)), fullgraph=True, dynamic=dynamic, mode=mode)
    if workload.is_cuda and mode in GRAPH_MODES:
        compiled.overwrites_results = True
    return cast(Formula, compiled)


def _own_code(function: Formula) -> Formula:
    """The same function with a fresh code object, so that no other workload's versions count against it."""
    assert isinstance(function, FunctionType)
    fresh = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return cast(Formula, fresh)
