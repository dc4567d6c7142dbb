"""Which samples are undisturbed, and how far leaving out the others tilts what is kept.

Undisturbed: no thread of the process waited for a core that another process used. A sample in which a thread was ready
to run and had no core does not time the code: a kernel on two threads waits at its barrier for the thread that is not
running. Such samples are left out of every figure. The criterion is never the time itself.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnbench.stats import LEAST_FOR_MEDIAN, FloatArray

MOST_DELAY = 0.02
"""The share of a sample that its threads may have waited, beyond what their own wake-ups cost. A neighbour's time slice
takes milliseconds, an interrupt microseconds."""

DEFAULT_WAKEUP_S = 7e-6
"""Run-queue delay of a wake-up on a quiet machine, where the run did not measure it."""

OWN_SPREAD = 1.5
"""A row's own cost of a wake-up, over the delay per wake-up of its least tenth of samples: on a quiet machine most of
its samples stay below it."""

MOST_OWN_WAKEUPS = 3.0
"""A row's own cost of a wake-up is believed up to this multiple of the machine's."""

FEW_WAKEUPS = 4
"""So many wake-ups of a sample are paid at the machine's cost. More of them cost less each, since an idle core mostly
takes a thread with no delay: 1,300 a sample of 2 ms cost 0.7 us each, and at 5 us would hide a time slice of 5 ms."""

SLOW_BOOKING_S = 8e-3
"""Two ticks of a slow kernel clock. CPU time of other threads that are running is booked at ticks: for shorter samples
it says nothing."""

LEAST_CORES = 0.8
"""Of the CPU time over wall time that a row's upper decile shows. Where a pool of threads is woken at every call, the
call can end without them: one ONNX Runtime call in two then used one core of two, and no thread of it had waited."""

PARKING = 0.5
"""Wake-ups a call from which on a row's threads count as woken at every call."""

POOLS = frozenset({"onnxruntime", "jaxlib", "tensorflow"})
"""Libraries whose calls may end without the threads that they woke. OpenMP's wait for all of theirs at a barrier; and
those spin on after a call, so that their CPU time is booked later, at a tick, and says nothing of one sample."""

PREEMPTED_S = 100e-6
"""Run-queue delay from which on a thread has lost its core to another process, rather than waited to be woken."""

LEAST_REACH_S = 20e-6
"""A wait that began so long before the look before it disturbs the samples of then, too; less is the look itself."""

LEAST_SHARE = 0.1
"""Of the samples that have to be undisturbed. With fewer the estimate of the tilt rests on too little."""

MOST_TILT = 0.01
"""How far leaving samples out may shift a row's log mean, or its reference's. Beyond it the row is unstable."""

MOST_TILT_APART = 0.005
"""How far it may shift their ratio. That larger shifts of both cancel is not relied on."""

LEAST_PAIRS = LEAST_FOR_MEDIAN
"""Fewer pairs of undisturbed turns in a process have no interval: it does not count where it lost its pairs to a busy
machine."""

QUIET_SHARE = 0.9
"""Where no other process runs and fewer of a row's samples than this look undisturbed, its threads wait for each other,
and all of its samples count."""

_TAILS = (0.025, 0.975)


class Means(StrEnum):
    """By what the samples of a row were judged to be undisturbed or not."""

    UNKNOWN = ""
    DELAY = "run-queue delay"
    DELAY_AND_CPU = "run-queue delay, CPU time"
    SWITCHES = "context switches, CPU time"
    ALONE = "no other process ran"


class ThreadUse(NamedTuple):
    """What the scheduler did to the threads of a process between two looks.

    `delay_s`: in the run queue, summed over threads; None where the system does not count it. `wakeups`: how often a
    thread was put on a core. `window_s`: from look to look. `reach_s`: how long before the first of the two some thread
    had been waiting.
    """

    delay_s: float | None = None
    wakeups: int = 0
    involuntary: int = 0
    voluntary: int = 0
    window_s: float = 0.0
    reach_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Looks:
    """The samples of one row, one value each: what each took in all, its calls, and what the scheduler did meanwhile.

    NaN where it was not looked at. `wakeup_s`: what a wake-up costs in the process of each. `has_pool`: a call may end
    without the threads that it woke.
    """

    wall_s: FloatArray
    calls: FloatArray
    delay_s: FloatArray
    wakeups: FloatArray
    involuntary: FloatArray
    cpu_s: FloatArray
    wakeup_s: FloatArray
    has_pool: bool = False


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """Which samples are undisturbed, and by which means that was found out. With unknown means all of them are kept."""

    kept: NDArray[np.bool_]
    means: Means


