"""Does lnbench read 1.00 for identical work?

PyTorch's `layer_norm` as a plug-in beside `fused`, which is the same kernel, at two shapes, through the real command in
fresh processes. Prints each speedup with its interval, then how many are within 0.015 of 1.00 and how many intervals
hold 1.00. Wanted: at least 19 and 17 of 20.

Do other frameworks disturb? `--idle tensorflow,jax` loads them into the measuring process and calls each once;
`--beside tensorflow,jax` lets their implementations of those names take turns in the same rounds.

    python benchmarks/identical.py [--results 20] [--idle tensorflow,jax | --beside tensorflow,jax]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

SUITE = """
name: identical
description: Does identical work read 1.00?
reference: fused
implementations: [{names}]
workloads:
  - shapes: [[256, 768], [2048, 1024]]
    dtypes: [float32]
    devices: [cpu]
    phases: [forward_backward]
sampling: {{processes: 1, precision: 0.0001, budget_s: {budget_s}}}
"""
PLUGIN = """
{imports}
import torch
from lnbench import implementation

@implementation("twin", function="layer_norm", summary="the same kernel as fused")
def twin(workload):
    def forward(x, weight, bias):
        return torch.nn.functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)
    return forward
"""
IMPORTS = {
    "tensorflow": """
try:
    import triton._C.libtriton  # after TensorFlow it would end the process
except ImportError:
    pass
import tensorflow
tensorflow.reduce_sum(tensorflow.ones((512, 512)) @ tensorflow.ones((512, 512))).numpy()
""",
    "jax": """
import jax
jax.jit(lambda x: x @ x)(jax.numpy.ones((512, 512))).block_until_ready()
""",
}
"""How a framework is loaded and its threads started."""

CLOSE = 0.015


def main() -> None:
    """Run until the wanted number of results is there, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=20, help="how many speedups to take (two per run)")
    parser.add_argument("--idle", default="", help=f"load these frameworks and leave them idle: {', '.join(IMPORTS)}")
    parser.add_argument("--beside", default="", help="implementations that take turns in the same rounds")
    parser.add_argument("--budget", type=float, default=4, help="seconds of rounds for a result")
    given = parser.parse_args()
    wanted = given.results
    names = ", ".join(["fused", "twin", *filter(None, given.beside.split(","))])
    imports = "".join(IMPORTS[name] for name in filter(None, given.idle.split(",")))
    found: list[tuple[str, float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        suite, plugin = Path(folder, "identical.yaml"), Path(folder, "twin.py")
        suite.write_text(SUITE.format(names=names, budget_s=given.budget))
        plugin.write_text(PLUGIN.format(imports=imports))
        while len(found) < wanted:
            output = Path(folder, f"run-{len(found)}")
            command = ["run", str(suite), "--plugin", str(plugin), "--output", str(output), "--quiet"]
            subprocess.run([sys.executable, "-m", "lnbench", *command], check=True, stdout=subprocess.DEVNULL)
            rows = pd.read_csv(output / "results.csv", keep_default_na=False, na_values=[""])
            for row in rows[rows.implementation == "twin"].itertuples():
                found.append((row.input_shape, row.speedup, row.speedup_low, row.speedup_high))
                print(f"{row.input_shape:>10}  {row.speedup:.4f}  [{row.speedup_low:.4f}, {row.speedup_high:.4f}]")
                sys.stdout.flush()
    found = found[:wanted]
    close = sum(abs(speedup - 1) <= CLOSE for _, speedup, _, _ in found)
    covering = sum(low <= 1 <= high for _, _, low, high in found)
    print(f"within {CLOSE} of 1.00: {close} of {len(found)}; intervals that hold 1.00: {covering} of {len(found)}")


if __name__ == "__main__":
    main()
