"""The probe's turns: how often its copies are called, and what they took."""

from collections.abc import Callable
from functools import partial
from time import perf_counter

from lnbench.measure.sampler import Copies, Sampler
from lnbench.measure.scheduling import SchedulingMeter
from lnbench.worker.calls import calls_for, fastest_block_s, take_block
from lnbench.worker.pace import Pace
from lnbench.worker.turn_samples import TurnSamples

SAMPLE_S = 1e-3
"""The probe needs no interval of its own, so its turns are short."""


class ProbeTurns:
    """Takes the probe's turns; `turn_s` is what the last one took.

    `wait`: returns when its copies are done. Those of a case may not wait for them: another framework's know its own.
    """

    def __init__(
        self, probe: Copies, sampler: Sampler, meter: SchedulingMeter, *, wait: Callable[[], None] = lambda: None
    ) -> None:
        self._probe = probe
        self._wait = wait
        self._sampler = sampler
        self._meter = meter
        self._call_s: dict[str, float] = {}
        self.turn_s = 0.0

    def choose_calls(self) -> None:
        """See how long each copy takes."""
        self._call_s = {name: fastest_block_s(call, self._wait) for name, call in self._probe.pieces.items()}

    def take(self, pace: Pace) -> TurnSamples:
        """The samples of each copy in a round, of at most SAMPLE_S."""
        begun = perf_counter()
        turn = TurnSamples.empty(pace.samples)
        sample_s = min(pace.sample_s, SAMPLE_S)
        for name, call_s in self._call_s.items():
            calls = calls_for(call_s, sample_s, crowded=pace.is_crowded)
            take = partial(self._sampler.sample_copy, self._probe, name, calls)
            block = take_block(
                partial(self._to_its_end, name),
                take,
                whole=name,
                meter=self._meter,
                samples=pace.samples_of(calls * call_s),
                call_s=call_s,
                crowded=pace.is_crowded,
            )
            turn.add(name, block, calls=calls)
        self.turn_s = perf_counter() - begun
        return turn

    def _to_its_end(self, name: str) -> None:
        self._probe.pieces[name]()
        self._wait()
