"""summary.json: what each step of the check found, written after each of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

_SHOWN = ("failed", "wrong", "reasons", "worst", "checks", "clock", "error", "printed", "why")
"""What of a step's findings the printed table has below its line."""

_LONGEST_SHOWN = 700


class Result(StrEnum):
    """How a step ended. `note`: it ran, and there was nothing to judge."""

    PASS = "pass"
    FAIL = "fail"
    NOTE = "note"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """A step's result, and what it found, as JSON values."""

    result: Result
    found: Mapping[str, Any] = field(default_factory=dict)


def passed_if(is_right: bool, found: Mapping[str, Any]) -> Outcome:
    """The outcome of a step that is either right or wrong."""
    return Outcome(Result.PASS if is_right else Result.FAIL, found)


@dataclass
class Summary:
    """The steps that have ended, in their order."""

    path: Path
    rehearsal: bool
    limit_s: float
    steps: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome, *, seconds: float) -> None:
        """Take note of a step, and write the file."""
        self.steps.append({"name": name, "result": outcome.result, "seconds": round(seconds, 1), **outcome.found})
        self.write()

    def write(self) -> None:
        """Write all that is known."""
        whole = {"rehearsal": self.rehearsal, "limit_s": self.limit_s, "steps": self.steps}
        self.path.write_text(json.dumps(whole, indent=1), encoding="utf-8")

    @property
    def failed(self) -> list[str]:
        """The names of the steps that failed."""
        return [step["name"] for step in self.steps if step["result"] == Result.FAIL]

    def table(self) -> str:
        """A line per step, with what matters of its findings below it."""
        lines = [f"{'step':<12} {'result':<8} seconds"]
        for step in self.steps:
            lines.append(f"{step['name']:<12} {step['result']:<8} {step['seconds']:7.1f}")
            lines += [f"    {key}: {json.dumps(step[key])[:_LONGEST_SHOWN]}" for key in _SHOWN if step.get(key)]
        return "\n".join(lines)
