"""Looks at the machine between turns, and says which rounds were spoiled by what it did."""

from collections.abc import Callable
from time import perf_counter

from lnbench.disturbances import disturbance
from lnbench.measure.watch import Watcher
from lnbench.observed import Conditions
from lnbench.worker.cases import Cases

LOOK_EVERY_S = 0.05
"""More often would cost more than it tells (design, section 4.10)."""


class Watch:
    """Looks at most every 50 ms and reports each look; the first one only begins the first window."""

    def __init__(
        self, cases: Cases, watcher: Watcher, *, workload_number: int, now: Callable[[], float] = perf_counter
    ) -> None:
        self._cases = cases
        self._watcher = watcher
        self._workload = workload_number
        self._now = now
        self._round: int | None = None
        self._looked = 0.0

    def before_turn(self, number: int) -> range:
        """To be called before each turn, with its round; gives the rounds that were spoiled since the look before."""
        if self._round is None:
            self._watcher.look()
            self._round, self._looked = number, self._now()
            return range(0)
        if self._now() - self._looked < LOOK_EVERY_S:
            return range(0)
        return self._report(number)

    def finish(self, number: int) -> range:
        """The last look, after the last turn; then what is to be said about the watching itself."""
        spoiled = range(0) if self._round is None else self._report(number)
        for code, text in self._watcher.notices():
            self._cases.notice(None, code, text)
        return spoiled

    def _report(self, number: int) -> range:
        assert self._round is not None  # the callers have asked
        found, now = self._watcher.look(), self._now()
        conditions = Conditions(
            process=self._cases.process,
            workload=self._workload,
            first_round=self._round,
            last_round=number,
            seconds=now - self._looked,
            readings=found.readings,
            throttling=found.throttling,
        )
        self._round, self._looked = number, now
        self._cases.report(conditions)
        # A GPU's own clock decides when to stop.
        is_spoiled = disturbance(conditions, on_device=self._cases.workload.is_cuda)
        return range(conditions.first_round, number + 1) if is_spoiled else range(0)
