"""The timed rounds of one workload: every live case takes its turn, until the speedups are known well enough."""

import gc
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import numpy as np

from lnbench.events import PROBE_CASE, Turn, WorkloadFinished
from lnbench.measure.sampler import Sampler
from lnbench.pairing import Turns, pair_nearest
from lnbench.planned import Stage
from lnbench.stats import FloatArray, is_precise
from lnbench.worker.calls import (
    LONGEST_SAMPLE_S,
    Kind,
    call_seconds,
    calls_for,
    check_steady,
    kinds_for,
    take_sample,
)
from lnbench.worker.cases import Cases, LiveCase
from lnbench.worker.probing import ProbeTurns
from lnbench.worker.protocol import Progress, WorkerChannel
from lnbench.worker.turns import TurnOrder
from lnbench.worker.watching import Watch
from lnbench.workload import Phase

WANTED_ROUNDS = 40
"""Calls per sample are chosen so that at least about this many rounds fit into the budget."""

LEAST_ROUNDS = 3
"""Measured even where the budget does not suffice, because fewer have no interval at all."""

TELL_EVERY_S = 0.5
CHECK_EVERY_ROUNDS = 10
WANTED_LOOKS = 2
"""Successive looks that must find every interval narrow enough: a narrow one is lucky at times, and stopping at first
sight costs up to ten points of coverage where the machine switches between two speeds (simulated)."""

PROBE_EVERY_ROUNDS = 4
"""The probe needs no narrow interval, and its bytes push those of the cases out of the caches."""

LEAST_SHARE = 0.05
"""A sample this much shorter than the first estimate of a call is an error of the clock, and chooses no calls."""

MOST_SPOILED_TURNS = 3
"""Turns in which something was compiled anew, before the case is given up."""


