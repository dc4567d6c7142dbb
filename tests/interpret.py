"""Judges Liger's kernels on the CPU, in Triton's interpreter, for `test_kernel_libraries.py`.

python tests/interpret.py NAME DTYPE ... > one JSON outcome a line

Three things that the kernels rely on are not in Triton 3.9's interpreter: floats as arguments become float32 scalars
only when a kernel is compiled, libdevice's functions have no body, and there is nothing to tune on. All are filled in;
the kernels stay as they are.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton

import numpy as np
import torch
import triton.language as tl
from liger_kernel.ops import dyt, fused_add_rms_norm, layer_norm, rms_norm
from stage import judged
from triton.runtime import interpreter

from lnbench.implementations import toolchains

as_it_was = interpreter._implicit_cvt


def with_float32(argument: Any) -> Any:
    """A kernel's argument as the interpreter takes it, floats as the float32 scalars that compiled kernels see."""
    if not isinstance(argument, float):
        return as_it_was(argument)
    handle = interpreter.TensorHandle(np.array([argument], dtype=np.float32), tl.float32)
    return tl.tensor(handle, tl.float32)


def main() -> None:
    """Judge each implementation in its dtype."""
    interpreter._implicit_cvt = with_float32
    for module in (layer_norm, rms_norm, fused_add_rms_norm):
        module.rsqrt = lambda value: tl.math.rsqrt(value)
    dyt.tanh = lambda value: 2 * tl.sigmoid(2 * value) - 1
    dyt.infer_device, dyt.get_npu_core_count = lambda: "npu", lambda: 4  # Liger knows no CPU
    toolchains.missing_triton_compiler = lambda: ""  # nothing is compiled
    for kernel in (dyt._dyt_fwd_kernel, dyt._dyt_bwd_kernel):
        kernel.configs = kernel.configs[:1]
    for name, dtype in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        with counted_zeros() as zeroed:
            outcome = judged(name, 24, 48, dtype=dtype)
        told = {"status": outcome.status, "reason": outcome.reason, "remark": outcome.notices.get("remark", "")}
        print(json.dumps({**told, "zeroed": len(zeroed)}), flush=True)


@contextmanager
def counted_zeros() -> Iterator[list[int]]:
    """The calls of torch.zeros_like from Liger's code inside, which fill memory that is then written again."""
    calls, real = [], torch.zeros_like

    def counting(tensor: torch.Tensor, **settings: Any) -> torch.Tensor:
        if sys._getframe(1).f_globals["__name__"].startswith("liger_kernel"):
            calls.append(tensor.numel())
        return real(tensor, **settings)

    torch.zeros_like = counting
    try:
        yield calls
    finally:
        torch.zeros_like = real


if __name__ == "__main__":
    main()
