"""Does a busy machine change what lnbench says?

Runs the real command beside 0, 1, 2 and 5 CPU-bound processes, on two threads and on one, and holds every speedup
against the one of the idle machine. `--before CHECKOUT` does the same with another checkout of lnbench, beside 0, 1
and 2.

Wanted: where two implementations differ by over 10 % on the idle machine, their order never differs with intervals that
exclude the idle one; 95 % of the rows that have figures are within 10 % of the idle speedup beside 1 and 2 neighbours;
twins are within 1.5 %; on one thread beside 1 neighbour no row is unstable; on two threads beside 2, half of the rows
whose calls are under 1 ms have figures.

    python benchmarks/crowded.py --output crowded [--before ../old-checkout] [--neighbours 0,1,2,5] [--threads 2,1]
    python benchmarks/crowded.py --output crowded --only-report
"""

import argparse
import itertools
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pandas as pd
from beside import neighbours

SUITE = """
name: crowded
description: The same work beside others that want the cores.
reference: fused
implementations: [fused, eager, compiled, batch_norm, {{use: fused, as: twin}}]
workloads:
  - shapes: [[64, 256], [1024, 768], [2048, 1024]]
    phases: [inference, forward_backward]
    threads: {threads}
sampling: {{processes: {processes}, precision: 0.01, budget_s: {budget_s}}}
"""

APART = 1.10
"""Implementations whose speedups differ by more on the idle machine have an order."""

NEAR = 0.10
TWINS = 0.015
SHORT_S = 1e-3
KEY = ["workload", "implementation", "norm_mode", "phase"]


def measure(checkout: Path, suite: Path, output: Path) -> float:
    """One run of the real command from a checkout; gives the seconds that it took."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, "-m", "lnbench", "run", str(suite), "--output", str(output), "--quiet", "--seed", "1"]
    began = perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return perf_counter() - began


def rows_of(run: Path) -> pd.DataFrame:
    """The rows of a run, by their key."""
    return (
        pd.read_csv(run / "results.csv", keep_default_na=False, na_values=[""]).fillna({"norm_mode": ""}).set_index(KEY)
    )


def flips(idle: pd.DataFrame, busy: pd.DataFrame) -> list[str]:
    """Pairs whose order differs from the idle one, with intervals that do not overlap."""
    found = []
    for (workload, phase), group in idle.groupby(["workload", "phase"]):
        for (one, first), (other, second) in itertools.permutations(group.iterrows(), 2):
            if not first.speedup > APART * second.speedup:
                continue
            slow, fast = busy.loc[one], busy.loc[other]
            if slow.speedup_high < fast.speedup_low:
                found.append(
                    f"{workload} {phase}: {one[1]} {first.speedup:.3g} over {other[1]} {second.speedup:.3g} idle, "
                    f"{slow.speedup:.3g} under {fast.speedup:.3g} busy"
                )
    return found


def report(folder: Path) -> None:
    """What every run of a folder says against the idle run of its kind."""
    print(
        f"{'':7}{'threads':>8}{'neighbours':>11}{'s':>6}{'rows':>6}{'figures':>9}{'near idle':>11}{'worst':>8}"
        f"{'twins':>8}{'flips':>7}{'short with figures':>20}{'undisturbed':>13}"
    )
    for kind, threads in sorted({tuple(path.name.split("-")[:2]) for path in folder.glob("*-*-*") if path.is_dir()}):
        runs = {int(path.name.split("-")[2]): path for path in folder.glob(f"{kind}-{threads}-*") if path.is_dir()}
        if 0 not in runs:
            continue
        idle = rows_of(runs[0])
        for count, path in sorted(runs.items()):
            busy = rows_of(path)
            others = busy[(busy.index.get_level_values("implementation") != "fused")]
            known = others[(others.status == "ok") & others.speedup.notna()]
            ratio = (known.speedup / idle.speedup.reindex(known.index)).dropna()
            off = (ratio - 1).abs()
            twin = known[known.index.get_level_values("implementation") == "twin"].speedup
            short = others[idle.median_s.reindex(others.index) < SHORT_S]
            share = busy.undisturbed_share.median() if "undisturbed_share" in busy else float("nan")
            seconds = (path / "seconds").read_text() if (path / "seconds").exists() else "nan"
            turned = flips(idle, busy)
            print(
                f"{kind:7}{threads:>8}{count:>11}{float(seconds):>6.0f}{len(others):>6}{len(known):>9}"
                f"{f'{(off <= NEAR).sum()} of {len(off)}':>11}{off.max() if len(off) else 0:>8.1%}"
                f"{(twin - 1).abs().max() if len(twin) else float('nan'):>8.1%}{len(turned):>7}"
                f"{f'{short.index.isin(known.index).sum()} of {len(short)}':>20}{share:>13.2f}"
            )
            for line in turned:
                print("   ", line)
            for key in ratio.index[off > NEAR]:
                row = known.loc[key]
                print(
                    f"    off: {' '.join(map(str, key))}: {row.speedup:.3g} [{row.speedup_low:.3g}, "
                    f"{row.speedup_high:.3g}], idle {idle.speedup[key]:.3g}"
                )


def main() -> None:
    """Measure what is missing in the folder, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a folder for the runs; what is there is kept")
    parser.add_argument("--before", type=Path, help="another checkout, measured beside 0, 1 and 2")
    parser.add_argument("--neighbours", default="0,1,2,5")
    parser.add_argument("--threads", default="2,1")
    parser.add_argument("--budget", type=float, default=5, help="seconds of rounds for a workload")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only-report", action="store_true", help="measure nothing")
    given = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    counts = [int(count) for count in given.neighbours.split(",")]
    given.output.mkdir(exist_ok=True, parents=True)
    versions = {"after": here} | ({"before": given.before.resolve()} if given.before else {})
    for threads, count in itertools.product(given.threads.split(","), counts) if not given.only_report else ():
        for kind, checkout in versions.items():
            path = given.output / f"{kind}-{threads}-{count}"
            if path.exists() or (kind == "before" and count > 2):
                continue
            suite = given.output / f"threads-{threads}.yaml"
            suite.write_text(SUITE.format(threads=threads, processes=given.processes, budget_s=given.budget))
            with neighbours(count):
                seconds = measure(checkout, suite, path)
            (path / "seconds").write_text(f"{seconds:.1f}")
            print(f"measured {path.name} in {seconds:.0f} s", flush=True)
    report(given.output)


if __name__ == "__main__":
    main()
