"""The checks' common ground: what they run on, and the file in which they leave what they found."""

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lnbench.measure.cuda import TorchEventClock
from tools.gpu_check.summary import Outcome, Result

MIB, GIB = 1 << 20, 1 << 30
DEVICE = "cuda"

# Rows and features in bfloat16: decoding, a small batch, GPT-2 small, Llama 3.1 70B.
SHAPES = ((1, 4096), (256, 4096), (16384, 768), (8192, 8192))
SMALL_SHAPES = ((1, 64), (64, 256))


@dataclass
class Setting:
    """What checks run on; a rehearsal has small shapes, and times that mean nothing."""

    rehearsal: bool

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and features."""
        return SMALL_SHAPES if self.rehearsal else SHAPES

    @cached_property
    def clock(self) -> TorchEventClock:
        """lnbench's clock; starting it is a check of its own."""
        return TorchEventClock(DEVICE)


Check = Callable[[Setting], Outcome]


@dataclass
class Checks:
    """Runs checks one by one; one that raises has failed, and the next one goes on."""

    path: Path
    setting: Setting
    deadline: float
    done: list[dict[str, Any]] = field(default_factory=list)

    def run(self, check: Check) -> None:
        """Run a check if there is time, and write what it found."""
        began = time.monotonic()
        if began > self.deadline:
            outcome = Outcome(Result.SKIPPED, {"why": "no time is left"})
        else:
            try:
                outcome = check(self.setting)
            # Whatever goes wrong in one check, the others are still worth having.
            except Exception as error:
                text, where = f"{type(error).__name__}: {error}"[:600], traceback.format_exc()[-1500:]
                outcome = Outcome(Result.FAIL, {"error": text, "where": where})
        seconds = round(time.monotonic() - began, 2)
        self.done.append({"name": check.__name__, "result": outcome.result, "seconds": seconds, **outcome.found})
        print(f"{outcome.result:<8} {check.__name__}: {json.dumps(dict(outcome.found))[:900]}", flush=True)
        whole = {"torch": torch.__version__, "cuda": torch.version.cuda, "device": _name(), "checks": self.done}
        self.path.write_text(json.dumps(whole, indent=1), encoding="utf-8")

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [check["name"] for check in self.done if check["result"] == Result.FAIL]


def microseconds(seconds: float | None) -> float | None:
    """For reading."""
    return None if seconds is None else round(seconds * 1e6, 3)


def _name() -> str:
    try:
        return torch.cuda.get_device_name(0)
    except (RuntimeError, AssertionError) as error:
        return str(error)[:200]
