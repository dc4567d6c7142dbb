"""Which samples of a turn count while rounds are taken: those that other processes did not disturb."""

from collections import defaultdict

from lnbench.worker.calls import Kind
from lnbench.worker.others import Others
from lnbench.worker.turn_samples import Samples, TurnSamples
from lnbench.worker.wakeups import WakeupCosts
from lnbench.workload import Clock

BUSY_BELOW = 0.9
"""The share of undisturbed samples below which the rounds go on past the budget. On a quiet machine 97 of 100 are."""


class SampleCheck:
    """Counts the samples of a workload's turns, and those that were undisturbed.

    `clock`: the one that decides. On a device's every sample counts, whatever the host's threads did.
    `is_quiet`: no other process runs, and threads that wait, wait for each other.
    """

    def __init__(self, others: Others, *, clock: Clock, wakeup_s: float) -> None:
        self._others = others
        self._clock = clock
        self._wakeup_s = wakeup_s
        self.is_quiet = False
        self.taken = self.undisturbed = 0

    def look(self) -> None:
        """See whether other processes run; not where the device's clock decides, whatever the host's threads do."""
        self.is_quiet = self._clock is Clock.WALL and self._others.are_away()

    @property
    def is_busy(self) -> bool:
        """True where other processes disturbed a good part of the samples so far."""
        return self.undisturbed < BUSY_BELOW * self.taken

    def means(self, turn: TurnSamples, costs: WakeupCosts) -> dict[str, float]:
        """By phase the mean of the undisturbed samples of a turn; `costs`: what a wake-up costs its case."""
        found: dict[str, list[float]] = defaultdict(list)
        for sample in turn.samples:
            disturbed = self._disturbed(sample, costs, stolen=turn.steal_s > 0)
            self.taken += len(sample.calls)
            self.undisturbed += len(sample.calls) - len(disturbed)
            for phase, seconds in getattr(sample, self._clock.field).items():
                if (phase if phase in sample.calls else Kind.STEP) not in disturbed:
                    found[phase].append(seconds)
        return {phase: sum(seconds) / len(seconds) for phase, seconds in found.items()}

    def _disturbed(self, sample: Samples, costs: WakeupCosts, *, stolen: bool) -> set[str]:
        """The kinds of call of a sample that do not count."""
        for kind, delay_s in sample.delay_s.items():
            costs.note(kind, delay_s=delay_s, wakeups=sample.wakeups[kind])
        if stolen:
            return set(sample.calls)
        return set() if self.is_quiet else sample.disturbed(costs, wakeup_s=self._wakeup_s)
