"""A check from its plan to its exit code: measure, compare, measure what looks slower again, decide."""

from dataclasses import dataclass
from pathlib import Path

from lnbench.conductor.listening import Observer
from lnbench.conductor.measuring import RunOptions, measure
from lnbench.conductor.preparation import Prepared
from lnbench.decision import Decision, cases_to_confirm, decide
from lnbench.errors import ExitCode, most_telling
from lnbench.record import Check, Run


@dataclass(frozen=True)
class CheckOutcome:
    """A finished check: its run, what it comes to, and what the shell is told."""

    run: Run
    decision: Decision
    files: tuple[Path, ...]
    exit_code: ExitCode


def run_check(prepared: Prepared, check: Check, options: RunOptions, observer: Observer) -> CheckOutcome:
    """Measure a prepared plan and hold it against what `check` names.

    Raises NothingMeasuredError when no case can be measured here, OutputError when the folder can't be used.
    """
    outcome = measure(prepared, options, observer, check=check, again=cases_to_confirm)
    decision = decide(outcome.run)
    codes = [decision.exit_code]
    if outcome.exit_code is ExitCode.INTERRUPTED:
        codes.append(ExitCode.INTERRUPTED)
    return CheckOutcome(outcome.run, decision, outcome.files, most_telling(codes))
