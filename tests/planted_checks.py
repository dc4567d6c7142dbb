"""Whole checks of work whose true times are known: screened, confirmed where it is asked for, and decided.

Times come from plain numbers, so a check takes milliseconds and comes to the same every time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import condensed
import numpy as np

from lnbench.decision import Decision, cases_to_confirm, decide
from lnbench.events import Condensed
from lnbench.record import Run
from lnbench.workload import Clock

ROWS = ("mine", "other", "third", "fourth")
COPY = "copy"
REFERENCE_S = 1e-4
COPY_S = 0.6e-4


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A suite with a reference, `fused`, and what its times are multiplied with in head: by workload and name.

    `copy` names the probe. `noise`: the standard deviation of a row's, the reference's and the copy's log time from
    process to process. `luck`: of what all of a process share. `copy_noise`: the copy's, where it is noisier.
    `same_draws`: the fresh processes have the noise of the screening ones.
    """

    workloads: int = 6
    rows: tuple[str, ...] = ROWS
    factors: Mapping[tuple[int, str], float] = field(default_factory=dict)
    has_copy: bool = True
    noise: float = 0.001
    luck: float = 0.01
    copy_noise: float | None = None
    seed: int = 1
    same_draws: bool = False

    @property
    def cases(self):
        return condensed.suite(self.workloads, self.rows)

    def events(self, draw, *, is_head: bool, first_process=0, among=None) -> list[Condensed]:
        """What three processes found out, in `among`'s cases."""
        found = []
        for process in range(first_process, first_process + 3):
            luck = draw.normal(0, self.luck)
            for workload in range(self.workloads):
                own = {name: self._log_s(draw, workload, name, is_head) + luck for name in (COPY, "fused", *self.rows)}
                for number, case in enumerate(self.cases):
                    if case.workload != workload or (among is not None and number not in among):
                        continue
                    found.append(
                        Condensed(
                            process=process,
                            case=number,
                            phase=condensed.PHASE,
                            clock=Clock.WALL,
                            rounds=100,
                            median_s=math.exp(own[case.implementation]),
                            log_speedup=own["fused"] - own[case.implementation],
                            log_copy=own[COPY] - own[case.implementation] if self.has_copy else None,
                        )
                    )
        return found

    def _log_s(self, draw, workload: int, name: str, is_head: bool) -> float:
        noise = self.copy_noise if name == COPY and self.copy_noise is not None else self.noise
        factor = self.factors.get((workload, name), 1.0) if is_head else 1.0
        return math.log((COPY_S if name == COPY else REFERENCE_S) * factor) + draw.normal(0, noise)

    def check(self, **fields) -> Run:
        """A check against a baseline without the factors, with a second stage where the first asks for one."""
        draw = np.random.default_rng(self.seed)
        base = condensed.run(self.cases, self.events(draw, is_head=False), run_id="base")
        screening = self.events(draw, is_head=True)
        check = condensed.check_of(base, **fields)
        run = condensed.run(self.cases, screening, run_id="head", check=check)
        asked = cases_to_confirm(run)
        if not asked:
            return run
        if self.same_draws:
            draw = np.random.default_rng(self.seed)
            self.events(draw, is_head=False)
        fresh = self.events(draw, is_head=True, first_process=3, among=asked)
        events = [*screening, condensed.confirming(sorted(asked)), *fresh]
        return condensed.run(self.cases, events, run_id="head", check=check)

    def slower(self, factor: float, name: str, *, workload: int | None = None) -> "Planted":
        """The same check with the same draws, of which one thing takes longer by a factor; `workload` None: on all."""
        factors = dict(self.factors)
        for number in range(self.workloads) if workload is None else [workload]:
            factors[number, name] = factors.get((number, name), 1.0) * factor
        return replace(self, factors=factors)

    def decide(self, **fields) -> Decision:
        """What the check comes to."""
        return decide(self.check(**fields))
