"""How many calls of a kind of work are enqueued at once, and how long a spin holds the device meanwhile.

Learnt from the kind's own samples: what waits for the device inside a call would otherwise spoil those of others.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from lnbench.measure.sampler import Missed

FIRST_CALLS = 48
"""An eager step with its events makes about 20 launches."""

MOST_LAUNCHES = 960
"""The driver's queue takes about 1,000; past that the host waits until the device has taken some."""

FIRST_SPIN_S = 2e-3
LEAST_SPIN_S = 0.5e-3
LONGEST_SPIN_S = 0.25

HEADROOM = 1.5
"""A spin lasts so many times what the enqueueing took last, for the host is not equally fast each time."""

SHRINK = 0.9
"""A spin becomes shorter by no more than this from sample to sample, so that one fast host does not make the next late.
"""

_FOLLOWS = 0.5
"""The share of a longer spin by which an enqueueing that waits for its end takes longer; one that does not has none."""


class _Late(NamedTuple):
    """A sample that was not in time: what enqueueing it took, how long the spin held the device, and was asked to."""

    enqueue_s: float
    held_s: float
    spin_s: float


@dataclass
class LaunchQueue:
    """What one kind of work needs. `launches`: those of a call that are known, its own at least one each part.

    `spin_s`: how long a spin is asked for. `most_calls`: how many calls are enqueued at most; it grows while the host
    is ahead, and is 0 when not even one could be enqueued in time. `missed`: why the last sample was not in time.
    """

    launches: int = 3
    spin_s: float = FIRST_SPIN_S
    most_calls: int = FIRST_CALLS
    missed: Missed | None = None
    _most_ever: int = field(init=False)
    _late: _Late | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._most_ever = MOST_LAUNCHES // self.launches

    def learn(self, *, calls: int, enqueue_s: float, held_s: float, in_time: bool) -> None:
        """Take a sample of so many calls into account.

        `enqueue_s`: what enqueueing the spin and all calls took the host. `held_s`: how long the spin really held the
        device, for it counts cycles of a clock that changes; longer where launching is slow. `in_time`: the device had
        not reached the first call by then.
        """
        needed_s = HEADROOM * enqueue_s * max(self.spin_s / max(held_s, 1e-9), 1.0)
        if in_time:
            self._late = self.missed = None
            grown = min(2 * self.most_calls, self._most_ever) if calls >= self.most_calls else self.most_calls
            self._spin(max(needed_s, SHRINK * self.spin_s) * max(grown / self.most_calls, 1))
            self.most_calls = max(grown, self.most_calls)
            return
        before, self._late = self._late, _Late(enqueue_s, held_s, self.spin_s)
        if before is None:
            self.missed = Missed.LATE
            self._spin(needed_s)
            return
        # A longer spin did not help: what waits, the queue when it is full or a call inside, waits for its end.
        self.missed = self._reason(before, self._late)
        self.most_calls = self._most_ever = calls // 2

    def _reason(self, before: _Late, now: _Late) -> Missed:
        """Whether the enqueueing followed a longer spin, or is slow by itself; as before without a longer one."""
        if now.spin_s <= before.spin_s:
            return self.missed or Missed.LATE
        longer_s = now.held_s - before.held_s
        followed = longer_s > 0.1 * before.held_s and now.enqueue_s - before.enqueue_s > _FOLLOWS * longer_s
        return Missed.WAITS if followed else Missed.LATE

    def _spin(self, seconds: float) -> None:
        self.spin_s = min(max(seconds, LEAST_SPIN_S), LONGEST_SPIN_S)
