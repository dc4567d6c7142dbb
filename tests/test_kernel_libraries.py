"""Libraries of GPU kernels, as far as they can be tried without a GPU: Liger's numerics, and what each refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stage import workload

from lnbench.errors import Unsupported
from lnbench.implementations import apex_norms, liger_norms, quack_norms, transformer_engine_norms
from lnbench.implementations.needs import LIGER, TRITON, is_installed
from lnbench.implementations.registry import BUILT_IN

# In bfloat16 the interpreter's own arithmetic overflows in Liger's RMS norm: its numbers are uint16 in NumPy.
INTERPRETED = [("liger", "float32"), ("liger", "float16"), ("liger", "bfloat16"), ("liger_rms_norm", "float32")]


@pytest.fixture(scope="module")
def interpreted():
    """What became of each of Liger's kernels in Triton's interpreter."""
    if not (is_installed(LIGER) and is_installed(TRITON)):
        pytest.skip("Liger or Triton is not installed")
    words = [word for pair in INTERPRETED for word in pair]
    script = str(Path(__file__).parent / "interpret.py")
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"status"')]
    assert len(found) == len(INTERPRETED), done.stderr[-2000:]
    return dict(zip(INTERPRETED, found, strict=True))


@pytest.mark.parametrize(("name", "dtype"), INTERPRETED)
def test_liger_s_kernels_are_right_in_triton_s_interpreter(interpreted, name, dtype):
    assert interpreted[name, dtype] == {"status": "ok", "reason": ""}


@pytest.mark.parametrize(
    ("build", "axes", "reason"),
    [
        (liger_norms.layer_norm, {"affine": "weight"}, "always has a weight and a bias"),
        (liger_norms.layer_norm, {"norm_dims": 2}, "the last axis alone"),
        (liger_norms.rms_norm, {"affine": "none"}, "always has a weight"),
        (apex_norms.layer_norm, {"affine": "weight"}, "weight and bias, or neither"),
        (apex_norms.layer_norm, {"dtype": "bfloat16", "param_dtype": "float32"}, "the parameters' float32"),
        (apex_norms.rms_norm, {"dtype": "float32", "param_dtype": "bfloat16"}, "the parameters' bfloat16"),
        (quack_norms.rms_norm, {"norm_dims": 2}, "the last axis alone"),
        (transformer_engine_norms.layer_norm, {"affine": "none"}, "always has a weight and a bias"),
        (transformer_engine_norms.rms_norm, {"affine": "none"}, "always has a weight"),
        (transformer_engine_norms.layer_norm, {"dtype": "bfloat16", "param_dtype": "float32"}, "parameters' dtype"),
    ],
)
def test_a_library_of_kernels_says_what_it_does_not_do_before_it_is_imported(build, axes, reason):
    with pytest.raises(Unsupported, match=reason):
        build(workload(2, 4, 8, **axes))


def test_every_library_of_kernels_is_for_cuda_alone():
    kernels = {"liger", "liger_rms_norm", "apex", "apex_rms_norm", "quack"}
    kernels |= {"transformer_engine", "transformer_engine_rms_norm"}

    assert kernels == {row.name for row in BUILT_IN.values() if row.devices == ("cuda",)}
