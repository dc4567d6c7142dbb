"""The compilers that generated code needs, each tried once: C++ for torch.compile on the CPU, C for Triton on CUDA.

Both compile against Python's own headers. A missing one is a reason to leave an implementation out, not an error of it.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache

from lnbench.errors import Unsupported
from lnbench.workload import Workload

_PROBE_TIMEOUT_S = 60
_PYTHON_HEADER = "Python.h"


def require_compiler(workload: Workload) -> None:
    """Raise Unsupported where what torch.compile generates for the workload's device can't be compiled."""
    if workload.is_cuda:
        require_triton("torch.compile on CUDA")
    elif missing_cpp_compiler():
        raise Unsupported(missing_cpp_compiler())


def require_triton(what: str) -> None:
    """Raise Unsupported where Triton kernels can't be compiled; `what` names who has them."""
    reason = missing_triton_compiler()
    if reason:
        raise Unsupported(f"{what} needs {reason}")


@cache
def missing_cpp_compiler() -> str:
    """Why generated C++ can't be compiled here; "" when a small program with a standard header and Python's compiles.

    The compiler is the one that torch.compile takes: CXX, else g++, on macOS clang++.
    """
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    program = f"#include <{_PYTHON_HEADER}>\n#include <vector>\nint main() {{ return std::vector<int>(1)[0]; }}\n"
    problem = _problem([name, "-x", "c++", "-std=c++17"], program, variable="CXX")
    return f"torch.compile on the CPU needs a C++ compiler; {problem}" if problem else ""


@cache
def missing_triton_compiler() -> str:
    """Why Triton kernels can't be compiled here, in words that follow "needs"; "" when nothing is in the way.

    Triton compiles a small C program for each kind of launch, by CC, else gcc, else clang, unless another way is
    set (`triton.knobs.build.impl`).
    """
    try:
        import triton
    except ImportError as error:
        return f"Triton: {error}"
    if getattr(getattr(getattr(triton, "knobs", None), "build", None), "impl", None) is not None:
        return ""
    name = os.environ.get("CC") or next(filter(shutil.which, ("gcc", "clang")), "gcc")
    problem = _problem(
        [name, "-x", "c"], f"#include <{_PYTHON_HEADER}>\nint main(void) {{ return 0; }}\n", variable="CC"
    )
    return f"a C compiler, by which Triton makes its launchers; {problem}" if problem else ""


def _problem(command: Sequence[str], program: str, *, variable: str) -> str:
    """Why a compiler does not take a small program; "" when it does. `variable`: the one that names another."""
    name = command[0]
    if shutil.which(name) is None:
        return f"{name} is not installed (or set {variable})"
    try:
        done = subprocess.run(
            [*command, "-fsyntax-only", f"-I{_include_folder()}", "-"],
            input=program,
            text=True,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name} does not run: {type(error).__name__}"
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines() or [f"it exits with {done.returncode}"]
    missing = next((line for line in lines if _PYTHON_HEADER in line), "")
    if missing:
        return f"{name} does not find Python's headers ({_PYTHON_HEADER}): install python3-dev or python3-devel"
    return f"{name} does not work: {lines[0]}"


def _include_folder() -> str:
    """Where Python's headers are, as Triton and torch.compile look for them."""
    scheme = sysconfig.get_default_scheme()
    # Debian's Python has a scheme of its own, whose folder of headers is empty.
    return sysconfig.get_path("include", "posix_prefix" if scheme == "posix_local" else scheme)
