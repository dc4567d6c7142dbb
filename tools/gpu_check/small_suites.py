"""The shipped suites that name a device, with shapes so small that a run of each takes seconds, even on a CPU.

python -m tools.gpu_check.small_suites FOLDER writes them there, and prints their names.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from lnbench.conductor.preparation import shipped_suites

LARGEST = (8, 64, 16, 16)
"""The largest size of each axis. Channels, the second axis of feature maps, can be divided into 32 groups."""

SAMPLING = {"processes": 1, "precision": 1e-6, "budget_s": 0.2}
"""A precision that is never reached: the budget ends the rounds."""


def suites_on(device: str) -> dict[str, str]:
    """The text of the shipped suites in which some workload names a device, by their names."""
    texts = {name: path.read_text(encoding="utf-8") for name, path in shipped_suites().items()}
    return {name: text for name, text in texts.items() if device in _devices(yaml.safe_load(text))}


def small(text: str) -> str:
    """A suite with the first shape of each block of workloads, made small; all else about the workloads stays.

    The first axis differs from block to block, so that no two workloads become the same.
    """
    suite = yaml.safe_load(text)
    for number, block in enumerate(suite["workloads"]):
        shapes = block["shapes"]
        first = shapes if isinstance(shapes, dict) or isinstance(shapes[0], int) else shapes[0]
        shape = first["shape"] if isinstance(first, dict) else first
        sizes = [min(size, largest) for size, largest in zip(shape, LARGEST, strict=False)]
        block["shapes"] = [[sizes[0] + number, *sizes[1:]]]
    return str(yaml.safe_dump({**suite, "sampling": SAMPLING}, sort_keys=False))


def _devices(suite: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for block in suite["workloads"]:
        devices = block.get("devices", "cpu")
        found |= {devices} if isinstance(devices, str) else set(devices)
    return found


if __name__ == "__main__":
    for name, text in suites_on("cuda").items():
        (Path(sys.argv[1]) / f"{name}.yaml").write_text(small(text), encoding="utf-8")
        print(name)
