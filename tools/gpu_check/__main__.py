"""Checks lnbench on this machine's NVIDIA GPU, or rehearses that on a pretended one.

    python -m tools.gpu_check [--out FOLDER] [--limit SECONDS] [--steps a,b,...] [--wheels FOLDER] [--cpu-rehearsal]

Run it in the root of the repository. It changes no setting of the GPU, and ends only processes that it started.
docs/first-hour-on-a-gpu.md says what each step shows and what to do where one fails.
"""

import argparse
import os
import shutil
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.gpu_check.bench import REPOSITORY, Bench
from tools.gpu_check.commands import Commands, Deadline
from tools.gpu_check.pretended.importing import pretended_environment
from tools.gpu_check.steps import STEPS
from tools.gpu_check.summary import Outcome, Result, Summary

DEFAULT_OUT = Path("reports") / "gpu-check"

REHEARSAL_PATIENCE = 3.0
"""A rehearsal computes on a CPU that others may use: its steps may take so many times as long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; 0 when none failed, 1 otherwise."""
    options = _options(arguments)
    out: Path = options.out.resolve()
    work = out / "work"
    if work.is_dir():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    with (out / "log.txt").open("w", encoding="utf-8") as log:
        commands = Commands(work, log, Deadline(options.limit), _environment(rehearsal=options.cpu_rehearsal, out=out))
        bench = Bench(commands, out, work, options.cpu_rehearsal, options.wheels and options.wheels.resolve())
        summary = Summary(out / "summary.json", rehearsal=options.cpu_rehearsal, limit_s=options.limit)
        _run_steps(bench, summary, chosen=options.steps)
    _pack(work, out / "runs.tar.gz")
    print(f"\n{summary.table()}\n{len(summary.failed)} failed; {commands.deadline.spent_s:.0f} s; results in {out}")
    return 1 if summary.failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description="Check lnbench on an NVIDIA GPU.")
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help=f"folder for the results (default: {DEFAULT_OUT})"
    )
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for everything (default: 600)")
    parser.add_argument("--steps", type=_step_names, default=names, help=f"only these: {', '.join(names)}")
    parser.add_argument("--wheels", type=Path, help="install these packages first, without a network")
    parser.add_argument("--cpu-rehearsal", action="store_true", help="on a machine without a GPU: a pretended one")
    return parser.parse_args(arguments)


def _step_names(text: str) -> list[str]:
    known = [step.name for step in STEPS]
    names = [word for word in text.split(",") if word]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such step: {', '.join(unknown)}; known: {', '.join(known)}")
    return names


def _environment(*, rehearsal: bool, out: Path) -> dict[str, str]:
    """The environment of all commands: lnbench from this repository, after what was installed from wheels."""
    inherited = {**os.environ, "COLUMNS": "150", "PYTHONDONTWRITEBYTECODE": "1"}
    folders = [str(out / "site"), str(REPOSITORY), *filter(None, [inherited.get("PYTHONPATH")])]
    whole = {**inherited, "PYTHONPATH": os.pathsep.join(folders)}
    return pretended_environment(whole) if rehearsal else whole


def _run_steps(bench: Bench, summary: Summary, *, chosen: Sequence[str]) -> None:
    deadline = bench.commands.deadline
    for step in STEPS:
        if step.name not in chosen and not step.is_required:
            continue
        if deadline.left_s < step.least_s:
            why = f"{deadline.left_s:.0f} s are left, and it needs {step.least_s:.0f}"
            summary.add(step.name, Outcome(Result.SKIPPED, {"why": why}), seconds=0.0)
            continue
        bench.commands.say(f"\n=== {step.name} (after {deadline.spent_s:.0f} s)")
        began = time.monotonic()
        try:
            patience = REHEARSAL_PATIENCE if bench.rehearsal else 1.0
            outcome = step.run(bench, min(patience * step.limit_s, deadline.left_s))
        # A fault of the check itself: what the other steps find is still worth having.
        except Exception as error:
            outcome = Outcome(Result.FAIL, {"error": f"{type(error).__name__}: {error}"[:500]})
        summary.add(step.name, outcome, seconds=time.monotonic() - began)
        bench.commands.say(f"=== {step.name}: {outcome.result}")
        if step.is_required and outcome.result is Result.FAIL:
            return


def _pack(work: Path, target: Path) -> None:
    """The runs and files that the steps left, as one archive."""
    with tarfile.open(target, "w:gz") as archive:
        for path in sorted(work.iterdir()):
            archive.add(path, arcname=path.name)


if __name__ == "__main__":
    sys.exit(main())