@dataclass
class _Contender:
    """A live case, the shortest mean of its samples by kind (not below `least_s`), and what its turns gave so far."""

    case: LiveCase
    call_s: dict[Kind, float]
    least_s: dict[Kind, float]
    turn_s: float = 0.0
    spoiled: int = 0
    rounds: list[int] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Rounds:
    """Runs the rounds of a workload and reports every turn.

    `on_device`: the device's clock decides when to stop, not the host's.
    """

    def __init__(
        self,
        channel: WorkerChannel,
        cases: Cases,
        sampler: Sampler,
        *,
        process: int,
        workload_number: int,
        references: Mapping[int, int],
        phases: tuple[Phase, ...],
        precision: float,
        budget_s: float,
        first_round: int,
        seed: int,
        probe: ProbeTurns,
        watch: Watch,
        on_device: bool,
    ) -> None:
        self._channel = channel
        self._cases = cases
        self._sampler = sampler
        self._process = process
        self._workload = workload_number
        self._references = dict(references)
        self._phases = phases
        self._kinds = kinds_for(phases)
        self._precision = precision
        self._budget_s = budget_s
        self._round = first_round
        self._probe = probe
        self._watch = watch
        self._on_device = on_device
        self._contenders: dict[int, _Contender] = {}
        self._sample_s = LONGEST_SAMPLE_S
        self._seed = seed
        self._order = TurnOrder([], references={}, seed=seed)

    def run(self, *, setup_s: float, compiling_s: float) -> WorkloadFinished:
        """Warm up, then take turns; gives the event that is due when all else is done with the workload too."""
        self._choose_calls()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._cases.keep_settings()
        first, started, told, looks = self._round, perf_counter(), 0.0, 0
        stopped_by: Literal["precision", "budget", "nothing left"] = "nothing left"
        try:
            while self._contenders:
                self._one_round(started)
                elapsed = perf_counter() - started
                done = self._round - first
                if elapsed >= self._budget_s and done >= LEAST_ROUNDS:
                    stopped_by = "budget"
                    break
                if done % CHECK_EVERY_ROUNDS == 0:
                    looks = looks + 1 if self._is_precise() else 0
                    if looks == WANTED_LOOKS:
                        stopped_by = "precision"
                        break
                if elapsed - told >= TELL_EVERY_S:
                    told = elapsed
                    self._channel.send(Progress(share=min(elapsed / self._budget_s, 1.0)))
        finally:
            gc.enable()
            gc.unfreeze()
            self._cases.keep_settings()
        self._watch.finish(self._round - 1)
        finished = WorkloadFinished(
            process=self._process,
            workload=self._workload,
            rounds=self._round - first,
            stopped_by=stopped_by,
            rounds_s=perf_counter() - started,
            setup_s=setup_s,
            compiling_s=compiling_s,
        )
        self._channel.flush()
        return finished

    def _one_round(self, started: float) -> None:
        expected = {number: contender.turn_s for number, contender in self._contenders.items()}
        for number in self._order.next_round(expected | {PROBE_CASE: self._probe.turn_s}):
            self._forget_rounds(self._watch.before_turn(self._round))
            if number == PROBE_CASE:
                if self._round % PROBE_EVERY_ROUNDS == 0:
                    self._channel.announce(PROBE_CASE, Stage.TIMING)
                    self._channel.send(self._probe.take(self._round, started=started))
            elif number in self._contenders:
                self._turn(self._contenders[number], started)
        self._round += 1
        gc.collect()  # cheap, for what is frozen is not walked; an implementation may leave cycles that hold memory

    def _turn(self, contender: _Contender, started: float) -> None:
        """One case's samples, one of each kind; a turn in which something was compiled is not reported."""
        case = contender.case
        with self._cases.attempt(case.number, Stage.TIMING):
            compiled = case.prepared.compilations()
            begun = perf_counter()
            uncounted = 0
            faults: dict[str, float] = {}
            calls: dict[str, int] = {}
            wall: dict[str, float] = {}
            device: dict[str, float] = {}
            for kind in self._kinds:
                calls[kind] = calls_for(contender.call_s[kind], self._sample_s)
                taken = take_sample(case.prepared, kind, self._sampler, calls=calls[kind])
                wall |= taken.sample.wall_s
                device |= taken.sample.device_s
                uncounted += taken.uncounted
                faults[kind] = taken.faults / calls[kind]
            contender.turn_s = perf_counter() - begun
            if case.prepared.compilations() != compiled:
                self._spoiled(contender)
            else:
                self._keep(contender, begun - started, calls, wall, device, uncounted=uncounted, faults=faults)
        if case.number not in self._cases.live:
            self._drop(case.number)

    def _keep(
        self,
        contender: _Contender,
        started_s: float,
        calls: Mapping[str, int],
        wall: Mapping[str, float],
        device: Mapping[str, float],
        *,
        uncounted: int,
        faults: Mapping[str, float],
    ) -> None:
        self._channel.send(
            Turn(
                process=self._process,
                workload=self._workload,
                round=self._round,
                case=contender.case.number,
                started_s=started_s,
                calls=calls,
                uncounted=uncounted,
                wall_s=wall,
                device_s=device,
                faults={} if self._on_device else faults,
            )
        )
        for kind in self._kinds:
            if kind.whole in wall:
                contender.call_s[kind] = min(contender.call_s[kind], max(wall[kind.whole], contender.least_s[kind]))
        decisive = device if self._on_device else wall
        if decisive and all(phase in decisive for phase in self._phases):
            contender.rounds.append(self._round)
            contender.started_s.append(started_s)
            for phase in self._phases:
                contender.times[phase].append(decisive[phase])

    def _spoiled(self, contender: _Contender) -> None:
        contender.spoiled += 1
        case = contender.case
        if contender.spoiled == 1:
            self._cases.notice(
                case.number,
                "compiled-while-timed",
                "torch.compile compiled anew during a turn; that turn is left out; static shapes and a fixed number of "
                "threads avoid it",
            )
        if contender.spoiled >= MOST_SPOILED_TURNS:
            raise RuntimeError(f"it compiled anew in {contender.spoiled} of its turns, so it has no steady time")

    def _choose_calls(self) -> None:
        """Call everything until it is warm, see how long a call takes, and choose how long samples are."""
        seconds: dict[int, dict[Kind, float]] = {}
        for number, case in list(self._cases.live.items()):
            with self._cases.attempt(number, Stage.WARM_UP):
                found = {kind: call_seconds(case.prepared, kind) for kind in self._kinds}
                check_steady(case.prepared, self._kinds)
                seconds[number] = found
        waits = [case.prepared.wait for case in self._cases.live.values()]
        samples = sum(len(kinds) for kinds in seconds.values()) + 1
        self._sample_s = min(self._budget_s / WANTED_ROUNDS / samples, LONGEST_SAMPLE_S)
        self._contenders = {
            number: _Contender(
                self._cases.live[number], kinds, {kind: call_s * LEAST_SHARE for kind, call_s in kinds.items()}
            )
            for number, kinds in seconds.items()
        }
        if waits:
            self._probe.choose_calls(waits[0], sample_s=self._sample_s)
        self._forget_lost_references()
        families = set(self._references.values())
        # Within the only family the probe has a place among the others, not always at an end.
        probe = {PROBE_CASE: families.pop()} if len(families) == 1 else {}
        self._order = TurnOrder([*self._contenders, PROBE_CASE], references=self._references | probe, seed=self._seed)

    def _forget_rounds(self, spoiled: range) -> None:
        """Leave spoiled rounds out of what decides when to stop; the journal keeps them, and readers drop them too."""
        if not spoiled:
            return
        for contender in self._contenders.values():
            kept = [place for place, number in enumerate(contender.rounds) if number not in spoiled]
            contender.rounds = [contender.rounds[place] for place in kept]
            contender.started_s = [contender.started_s[place] for place in kept]
            for phase, times in contender.times.items():
                contender.times[phase] = [times[place] for place in kept]

    def _drop(self, number: int) -> None:
        del self._contenders[number]
        self._order.drop(number)
        self._forget_lost_references()

    def _forget_lost_references(self) -> None:
        live = self._contenders
        self._references = {case: of for case, of in self._references.items() if case in live and of in live}

    def _is_precise(self) -> bool:
        """True when every speedup, and every time that is compared with nothing, is known well enough."""
        contenders = [contender for contender in self._contenders.values() if contender.rounds]
        if not contenders or len(contenders) < len(self._contenders):
            return False
        series: list[FloatArray] = []
        for phase in self._phases:
            turns = {contender.case.number: _turns(contender, phase) for contender in contenders}
            compared = {case: of for case, of in self._references.items() if case in turns}
            series.extend(pair_nearest(turns[case], turns[of]) for case, of in compared.items())
            alone = turns.keys() - compared.keys() - set(compared.values())
            series.extend(np.log(turns[case].seconds) for case in alone)
        return is_precise(series, precision=self._precision)


def _turns(contender: _Contender, phase: Phase) -> Turns:
    return Turns(contender.rounds, contender.started_s, contender.times[phase])
