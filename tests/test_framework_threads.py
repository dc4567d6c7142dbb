"""A workload's threads hold for every framework: what computes on more of them is compared unfairly."""

import subprocess
import sys
from pathlib import Path

import pytest

from lnbench.implementations.needs import is_installed
from lnbench.implementations.registry import BUILT_IN

NAMES = ["jax", "equinox", "keras", "tensorflow", "tensorflow_xla", "keras_torch", "onnxruntime", "numpy"]

MOST_CORES = 1.15
"""One thread can't use more than one core; the rest is for what a runtime does beside the work, and for the clocks."""


@pytest.fixture(scope="module")
def cores():
    """The cores that each installed framework used, found in a process of its own."""
    there = [name for name in NAMES if all(map(is_installed, BUILT_IN[name].needs))]
    script = str(Path(__file__).parent / "framework_threads.py")
    done = subprocess.run([sys.executable, script, *there], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    pairs = [line.split() for line in done.stdout.splitlines() if line.split(" ")[0] in there]
    return {name: float(found) for name, found in pairs}


@pytest.mark.parametrize("name", NAMES)
def test_a_framework_uses_the_threads_of_the_workload(cores, name):
    if not all(map(is_installed, BUILT_IN[name].needs)):
        pytest.skip(f"{name}'s library is not installed")

    assert 0 < cores[name] < MOST_CORES
