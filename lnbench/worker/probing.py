"""The probe's turns: how often its copies are called, and what they took."""

from collections.abc import Callable
from time import perf_counter

from lnbench.events import PROBE_CASE, Turn
from lnbench.measure.sampler import Copies, Sampler, warm
from lnbench.worker.calls import UNCOUNTED_S, calls_for, fastest_block_s

SAMPLE_S = 1e-3
"""The probe needs no interval of its own, so its turns are short."""


class ProbeTurns:
    """Takes the probe's turns in a workload of a process; `turn_s` is what the last one took."""

    def __init__(self, probe: Copies, sampler: Sampler, *, process: int, workload_number: int) -> None:
        self._probe = probe
        self._sampler = sampler
        self._process = process
        self._workload = workload_number
        self._calls: dict[str, int] = {}
        self.turn_s = 0.0

    def choose_calls(self, wait: Callable[[], None], *, sample_s: float) -> None:
        """See how long each copy takes, and choose how often it is called for samples of at most this long."""
        self._calls = {
            name: calls_for(fastest_block_s(call, wait), min(sample_s, SAMPLE_S))
            for name, call in self._probe.pieces.items()
        }

    def take(self, number: int, *, started: float) -> Turn:
        """One sample of each copy in a round."""
        begun = perf_counter()
        uncounted = 0
        wall: dict[str, float] = {}
        device: dict[str, float] = {}
        for name, calls in self._calls.items():
            uncounted += warm(self._probe.pieces[name], least_s=UNCOUNTED_S)
            sample = self._sampler.sample_copy(self._probe, name, calls)
            wall |= sample.wall_s
            device |= sample.device_s
        self.turn_s = perf_counter() - begun
        return Turn(
            process=self._process,
            workload=self._workload,
            round=number,
            case=PROBE_CASE,
            started_s=begun - started,
            calls=self._calls,
            uncounted=uncounted,
            wall_s=wall,
            device_s=device,
        )
