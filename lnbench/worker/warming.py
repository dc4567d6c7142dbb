"""How many calls a case takes, after the turns of the others, until it is as fast as it gets: found in trial rounds.

A case finds caches, and memory for its results, as the others left them. After itself, or one like it, it is hot in one
to three calls; after one with a larger footprint the third is still up to 20 % slower, and a pause does not help: it is
not threads that wake up. So the calls to leave out are found for each case, kind and field, and fields of unlike cases
pay for the longer turns. To count more calls after many that are not counted was tried, and narrowed no interval.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from scipy.optimize import isotonic_regression

from lnbench.measure.scheduling import SchedulingMeter
from lnbench.planned import Stage
from lnbench.undisturbed import DEFAULT_WAKEUP_S, waited
from lnbench.worker.calls import Kind, finished, gradients_for
from lnbench.worker.cases import Cases

TRIAL_ROUNDS = 5
"""There is room for, at the length that trials have."""

MOST_TRIAL_ROUNDS = 12
"""Taken where calls are short. Single calls scatter by 5 to 20 %, and what is not told from noise costs time."""

LEAST_TRIAL_ROUNDS = 3
"""With fewer a median says too little: then one call is left out."""

MOST_CALLS = 16
MOST_S = 20e-3
"""Most calls of a trial, and about the most seconds. Cases that touch 2 to 32 MiB, on two threads, needed ten at most;
where a single call takes this long the first one fills the caches."""

LEAST_ROOM_S = 1e-3
"""The least that each trial is shortened to where the budget is short."""

BUDGET_SHARE = 0.1
"""Of the seconds of a workload, the most that its trials take, about."""

ALIKE = 1.5
"""The ratio of their calls' lengths up to which two cases leave out the same number of calls."""

NEAR = 0.01
"""How much slower than hot the counted calls may be. Speedups rarely resolve less."""


@dataclass(frozen=True, slots=True)
class Trial:
    """So many calls of one kind, timed one by one; in the turns, `counted` of them will make a sample."""

    calls: int
    counted: int


def trial_calls(call_s: float, *, room_s: float) -> int:
    """How many calls of this length make a trial, where there is room for so many seconds of it."""
    return max(1, min(MOST_CALLS, int(room_s / max(call_s, 1e-9))))


def calls_until_hot(trials: Sequence[Sequence[float]], *, counted: int) -> int:
    """The fewest calls to leave out so that the mean of the next `counted` is near the last third's; at least one.

    `trials`: per round, the seconds of as many single calls, in order; NaN for a call that was disturbed. Each round is
    taken relative to its own last third, which stands for hot, since the machine's speed changes from round to round.
    Then the medians over the rounds are made what they are without noise: a series that only falls. 1 where too much
    was disturbed to tell.
    """
    seconds = np.asarray(trials, dtype=np.float64)
    calls = seconds.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rounds and calls that were disturbed throughout
        hot = np.nanmedian(seconds[:, -max(calls // 3, 1) :], axis=1, keepdims=True)
        relative = np.nanmedian(seconds / np.where(hot > 0, hot, np.nan), axis=0)
    if np.isnan(relative).any():
        return 1
    falling = isotonic_regression(relative, increasing=False).x
    enough = (left_out for left_out in range(1, calls) if falling[left_out : left_out + counted].mean() <= 1 + NEAR)
    return next(enough, calls)


def even_out(warm_calls: Mapping[int, int], call_s: Mapping[int, float]) -> dict[int, int]:
    """As many calls to leave out, by case, as any case needs whose calls are about as long.

    What is found scatters by a few calls. Where two cases do identical work and leave out different numbers, one is
    counted hotter than the other: ratios of identical work then lay 1 % apart from process to process, now 0.4 %.
    """
    return {
        case: max(
            found
            for other, found in warm_calls.items()
            if max(call_s[case], call_s[other]) <= ALIKE * min(call_s[case], call_s[other])
        )
        for case in warm_calls
    }


def find_warm_calls(
    cases: Cases,
    trials: Mapping[int, Mapping[Kind, Trial]],
    next_round: Callable[[], Sequence[int]],
    *,
    meter: SchedulingMeter,
    rounds: int,
    wakeup_s: float = DEFAULT_WAKEUP_S,
    now: Callable[[], float] = perf_counter,
) -> dict[int, dict[Kind, int]]:
    """The calls to leave out, by case and kind, from a few rounds in which all take their turns as they will later.

    A case that fails ends, and is left out.
    """
    taken: dict[int, dict[Kind, list[list[float]]]] = {
        number: {kind: [] for kind in kinds} for number, kinds in trials.items()
    }
    last: int | None = None
    for _ in range(rounds):
        order = [number for number in next_round() if number in trials]
        if order[:1] == [last]:  # who follows itself is hot from the start; what matters is who follows another
            order = [*order[1:], order[0]]
        last = order[-1]
        for number in order:
            if number not in cases.live:
                continue
            with cases.attempt(number, Stage.WARM_UP):
                for kind, trial in trials[number].items():
                    taken[number][kind].append(_single_calls(cases, number, kind, trial.calls, meter, wakeup_s, now))
    return {
        number: {kind: calls_until_hot(rounds, counted=trials[number][kind].counted) for kind, rounds in found.items()}
        for number, found in taken.items()
        if number in cases.live
    }


def _single_calls(
    cases: Cases,
    number: int,
    kind: Kind,
    calls: int,
    meter: SchedulingMeter,
    wakeup_s: float,
    now: Callable[[], float],
) -> list[float]:
    """Seconds of each call; NaN where a thread waited for a core meanwhile, beyond what its wake-ups cost."""
    prepared = cases.live[number].prepared
    call = finished(prepared, kind)
    found = []
    with gradients_for(prepared, kind):
        meter.look()
        for _ in range(calls):
            started = now()
            call()
            seconds, usage = now() - started, meter.look()
            is_disturbed = usage is not None and waited(
                usage.delay_s,
                seconds,
                wakeups=usage.wakeups,
                involuntary=usage.involuntary,
                wakeup_s=wakeup_s,
            )
            found.append(math.nan if is_disturbed else seconds)
    return found
