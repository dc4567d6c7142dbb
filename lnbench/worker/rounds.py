"""The timed rounds of one workload: every live case takes its turn, until the speedups are known well enough."""

import gc
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import numpy as np

from lnbench.measure.heap import page_faults
from lnbench.measure.sampler import Sample, Sampler, warm
from lnbench.pairing import Turns, pair_nearest
from lnbench.record import PROBE_CASE, Stage, Turn, WorkloadFinished
from lnbench.stats import FloatArray, is_precise
from lnbench.worker.cases import Cases, LiveCase
from lnbench.worker.protocol import Progress, WorkerChannel
from lnbench.worker.turns import TurnOrder
from lnbench.workload import STEP_PHASES, Phase

UNCOUNTED_S = 200e-6
"""The first call or the first 200 µs of a turn, whichever is longer, are not counted: they pay for the caches and the
branch predictor that the turn before left behind."""

LONGEST_SAMPLE_S = 2e-3
"""Shorter than a scheduler's time slice, so that most samples are whole although a neighbour wants the cores. With one
beside it, medians over samples of 2 ms were off by 0.4 to 1.3 %, over samples of 10 ms by 0.3 to 2.9 %."""

COPY_SAMPLE_S = 1e-3
"""The probe needs no interval of its own, so its turns are short."""

WANTED_ROUNDS = 40
"""Calls per sample are chosen so that at least about this many rounds fit into the budget."""

LEAST_ROUNDS = 3
"""Measured even where the budget does not suffice, because fewer have no interval at all."""

WORTHWHILE_S = 20e-3
"""Calls shorter than this are counted at least twice a turn, for one that is not counted goes before them; shorter than
a quarter of it, at least three times."""

TELL_EVERY_S = 0.5
CHECK_EVERY_ROUNDS = 5
WANTED_LOOKS = 2
"""Successive looks that must find every interval narrow enough: a narrow one is lucky at times, and stopping at first
sight costs up to ten points of coverage where the machine switches between two speeds (simulated)."""

MOST_SPOILED_TURNS = 3
"""Turns in which something was compiled anew, before the case is given up."""

_INFERENCE, _STEP = "inference", "step"


