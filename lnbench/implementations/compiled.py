"""`torch.compile` of the eager formula: one whole graph, in a code object of its own per workload.

A code object of its own, because the compiler keeps at most eight versions per code object and then runs uncompiled;
the worker has fixed the number of threads before, because changing it afterwards compiles again.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar, cast

import torch

from lnbench.errors import Unsupported
from lnbench.implementations import eager
from lnbench.workload import Workload

_PROBE_TIMEOUT_S = 60

Formula = TypeVar("Formula", bound=Callable[..., Any])


def layer_norm(workload: Workload, *, dynamic: bool = False, mode: str | None = None) -> eager.Forward:
    """The eager LayerNorm, compiled. Raises Unsupported without the compiler that the generated code needs."""
    _require_compiler(workload)
    return _compiled(eager.layer_norm(workload), dynamic=dynamic, mode=mode)


def add_layer_norm(workload: Workload) -> eager.ForwardWithResidual:
    """The residual add and the eager LayerNorm, compiled as one, so that the compiler can fuse them."""
    _require_compiler(workload)
    return _compiled(eager.add_layer_norm(workload), dynamic=False, mode=None)


@cache
def missing_cpp_compiler() -> str:
    """Why generated C++ can't be compiled here; empty when a one-line OpenMP program compiles."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name) is None:
        return f"torch.compile on the CPU needs a C++ compiler; {name} is not installed (or set CXX)"
    command = [name, "-x", "c++", "-fsyntax-only", "-std=c++17", "-"]
    try:
        done = subprocess.run(
            command,
            input="#include <vector>\nint main() { return std::vector<int>(1)[0]; }\n",
            text=True,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"torch.compile on the CPU needs a C++ compiler; {name} does not run: {type(error).__name__}"
    if done.returncode:
        first = done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"it exits with {done.returncode}"
        return f"torch.compile on the CPU needs a C++ compiler; {name} does not work: {first}"
    return ""


@cache
def missing_gpu_compiler() -> str:
    """Why generated Triton kernels can't be compiled here; empty when Triton is there."""
    try:
        import triton  # noqa: F401  # to see whether it can be
    except ImportError as error:
        return f"torch.compile on CUDA needs Triton: {error}"
    return ""


def _require_compiler(workload: Workload) -> None:
    reason = missing_gpu_compiler() if workload.is_cuda else missing_cpp_compiler()
    if reason:
        raise Unsupported(reason)


def _compiled(formula: Formula, *, dynamic: bool, mode: str | None) -> Formula:
    return cast(Formula, torch.compile(_own_code(formula), fullgraph=True, dynamic=dynamic, mode=mode))


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
