"""The real command as a person starts it: `python -m lnbench ...` in a folder, with files and results to look into."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lnbench.tables import READING, RESULT_DTYPES

LONGEST_S = 240
"""No command of the tests takes this long; one that does hangs."""

MEASURED = {"ok", "unstable"}
"""How a row ends that was measured: on a machine that other work uses, too little of some may be undisturbed."""

_LOOKS = ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE")


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


def run_lnbench(folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run lnbench in a folder, without a terminal, and wait for its end."""
    return run_python(folder, "-m", "lnbench", *arguments, env=env)


def run_python(folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Finished:
    """Run this interpreter in a folder; `env` is added to the environment, from which what tunes output is taken."""
    inherited = {name: value for name, value in os.environ.items() if name not in _LOOKS}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**inherited, **(env or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LONGEST_S,
        preexec_fn=listen_to_interrupts,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def write_suite(
    folder: Path,
    name: str,
    *,
    implementations: Iterable[str] = ("eager", "fused"),
    shapes: str = "[[8, 16]]",
    budget_s: float = 0.2,
    more: str = "",
) -> Path:
    """A suite of a few tiny workloads on one thread, so that a busy neighbour does not slow it down; gives its path."""
    file = folder / f"{name}.yaml"
    file.write_text(
        f"name: {name}\n"
        "reference: fused\n"
        f"implementations: [{', '.join(implementations)}]\n"
        f"workloads: [{{shapes: {shapes}, threads: 1{more}}}]\n"
        # A precision that is never reached: the budget ends the rounds.
        f"sampling: {{processes: 1, precision: 1.0e-6, budget_s: {budget_s}}}\n"
    )
    return file


def results(run: Path) -> pd.DataFrame:
    """results.csv of a run folder, read as the README says."""
    return pd.read_csv(run / "results.csv", dtype=RESULT_DTYPES, **READING)


def journal(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal."""
    return [json.loads(line) for line in (run / "run.jsonl").read_text(encoding="utf-8").splitlines()]


def listen_to_interrupts() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
