"""The cases that take turns: how each is called in a turn, found out while it warms up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lnbench.measure.placement import working_threads
from lnbench.measure.sampler import Sampler
from lnbench.measure.scheduling import SchedulingMeter
from lnbench.planned import Stage
from lnbench.undisturbed import DEFAULT_WAKEUP_S
from lnbench.worker.calls import Kind, call_seconds, calls_for, check_steady, kinds_for, take_samples
from lnbench.worker.cases import Cases, LiveCase
from lnbench.worker.device_times import DeviceTimes
from lnbench.worker.pace import Pace
from lnbench.worker.turn_samples import TurnSamples
from lnbench.worker.wakeups import WakeupCosts
from lnbench.worker.warming import (
    ALIKE,
    BUDGET_SHARE,
    LEAST_ROOM_S,
    LEAST_TRIAL_ROUNDS,
    MOST_S,
    MOST_TRIAL_ROUNDS,
    TRIAL_ROUNDS,
    Trial,
    even_out,
    find_warm_calls,
    trial_calls,
)
from lnbench.workload import Phase

LEAST_SHARE = 0.05
"""A sample this much shorter than the first estimate of a call is an error of the clock, and chooses no calls."""


@dataclass
class Contender:
    """A live case, and how its samples are taken, by kind.

    `call_s`: the shortest mean of its samples, not below `least_s`. `warm_calls`: those that go before a sample.
    `turn_s`: what its last turn took. `spoiled`: its turns in which something was compiled. `threads`: those of this
    process that worked in its last turn, the calling one first. `turns`: how many it has taken.
    """

    case: LiveCase
    call_s: dict[Kind, float]
    least_s: dict[Kind, float]
    warm_calls: dict[Kind, int]
    turn_s: float = 0.0
    spoiled: int = 0
    threads: tuple[int, ...] = ()
    turns: int = 0
    wakeup_costs: WakeupCosts = field(default_factory=WakeupCosts)
    device_times: DeviceTimes = field(default_factory=DeviceTimes)

    def take_turn(
        self, sampler: Sampler, meter: SchedulingMeter, pace: Pace, *, length_s: Mapping[Kind, float]
    ) -> TurnSamples:
        """The samples of each kind, as many and as long as the pace says.

        `length_s`: the length of a call by which the calls of a sample are counted, the same for cases of like length.
        """
        turn = TurnSamples.empty(pace.samples)
        stolen_s, worked = meter.steal_s(), meter.cpu_by_thread_s()
        for kind, call_s in self.call_s.items():
            calls = calls_for(length_s[kind], pace.sample_s, crowded=pace.is_crowded)
            block = take_samples(
                self.case.prepared,
                kind,
                sampler,
                meter=meter,
                calls=calls,
                samples=pace.samples_of(calls * length_s[kind]),
                warm_calls=self.warm_calls[kind],
                call_s=call_s,
                crowded=pace.is_crowded,
            )
            turn.add(kind, block, calls=calls)
            self.device_times.note(kind, [taken.sample for taken in block.taken])
            shortest = min((taken.call_s for taken in block.taken if taken.call_s is not None), default=call_s)
            self.call_s[kind] = min(call_s, max(shortest, self.least_s[kind]))
        after_s = meter.steal_s()
        if stolen_s is not None and after_s is not None:
            turn.steal_s = max(after_s - stolen_s, 0.0)
        self.threads = tuple(working_threads(worked, meter.cpu_by_thread_s()))
        self.turns += 1
        return turn


def shared_lengths(contenders: Mapping[int, Contender]) -> dict[int, dict[Kind, float]]:
    """For each case and kind the shortest call among the cases whose calls are about as long.

    Samples of a few calls would otherwise hold two calls of one twin and one of the other.
    """
    return {
        number: {
            kind: min(
                it.call_s[kind]
                for it in contenders.values()
                if kind in it.call_s and it.call_s[kind] * ALIKE >= own_s and it.call_s[kind] <= own_s
            )
            for kind, own_s in contender.call_s.items()
        }
        for number, contender in contenders.items()
    }


def warmed_up(cases: Cases, phases: tuple[Phase, ...]) -> dict[int, Contender]:
    """Every live case, called until it is warm and its calls' length is known; what fails at that ends."""
    found = {}
    for number, case in list(cases.live.items()):
        with cases.attempt(number, Stage.WARM_UP):
            kinds = kinds_for(phases, case.prepared, on_cuda=cases.workload.is_cuda)
            call_s = {kind: call_seconds(case.prepared, kind) for kind in kinds}
            check_steady(case.prepared, kinds)
            least_s = {kind: seconds * LEAST_SHARE for kind, seconds in call_s.items()}
            found[number] = Contender(case, call_s, least_s, warm_calls=dict.fromkeys(kinds, 1))
    return found


def choose_warm_calls(
    cases: Cases,
    contenders: Mapping[int, Contender],
    next_round: Callable[[], Sequence[int]],
    *,
    meter: SchedulingMeter,
    sample_s: float,
    budget_s: float,
    wakeup_s: float = DEFAULT_WAKEUP_S,
) -> None:
    """Find out how many calls each takes until it is hot, in a small share of the budget; what fails at that ends."""
    budgeted_s = BUDGET_SHARE * budget_s
    trials, round_s = _trials(contenders, sample_s=sample_s, room_s=MOST_S)
    room_s = MOST_S
    while round_s * TRIAL_ROUNDS > budgeted_s and room_s > LEAST_ROOM_S:
        room_s *= 0.7
        trials, round_s = _trials(contenders, sample_s=sample_s, room_s=room_s)
    rounds = min(int(budgeted_s / max(round_s, 1e-9)), MOST_TRIAL_ROUNDS)
    if not contenders or rounds < LEAST_TRIAL_ROUNDS:
        return
    found = find_warm_calls(cases, trials, next_round, meter=meter, rounds=rounds, wakeup_s=wakeup_s)
    for kind in {kind for kinds in found.values() for kind in kinds}:
        needed = {number: kinds[kind] for number, kinds in found.items() if kind in kinds}
        call_s = {number: contenders[number].call_s[kind] for number in needed}
        for number, calls in even_out(needed, call_s).items():
            contenders[number].warm_calls[kind] = calls


def _trials(
    contenders: Mapping[int, Contender], *, sample_s: float, room_s: float
) -> tuple[dict[int, dict[Kind, Trial]], float]:
    """A trial of each kind of call of each, in so much room, and the seconds of a round of them."""
    trials = {
        number: {
            kind: Trial(trial_calls(call_s, room_s=room_s), counted=calls_for(call_s, sample_s))
            for kind, call_s in contender.call_s.items()
        }
        for number, contender in contenders.items()
    }
    return trials, sum(
        trials[number][kind].calls * call_s for number, it in contenders.items() for kind, call_s in it.call_s.items()
    )
