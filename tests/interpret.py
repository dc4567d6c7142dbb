"""Judges Liger's kernels on the CPU, in Triton's interpreter, for `test_kernel_libraries.py`.

python tests/interpret.py NAME DTYPE ... > one JSON outcome a line

Two things that the kernels rely on are not in Triton 3.9's interpreter: floats as arguments become float32 scalars only
when a kernel is compiled, and libdevice's functions have no body. Both are filled in; the kernels stay as they are.
"""

import json
import os
import sys
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton

import numpy as np
import triton.language as tl
from liger_kernel.ops import layer_norm, rms_norm
from stage import judged
from triton.runtime import interpreter

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
    for module in (layer_norm, rms_norm):
        module.rsqrt = lambda value: tl.math.rsqrt(value)
    for name, dtype in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        outcome = judged(name, 24, 48, dtype=dtype)
        print(json.dumps({"status": outcome.status, "reason": outcome.reason}), flush=True)


if __name__ == "__main__":
    main()
