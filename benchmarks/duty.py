"""Do figures drift with the share of samples that a neighbour disturbs?

Runs the real command beside one process that wants a core for 0 to 100 % of the time, in random order, and fits a line
through each row's log speedup over its undisturbed share. Wanted: no slope, that is, intervals that hold 0.

    python benchmarks/duty.py --output duty [--runs 15] [--threads 2]
    python benchmarks/duty.py --output duty --only-report
"""

import argparse
import random
from pathlib import Path

import numpy as np
import pandas as pd
from beside import neighbours
from crowded import KEY, measure, rows_of
from scipy.stats import linregress, t

SUITE = """
name: duty
description: The same work beside a neighbour that wants a core for a share of the time.
reference: fused
implementations: [fused, eager, batch_norm, {{use: fused, as: twin}}]
workloads:
  - shapes: [[64, 256], [1024, 768]]
    phases: [inference, forward_backward]
    threads: {threads}
sampling: {{processes: 1, precision: 0.005, budget_s: 4}}
"""
DUTIES = (0.0, 0.25, 0.5, 0.75, 1.0)


def report(folder: Path) -> None:
    """The slope of each row's log speedup over its undisturbed share, per 10 % of share."""
    every = pd.concat([rows_of(run).reset_index() for run in sorted(folder.glob("run-*"))])
    found = every[(every.implementation != "fused") & (every.status == "ok") & every.speedup.notna()]
    print(f"{'row':55}{'runs':>6}{'share':>14}{'slope per 10 % of share':>34}")
    for key, rows in found.groupby(KEY):
        name = " ".join(part for part in key if part)
        shares = rows.undisturbed_share.to_numpy()
        if len(rows) < 4 or np.ptp(shares) < 0.05:
            print(f"{name:55}{len(rows):>6}{'':>14}{'too few shares':>34}")
            continue
        fit = linregress(shares, np.log(rows.speedup))
        half = t.ppf(0.975, len(rows) - 2) * fit.stderr
        low, high = 10 * (fit.slope - half), 10 * (fit.slope + half)
        print(
            f"{name:55}{len(rows):>6}{f'{shares.min():.2f} to {shares.max():.2f}':>14}"
            f"{f'{10 * fit.slope:+.2f} % [{low:+.2f}, {high:+.2f}]':>34}"
        )


def main() -> None:
    """Measure what is missing in the folder, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a folder for the runs; what is there is kept")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the duties")
    parser.add_argument("--only-report", action="store_true", help="measure nothing")
    given = parser.parse_args()
    given.output.mkdir(exist_ok=True, parents=True)
    duties = [DUTIES[number % len(DUTIES)] for number in range(given.runs)]
    random.Random(given.seed).shuffle(duties)
    suite = given.output / "duty.yaml"
    suite.write_text(SUITE.format(threads=given.threads))
    for number, duty in enumerate(duties) if not given.only_report else ():
        path = given.output / f"run-{number:02}-{duty:g}"
        if path.exists():
            continue
        with neighbours(1, duty=duty):
            seconds = measure(Path(__file__).resolve().parents[1], suite, path)
        print(f"beside a neighbour at {duty:.0%}: {seconds:.0f} s", flush=True)
    report(given.output)


if __name__ == "__main__":
    main()
