"""The tool measuring itself: planted work of known length through the pipeline of a check, again and again."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from lnbench.analysis.selftest import STAGE, TWIN, SelfTest, judge_repetitions
from lnbench.conductor.listening import Observer
from lnbench.conductor.measuring import RunOptions, measure
from lnbench.conductor.preparation import Prepared, Request, prepare
from lnbench.conductor.runner import DEFAULT_TIMEOUT_S
from lnbench.errors import ExitCode, UsageError
from lnbench.plan import Plan
from lnbench.record import Check, Run
from lnbench.units import format_duration

SHARES = {"plus3": 0.03, "plus5": 0.05, "plus10": 0.10}
"""The extra share of each slowed case."""

BLOCK = 100
"""Calls in a block; a slowed case makes so many percent more."""

SHAPES = ((8, 64), (16, 128), (8, 768), (32, 256), (16, 512), (64, 256))

REFERENCE = "base"
PLANTED = Path(__file__).resolve().parents[1] / "implementations" / "planted.py"


def suite_text() -> str:
    """The suite of the selftest: a block of calls against itself, and against blocks of a few calls more."""
    repeats = {REFERENCE: BLOCK, TWIN: BLOCK} | {name: round(BLOCK * (1 + share)) for name, share in SHARES.items()}
    processes = 2 * STAGE
    entries = ", ".join(f"{{use: planted, as: {name}, options: {{repeats: {it}}}}}" for name, it in repeats.items())
    return f"""name: selftest
description: How often is this tool right on this machine?
reference: {REFERENCE}
implementations: [{entries}]
workloads:
  - shapes: {[list(shape) for shape in SHAPES]}
    phases: [inference]
sampling: {{processes: {processes}, precision: 0.0025, budget_s: 1, budget_total_s: {processes * len(SHAPES)}}}
"""


@dataclass(frozen=True)
class Schedule:
    """How the time is spent: repetitions of a prepared plan, each so long by estimate."""

    prepared: Prepared
    repetitions: int
    repetition_s: float
    seconds: float


def schedule(minutes: float, *, margin: float | None) -> Schedule:
    """Plan as many repetitions as fit. Raises UsageError when not even one does."""
    with tempfile.TemporaryDirectory(prefix="lnbench-selftest-") as folder:
        suite = Path(folder, "selftest.yaml")
        suite.write_text(suite_text(), encoding="utf-8")
        prepared = prepare(Request(suite=str(suite), plugins=(PLANTED,), margin=margin))
    prepared = replace(prepared, plan=_held_against_reference(prepared.plan))
    repetition_s = prepared.plan.estimated_s
    count = int(minutes * 60 // repetition_s)
    if count < 1:
        raise UsageError(
            f"--minutes: {minutes:g} is too short: one repetition takes about {format_duration(repetition_s)}",
            hint=f"--minutes {repetition_s / 60 + 0.1:.1f} is the least, and every repetition more narrows the bounds",
        )
    return Schedule(prepared, count, repetition_s, minutes * 60)


@dataclass(frozen=True)
class Finished:
    """The rates, and what the shell is told."""

    result: SelfTest
    exit_code: ExitCode


def run_selftest(planned: Schedule, make_observer: Callable[[Plan], Observer], *, seed: int | None) -> Finished:
    """Measure repetitions until the time is over, and judge them; an interrupted one is left out."""
    runs: list[Run] = []
    started, code = monotonic(), ExitCode.FINE
    with tempfile.TemporaryDirectory(prefix="lnbench-selftest-") as name:
        while True:
            folder = Path(name, str(len(runs)))
            options = RunOptions(
                reports=Path(name),
                folder=folder,
                seed=None if seed is None else seed + len(runs),
                timeout_s=DEFAULT_TIMEOUT_S,
            )
            outcome = measure(
                planned.prepared, options, make_observer(planned.prepared.plan), check=Check(source="selftest")
            )
            if outcome.exit_code is ExitCode.INTERRUPTED:
                code = ExitCode.INTERRUPTED
                break
            runs.append(outcome.run)
            spent_s = monotonic() - started
            if spent_s + spent_s / len(runs) > planned.seconds:
                break
    return Finished(judge_repetitions(runs, SHARES), code)


def _held_against_reference(plan: Plan) -> Plan:
    """The plan with every case held against the block, in the same rounds."""
    cases = tuple(case.model_copy(update={"reference": REFERENCE}) for case in plan.cases)
    return replace(plan, cases=cases)