def undisturbed(looks: Looks) -> Undisturbed:
    """Judge the samples of one row together: its own upper decile of CPU time, and its own cost of a wake-up, count."""
    count = len(looks.wall_s)
    has_delay, has_switches = ~np.isnan(looks.delay_s), ~np.isnan(looks.involuntary)
    if not count or not (has_delay | has_switches).any():
        return Undisturbed(np.ones(count, dtype=bool), Means.UNKNOWN)
    if has_delay.any():
        excess = looks.delay_s - _own_wakeups_s(looks)
        kept = ~(excess > MOST_DELAY * looks.wall_s)  # what was not looked at is kept
        if not (looks.has_pool and _is_parking(looks)):
            return Undisturbed(kept, Means.DELAY)
        return Undisturbed(kept & _uses_its_cores(looks), Means.DELAY_AND_CPU)
    is_booked = looks.has_pool | (looks.wall_s >= SLOW_BOOKING_S)
    return Undisturbed(~(looks.involuntary > 0) & (_uses_its_cores(looks) | ~is_booked), Means.SWITCHES)


def waited(
    delay_s: float | None,
    seconds: float,
    *,
    wakeups: int,
    involuntary: int,
    wakeup_s: float = DEFAULT_WAKEUP_S,
    own_s: float | None = None,
) -> bool:
    """True when threads waited for a core during one sample of so many seconds, beyond what their wake-ups cost.

    For samples that are judged one by one while a row is measured. `undisturbed` has the same limits and looks at CPU
    time as well, for which it takes the whole row. `own_s`: what a wake-up has cost the row's least tenth of samples so
    far; None: not known, so all are paid at the machine's cost. `delay_s` None: not counted here, so an involuntary
    switch decides.
    """
    if delay_s is None:
        return involuntary > 0
    allowed_s = wakeups * wakeup_s if own_s is None else float(_delay_allowed_s(np.float64(wakeups), wakeup_s, own_s))
    return delay_s - allowed_s > MOST_DELAY * seconds


def was_preempted(usage: ThreadUse) -> bool:
    """True when some thread lost its core for so long that another process may have used the caches."""
    if usage.delay_s is None:
        return usage.involuntary > 0
    return usage.delay_s - usage.wakeups * DEFAULT_WAKEUP_S > PREEMPTED_S


def tilt(seconds: FloatArray, *, share: float) -> float:
    """About how far the log mean of what is kept lies from that of all, when a share of the samples is kept.

    A sample is disturbed with a chance that grows with its duration, t = t0 exp(e): what is kept has its density times
    exp(-rate t), which shifts the mean of e by -rate t0 var(e), and rate t0 is -ln(share). The variance is that of
    neighbours in time, half the mean square of their differences, because what drifts slowly is the same on both sides
    of a pair. Differences are clipped at their 2.5th and 97.5th percentile, so that a disturbance that was not seen
    does not pass for spread.
    `seconds`: the undisturbed samples in time order. 0 for fewer than three, or without any loss.
    """
    if len(seconds) < 3 or not 0 < share < 1:
        return 0.0
    steps = np.diff(np.log(seconds))
    return math.log(share) * float(np.mean(np.clip(steps, *np.quantile(steps, _TAILS)) ** 2)) / 2


def pairs_needed(turns: int) -> int:
    """Of so many turns in a process, the fewest that have to be undisturbed: enough for an interval, or half of few."""
    return min(LEAST_PAIRS, -(-turns // 2))


def _own_wakeups_s(looks: Looks) -> FloatArray:
    """Delay that the wake-ups of each sample explain: at the row's own cost, a few of them at the machine's."""
    woken = (looks.wakeups > 0) & ~np.isnan(looks.delay_s)
    least_s = float(np.quantile(looks.delay_s[woken] / looks.wakeups[woken], 0.1)) if woken.any() else 0.0
    return np.asarray(_delay_allowed_s(looks.wakeups, looks.wakeup_s, least_s), dtype=np.float64)


def _delay_allowed_s(wakeups: Any, wakeup_s: Any, own_s: float) -> Any:
    """Delay that so many wake-ups explain, of numbers or arrays."""
    few_s = np.minimum(wakeups, FEW_WAKEUPS) * wakeup_s
    return np.fmax(wakeups * np.minimum(OWN_SPREAD * own_s, MOST_OWN_WAKEUPS * wakeup_s), few_s)


def _is_parking(looks: Looks) -> bool:
    wakeups_a_call = looks.wakeups / looks.calls
    known = wakeups_a_call[~np.isnan(wakeups_a_call)]
    return len(known) > 0 and bool(np.median(known) >= PARKING)


def _uses_its_cores(looks: Looks) -> NDArray[np.bool_]:
    """Where CPU time over wall time is near the row's upper decile; true where it is not known."""
    cores = looks.cpu_s / np.where(looks.wall_s > 0, looks.wall_s, np.nan)
    known = cores[~np.isnan(cores)]
    if not len(known):
        return np.ones(len(cores), dtype=bool)
    return ~(cores < LEAST_CORES * float(np.quantile(known, 0.9)))
