"""Libraries of GPU kernels, as far as they can be tried without a GPU: Liger's numerics, and what each refuses."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from stage import judged, workload

from lnbench.errors import Unsupported
from lnbench.implementations import apex_norms, liger_norms, quack_norms, transformer_engine_norms
from lnbench.implementations.needs import LIGER, TRITON, is_installed
from lnbench.implementations.registry import BUILT_IN
from lnbench.planned import Status

# In bfloat16 the interpreter's own arithmetic overflows in Liger's RMS norm: its numbers are uint16 in NumPy.
INTERPRETED = [
    *(("liger", dtype) for dtype in ("float32", "float16", "bfloat16")),
    *((name, "float32") for name in ("liger_rms_norm", "liger_add_rms_norm", "liger_dyt")),
]


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
    assert interpreted[name, dtype].items() >= {"status": "ok", "reason": ""}.items()


def test_the_row_says_that_liger_zeroes_dx_where_it_does(interpreted):
    """With in_place=False Liger's RMS norm allocates dx by zeros_like; where that has ended, so may the remark."""
    zeroed = {name for (name, _), found in interpreted.items() if found["zeroed"]}
    remarked = {name for (name, _), found in interpreted.items() if "zeroes dx" in found["remark"]}

    assert zeroed == remarked == {"liger_rms_norm"}


@pytest.mark.parametrize(
    ("build", "axes", "reason"),
    [
        (liger_norms.layer_norm, {"affine": "weight"}, "always has a weight and a bias"),
        (liger_norms.layer_norm, {"norm_dims": 2}, "the last axis alone"),
        (liger_norms.rms_norm, {"affine": "none"}, "always has a weight"),
        (liger_norms.add_rms_norm, {"affine": "none"}, "always has a weight"),
        (liger_norms.add_rms_norm, {"norm_dims": 2}, "the last axis alone"),
        (liger_norms.dyt, {"affine": "none"}, "always has a weight"),
        (liger_norms.dyt, {"norm_dims": 2}, "the last axis alone"),
        (quack_norms.add_rms_norm, {"norm_dims": 2}, "the last axis alone"),
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


def test_liger_s_dynamic_tanh_takes_as_many_rows_as_a_grid_has_along_y():
    with pytest.raises(Unsupported, match="at most 65535 rows"):
        liger_norms.dyt(workload(65_536, 8))


def test_every_library_of_kernels_is_for_cuda_alone():
    kernels = {"liger", "liger_rms_norm", "liger_add_rms_norm", "liger_dyt"}
    kernels |= {"apex", "apex_rms_norm", "quack", "quack_add_rms_norm"}
    kernels |= {"transformer_engine", "transformer_engine_rms_norm"}

    assert kernels == {row.name for row in BUILT_IN.values() if row.devices == ("cuda",)}


class Quack:
    """What `quack.rmsnorm` gives (quack-kernels 0.2.4 on), by PyTorch; it keeps what it was called with."""

    def __init__(self):
        self.called = []

    def rmsnorm(self, x, weight=None, *, residual=None, eps=1e-6, prenorm=False):
        self.called.append({"eps": eps, "prenorm": prenorm, "residual": residual is not None})
        total = x if residual is None else x + residual
        y = torch.nn.functional.rms_norm(total, x.shape[-1:], weight, eps)
        return (y, total) if prenorm and residual is not None else y


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("quack", {"eps": 1e-3, "prenorm": False, "residual": False}),
        ("quack_add_rms_norm", {"eps": 1e-3, "prenorm": True, "residual": True}),
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_quack_is_called_as_its_signature_has_it(monkeypatch, name, asked):
    quack = Quack()
    monkeypatch.setitem(sys.modules, "quack", SimpleNamespace(rmsnorm=quack.rmsnorm))

    outcome = judged(name, 6, 32, eps=1e-3)

    assert (outcome.status, outcome.reason) == (Status.OK, "")
    assert quack.called[0] == asked
