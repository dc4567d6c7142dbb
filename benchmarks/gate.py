"""How often does `lnbench check` turn red for nothing, and how often does it catch work that really is slower?

Each check is the real command in fresh processes, on a suite of 12 cases with about 1 s of rounds for each. The work is
a layer norm that runs PyTorch's kernel 20 times in every phase, so that 21 or 22 times is exactly 5 or 10 % more. With
--mode against the old and the new file take turns; with --mode baseline the suite (the planted norm, eager and
torch.nn.LayerNorm beside a reference that is planted too, at 4 shapes) is held against a run of itself that is measured
first, or anew for each check with --rebase.

    python benchmarks/gate.py --mode against --slower 0 --checks 30
    python benchmarks/gate.py --mode baseline --slower 5 --checks 10 --neighbour
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from beside import neighbours
from scipy.stats import binomtest

NORMS = """
import torch
from lnbench import implementation


class Repeated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, shape, eps, repeats):
        for _ in range(repeats):
            y, mean, rstd = torch.native_layer_norm(x, shape, weight, bias, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        ctx.shape, ctx.repeats = shape, repeats
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight, bias, mean, rstd = ctx.saved_tensors
        for _ in range(ctx.repeats):
            dx, dweight, dbias = torch.ops.aten.native_layer_norm_backward(
                dy, x, list(ctx.shape), mean, rstd, weight, bias, [True, True, True]
            )
        return dx, dweight, dbias, None, None, None


def norm(workload, repeats):
    def forward(x, weight, bias):
        return Repeated.apply(x, weight, bias, workload.normalized_shape, workload.eps, repeats)

    return forward


@implementation("steady", function="layer_norm", summary="PyTorch's kernel, {basis} times over")
def steady(workload):
    return norm(workload, {basis})


@implementation("repeated", function="layer_norm", summary="PyTorch's kernel, {repeats} times over")
def repeated(workload):
    return norm(workload, {repeats})
"""
AGAINST = """
name: gate-against
reference: repeated
implementations: [repeated]
workloads:
  - shapes: [[16, 256], [16, 768], [32, 512], [32, 1024], [64, 256], [64, 384]]
    phases: [inference, forward_backward]
sampling: {processes: 3, precision: 0.01, budget_s: 1.8}
"""
BASELINE = """
name: gate-baseline
reference: steady
implementations: [eager, repeated, module]
workloads:
  - shapes: [[64, 768], [128, 1024], [256, 512], [512, 768]]
    phases: [inference, forward_backward]
sampling: {processes: 3, precision: 0.01, budget_s: 2}
"""
BASIS = 20
PERIOD_S = 8.0


def main() -> None:
    """Run the checks and print what each said, then the counts with their Clopper-Pearson bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["against", "baseline"], required=True)
    parser.add_argument("--slower", type=int, choices=[0, 5, 10], default=0, help="percent of extra work")
    parser.add_argument("--checks", type=int, default=10)
    parser.add_argument("--neighbour", action="store_true", help="a CPU-bound process beside it, half of the time")
    parser.add_argument("--keep", type=Path, help="leave all files in this folder")
    parser.add_argument("--rebase", action="store_true", help="with baseline: a new baseline for each check")
    asked = parser.parse_args()
    codes: Counter[int] = Counter()
    caught, seconds = 0, []
    with tempfile.TemporaryDirectory() as name, neighbour(asked.neighbour):
        folder = asked.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        repeats = BASIS + round(BASIS * asked.slower / 100)
        (folder / "old.py").write_text(NORMS.format(basis=BASIS, repeats=BASIS))
        (folder / "new.py").write_text(NORMS.format(basis=BASIS, repeats=repeats))
        (folder / "suite.yaml").write_text(AGAINST if asked.mode == "against" else BASELINE)
        for number in range(asked.checks):
            if asked.mode == "baseline" and (number == 0 or asked.rebase):
                make_baseline(folder)
            started = perf_counter()
            result = check(folder, asked.mode, number)
            seconds.append(perf_counter() - started)
            codes[result["exit_code"]] += 1
            counts = {verdict: count for verdict, count in result["counts"].items() if count}
            slow = [row for row in result["rows"] if row["verdict"] == "slower"]
            caught += any(row["implementation"] == "repeated" for row in slow)
            print(f"{number + 1:>3}: exit {result['exit_code']}, {seconds[-1]:.0f} s, {counts}", flush=True)
            for row in result["rows"]:
                if row["verdict"] in {"slower", "faster"} or row["confirmed"] is not None:
                    print(f"     {row['workload']} {row['implementation']} {row['phase']}: {row['reason']}", flush=True)
    low, high = binomtest(caught, asked.checks).proportion_ci(0.95, method="exact")
    name = "called slower" if asked.slower else "false alarms"
    print(f"{name}: {caught} of {asked.checks} checks (95 %: {low:.3f} to {high:.3f}); exit codes {dict(codes)}")
    print(f"seconds a check: {min(seconds):.0f} to {max(seconds):.0f}")


def make_baseline(folder: Path) -> None:
    """Measure the suite with the old file, and keep it."""
    output = tempfile.mkdtemp(dir=folder)
    lnbench(folder, "run", "suite.yaml", "--plugin", "old.py", "--output", f"{output}/run", "--quiet")
    lnbench(folder, "baseline", f"{output}/run", "--output", "baseline.jsonl", "--quiet")


def check(folder: Path, mode: str, number: int) -> dict:
    """One check; gives its JSON with the exit code."""
    held = ["--against", "old.py:repeated"] if mode == "against" else ["--baseline", "baseline.jsonl"]
    arguments = ["check", "suite.yaml", "--plugin", "new.py", *held, "--output", f"check-{number}", "--quiet"]
    done = lnbench(folder, *arguments, "--format", f"json=check-{number}.json", may_fail=True)
    result = json.loads((folder / f"check-{number}.json").read_text())
    return {**result, "exit_code": done.returncode}


def lnbench(folder: Path, *arguments: str, may_fail: bool = False) -> subprocess.CompletedProcess:
    """The real command."""
    command = [sys.executable, "-m", "lnbench", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode not in ({0, 1, 3} if may_fail else {0}):
        raise SystemExit(f"exit {done.returncode}: {done.stderr}")
    return done


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process that takes one core for half of the time, while the context lasts."""
    over = Event()

    def come_and_go() -> None:
        while not over.is_set():
            with neighbours(1):
                over.wait(PERIOD_S)
            over.wait(PERIOD_S)

    thread = Thread(target=come_and_go, daemon=True)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if wanted:
            thread.join()


if __name__ == "__main__":
    main()