@dataclass
class _Contender:
    """A live case with the shortest mean of its samples by kind, and what its turns gave so far."""

    case: LiveCase
    call_s: dict[str, float]
    turn_s: float = 0.0
    spoiled: int = 0
    rounds: list[int] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class Rounds:
    """Runs the rounds of a workload and reports every turn.

    `copy` is the probe's call. `on_device`: the device's clock decides when to stop, not the host's.
    """

    def __init__(
        self,
        channel: WorkerChannel,
        cases: Cases,
        sampler: Sampler,
        *,
        process: int,
        workload_number: int,
        reference: int | None,
        phases: tuple[Phase, ...],
        precision: float,
        budget_s: float,
        first_round: int,
        seed: int,
        copy: Callable[[], object],
        on_device: bool,
    ) -> None:
        self._channel = channel
        self._cases = cases
        self._sampler = sampler
        self._process = process
        self._workload = workload_number
        self._reference = reference if reference in cases.live else None
        self._phases = phases
        self._kinds = ([_INFERENCE] if Phase.INFERENCE in phases else []) + (
            [_STEP] if set(STEP_PHASES) & set(phases) else []
        )
        self._precision = precision
        self._budget_s = budget_s
        self._round = first_round
        self._copy = copy
        self._on_device = on_device
        self._contenders: dict[int, _Contender] = {}
        self._sample_s = LONGEST_SAMPLE_S
        self._copy_calls = 1
        self._copy_turn_s = 0.0
        self._order = TurnOrder([*cases.live, PROBE_CASE], reference=self._reference, seed=seed)

    def run(self, *, setup_s: float, compiling_s: float) -> None:
        """Warm up, then take turns; ends with a WorkloadFinished event."""
        self._choose_calls()
        gc.collect()
        gc.disable()
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
        self._channel.send(
            WorkloadFinished(
                process=self._process,
                workload=self._workload,
                rounds=self._round - first,
                stopped_by=stopped_by,
                rounds_s=perf_counter() - started,
                setup_s=setup_s,
                compiling_s=compiling_s,
            )
        )
        self._channel.flush()

    def _one_round(self, started: float) -> None:
        expected = {number: contender.turn_s for number, contender in self._contenders.items()}
        for number in self._order.next_round(expected | {PROBE_CASE: self._copy_turn_s}):
            if number == PROBE_CASE:
                self._probe_turn(started)
            elif number in self._contenders:
                self._turn(self._contenders[number], started)
        self._round += 1

    def _turn(self, contender: _Contender, started: float) -> None:
        """One case's samples, one of each kind; a turn in which something was compiled is not reported."""
        case = contender.case
        with self._cases.attempt(case.number, Stage.TIMING):
            compiled = case.prepared.compilations()
            begun = perf_counter()
            uncounted = faults = 0
            calls: dict[str, int] = {}
            wall: dict[str, float] = {}
            device: dict[str, float] = {}
            for kind in self._kinds:
                calls[kind] = _calls(contender.call_s[kind], self._sample_s)
                sample, before, paid = self._sample(case, kind, calls[kind])
                wall |= sample.wall_s
                device |= sample.device_s
                uncounted += before
                faults += paid
            contender.turn_s = perf_counter() - begun
            if case.prepared.compilations() != compiled:
                self._spoiled(contender)
            else:
                self._keep(contender, begun - started, calls, wall, device, uncounted=uncounted, faults=faults)
        if case.number not in self._cases.live:
            self._drop(case.number)

    def _sample(self, case: LiveCase, kind: str, calls: int) -> tuple[Sample, int, int]:
        """A sample, how many calls went before it uncounted, and the page faults that the counted ones paid."""
        prepared = case.prepared
        with prepared.without_gradients() if kind == _INFERENCE else nullcontext():
            call = prepared.inference if kind == _INFERENCE else lambda: prepared.backward(prepared.forward())
            uncounted = warm(call, least_s=UNCOUNTED_S)
            take = self._sampler.sample_inference if kind == _INFERENCE else self._sampler.sample_step
            before = page_faults()
            sample = take(prepared, calls)
            return sample, uncounted, page_faults() - before

    def _keep(
        self,
        contender: _Contender,
        started_s: float,
        calls: Mapping[str, int],
        wall: Mapping[str, float],
        device: Mapping[str, float],
        *,
        uncounted: int,
        faults: int,
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
                faults=faults / sum(calls.values()),
            )
        )
        for kind, phase in ((_INFERENCE, "inference"), (_STEP, "forward_backward")):
            if phase in wall:
                contender.call_s[kind] = min(contender.call_s[kind], wall[phase])
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

    def _probe_turn(self, started: float) -> None:
        begun = perf_counter()
        uncounted = warm(self._copy, least_s=UNCOUNTED_S)
        sample = self._sampler.sample_copy(self._copy, self._copy_calls)
        self._copy_turn_s = perf_counter() - begun
        self._channel.send(
            Turn(
                process=self._process,
                workload=self._workload,
                round=self._round,
                case=PROBE_CASE,
                started_s=begun - started,
                calls={"copy": self._copy_calls},
                uncounted=uncounted,
                wall_s=sample.wall_s,
                device_s=sample.device_s,
            )
        )

    def _choose_calls(self) -> None:
        """Call everything until it is warm, see how long a call takes, and choose how long samples are."""
        seconds: dict[int, dict[str, float]] = {}
        for number, case in list(self._cases.live.items()):
            with self._cases.attempt(number, Stage.WARM_UP):
                seconds[number] = {kind: self._call_s(case, kind) for kind in self._kinds}
                with case.prepared.steady():
                    self._check_steady(case)
        copy_s = _seconds(self._copy, lambda: None)
        samples = sum(len(kinds) for kinds in seconds.values()) + 1
        self._sample_s = min(self._budget_s / WANTED_ROUNDS / samples, LONGEST_SAMPLE_S)
        for number, kinds in seconds.items():
            if number in self._cases.live:
                self._contenders[number] = _Contender(self._cases.live[number], kinds)
            else:
                self._order.drop(number)
        self._copy_calls = _calls(copy_s, min(self._sample_s, COPY_SAMPLE_S))
        if self._reference not in self._contenders:
            self._reference = None

    def _call_s(self, case: LiveCase, kind: str) -> float:
        prepared = case.prepared
        with prepared.without_gradients() if kind == _INFERENCE else nullcontext():
            call = prepared.inference if kind == _INFERENCE else lambda: prepared.backward(prepared.forward())
            return _seconds(call, prepared.wait)

    def _check_steady(self, case: LiveCase) -> None:
        """One call of each kind in a state where compiling anew or falling back raises."""
        prepared = case.prepared
        if _INFERENCE in self._kinds:
            with prepared.without_gradients():
                prepared.inference()
        if _STEP in self._kinds:
            prepared.backward(prepared.forward())
        prepared.wait()

    def _drop(self, number: int) -> None:
        del self._contenders[number]
        self._order.drop(number)
        if number == self._reference:
            self._reference = None

    def _is_precise(self) -> bool:
        """True when every speedup, or without a reference every time, is known well enough."""
        contenders = [contender for contender in self._contenders.values() if contender.rounds]
        if not contenders or len(contenders) < len(self._contenders):
            return False
        series: list[FloatArray] = []
        for phase in self._phases:
            turns = {contender.case.number: _turns(contender, phase) for contender in contenders}
            reference = turns.pop(self._reference, None) if self._reference is not None else None
            if reference is None or not turns:
                known = [*turns.values(), *([reference] if reference else [])]
                series.extend(np.log(own.seconds) for own in known)
            else:
                series.extend(pair_nearest(own, reference) for own in turns.values())
        return is_precise(series, precision=self._precision)


def _turns(contender: _Contender, phase: Phase) -> Turns:
    return Turns(contender.rounds, contender.started_s, contender.times[phase])


def _calls(call_s: float, sample_s: float) -> int:
    """How many calls make a sample: about this long, and enough to be worth the call that is not counted."""
    least = 3 if call_s < WORTHWHILE_S / 4 else 2 if call_s < WORTHWHILE_S else 1
    return max(least, round(sample_s / max(call_s, 1e-9)))


def _seconds(call: Callable[[], object], wait: Callable[[], None]) -> float:
    """How long one warm call takes, by the fastest of three blocks; the turns correct it."""
    count = warm(call, least_s=UNCOUNTED_S)
    wait()
    blocks = []
    for _ in range(3):
        started = perf_counter()
        for _ in range(count):
            call()
        wait()
        blocks.append((perf_counter() - started) / count)
    return min(blocks)
