"""How a case is called in a turn: its samples of each kind, the calls left out before them, and how many make one."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from time import perf_counter
from typing import Any

from lnbench.implementations.contract import Prepared
from lnbench.measure.heap import page_faults
from lnbench.measure.sampler import Sample, Sampler, warm
from lnbench.measure.scheduling import SchedulingMeter
from lnbench.undisturbed import ThreadUse, was_preempted
from lnbench.workload import STEP_PHASES, Clock, Phase

UNCOUNTED_S = 200e-6
"""At least the first call and the first 200 µs of a sample are not counted: they pay for the caches and the branch
predictor that the turn before left behind. `warming` finds out where it takes more calls."""

LONGEST_SAMPLE_S = 2e-3
"""Shorter than a scheduler's time slice, so that most samples are whole although a neighbour wants the cores. With one
beside it, medians over samples of 2 ms were off by 0.4 to 1.3 %, over samples of 10 ms by 0.3 to 2.9 %."""

WORTHWHILE_S = 20e-3
"""Calls shorter than this are counted at least twice a turn, for one that is not counted goes before them; shorter than
a quarter of it, at least three times."""

MOST_REWARMING = 3
"""Most calls before a sample where a thread has lost its core since the last look: a neighbour's time slice leaves the
caches to it, but on a busy machine longer rewarming is interrupted in its turn."""


class Kind(StrEnum):
    """What is called in one sample: a forward pass without gradients, a step in two parts, or one in one piece."""

    INFERENCE = "inference"
    STEP = "step"
    ONE_PIECE = "forward_backward"

    @property
    def whole(self) -> Phase:
        """The phase whose time is that of a whole call."""
        return Phase.INFERENCE if self is Kind.INFERENCE else Phase.FORWARD_BACKWARD


def phases_of(phases: Collection[Phase], prepared: Prepared) -> tuple[Phase, ...]:
    """Those of the phases that a case has."""
    return tuple(phase for phase in phases if phase is Phase.INFERENCE or not prepared.no_step)


def kinds_for(phases: Collection[Phase], prepared: Prepared, *, on_cuda: bool) -> tuple[Kind, ...]:
    """The kinds of samples of a case that give these phases, as far as it has them.

    On a GPU only the device's clock separates the parts of a step. Of work that it does not see they are not called
    beside a step in one piece.
    """
    step = set(STEP_PHASES) & set(phases_of(phases, prepared))
    in_one_piece = prepared.forward_backward is not None
    kinds = [Kind.INFERENCE] if Phase.INFERENCE in phases else []
    unseen = {Phase.FORWARD, Phase.BACKWARD} if on_cuda and not prepared.on_torch_stream else set()
    if step - unseen - {Phase.FORWARD_BACKWARD} or (step and not in_one_piece):
        kinds.append(Kind.STEP)
    if in_one_piece and Phase.FORWARD_BACKWARD in step:
        kinds.append(Kind.ONE_PIECE)
    return tuple(kinds) or ((Kind.STEP,) if step else ())


def phases_by(kind: Kind, prepared: Prepared) -> tuple[Phase, ...]:
    """The phases that a kind of sample gives."""
    if kind is not Kind.STEP:
        return (kind.whole,)
    return STEP_PHASES if prepared.forward_backward is None else (Phase.FORWARD, Phase.BACKWARD)


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample with what the scheduler did meanwhile, and the page faults that its own calls paid.

    `call_s`: what one whole call took on the host's clock; None where that was not taken. `looked_s`: when the look
    before it and the look after it were taken. `cpu_s`: CPU time of the process during the counted calls.
    """

    sample: Sample
    faults: int
    call_s: float | None
    usage: ThreadUse | None
    looked_s: tuple[float, float]
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Block:
    """The samples of one kind that a turn takes, and its calls that were not counted.

    `waiting_since_s`: since when some thread had been waiting at the look before the first one; None where none had.
    """

    taken: tuple[Taken, ...]
    uncounted: int
    waiting_since_s: float | None


def take_samples(
    prepared: Prepared,
    kind: Kind,
    sampler: Sampler,
    *,
    meter: SchedulingMeter,
    calls: int,
    samples: int = 1,
    warm_calls: int = 1,
    call_s: float = 0.0,
    crowded: bool = False,
) -> Block:
    """Call a case until it is warm, at least `warm_calls` times, then take so many samples of it; see `take_block`.

    The parts of a step give no forward_backward where that is a piece of its own. `call_s`: about what a call takes.
    """
    take = {
        Kind.INFERENCE: sampler.sample_inference,
        Kind.STEP: sampler.sample_step,
        Kind.ONE_PIECE: sampler.sample_one_piece,
    }[kind]
    with gradients_for(prepared, kind):
        block = take_block(
            finished(prepared, kind),
            lambda: take(prepared, calls),
            whole=kind.whole,
            meter=meter,
            samples=samples,
            warm_calls=warm_calls,
            call_s=call_s,
            crowded=crowded,
        )
    if kind is not Kind.STEP or prepared.forward_backward is None:
        return block
    return replace(block, taken=tuple(replace(it, sample=_without_whole(it.sample)) for it in block.taken))


def take_block(
    call: Callable[[], object],
    take: Callable[[], Sample],
    *,
    whole: str,
    meter: SchedulingMeter,
    samples: int,
    warm_calls: int = 1,
    call_s: float = 0.0,
    crowded: bool = False,
    now: Callable[[], float] = perf_counter,
) -> Block:
    """Warm up, then take samples one after the other, with looks at the scheduler outside the stamps.

    A look stands before the last of the calls that are not counted, and after each sample. One call that is not counted
    follows each look. On a crowded machine a look stands before the warm-up, too, and where a thread lost its core
    since the look before, as many calls follow as warm its caches again. `whole`: the name of the time of a whole call
    in a sample.
    """
    opening = meter.look() if crowded else None
    uncounted = 0
    if warm_calls > 1 or call_s < UNCOUNTED_S:
        uncounted = warm(call, least_s=UNCOUNTED_S, least_calls=max(warm_calls - 1, 1))
    usage, looked_s = meter.look(), now()
    waiting_since_s = _waiting_since(opening, usage, looked_s)
    found = []
    for _ in range(samples):
        if crowded and usage is not None and was_preempted(usage):
            uncounted += warm(call, least_s=UNCOUNTED_S, least_calls=min(warm_calls, MOST_REWARMING))
        else:
            call()
            uncounted += 1
        faults, cpu_s = page_faults(), meter.cpu_s()
        sample = take()
        cpu_s, faults = meter.cpu_s() - cpu_s, page_faults() - faults
        usage, before_s, looked_s = meter.look(), looked_s, now()
        found.append(Taken(sample, faults, sample.wall_s.get(whole), usage, (before_s, looked_s), cpu_s))
    return Block(tuple(found), uncounted, waiting_since_s)


def _waiting_since(opening: ThreadUse | None, first: ThreadUse | None, looked_s: float) -> float | None:
    """Since when some thread had been waiting at the look before the warm-up; None where none had."""
    if first is None:
        return None
    before_s = looked_s - first.window_s
    begun = [before_s - first.reach_s] if first.reach_s > 0 else []
    if opening is not None and opening.reach_s > 0:
        begun.append(before_s - opening.window_s - opening.reach_s)
    return min(begun, default=None)


def calls_for(call_s: float, sample_s: float, *, crowded: bool = False) -> int:
    """How many calls make a sample: about this long, and enough to be worth the call that is not counted.

    On a crowded machine one call may be all that fits between two time slices of others.
    """
    least = 1 if crowded else 3 if call_s < WORTHWHILE_S / 4 else 2 if call_s < WORTHWHILE_S else 1
    return max(least, round(sample_s / max(call_s, 1e-9)))


def call_seconds(prepared: Prepared, kind: Kind) -> float:
    """How long one warm call of a case takes, roughly; the turns correct it."""
    with gradients_for(prepared, kind):
        return fastest_block_s(one_call(prepared, kind), prepared.wait)


def check_steady(prepared: Prepared, kinds: Collection[Kind]) -> None:
    """One call of each kind in a state where compiling anew, or falling back to uncompiled code, raises."""
    with prepared.steady():
        for kind in kinds:
            with gradients_for(prepared, kind):
                one_call(prepared, kind)()
        prepared.wait()


def fastest_block_s(call: Callable[[], object], wait: Callable[[], None]) -> float:
    """Seconds per call of the fastest of three short blocks."""
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


def finished(prepared: Prepared, kind: Kind) -> Callable[[], object]:
    """A call of a kind to its end: what is only enqueued would take far longer than the time that is not counted."""
    call = one_call(prepared, kind)

    def to_its_end() -> None:
        call()
        prepared.wait()

    return to_its_end


def gradients_for(prepared: Prepared, kind: Kind) -> AbstractContextManager[None]:
    """The context in which a kind of call is made."""
    return prepared.without_gradients() if kind is Kind.INFERENCE else nullcontext()


def one_call(prepared: Prepared, kind: Kind) -> Callable[[], object]:
    """A call of a kind, without arguments; a step forgets its results."""
    if kind is Kind.INFERENCE:
        return prepared.inference
    if kind is Kind.ONE_PIECE:
        assert prepared.forward_backward is not None  # only such cases have this kind
        return prepared.forward_backward
    return lambda: step(prepared)


def step(prepared: Prepared) -> None:
    """One forward and backward, whose results are forgotten."""
    prepared.backward(prepared.forward())
    if prepared.renew_dy is not None:
        prepared.renew_dy()


def _without_whole(sample: Sample) -> Sample:
    """The parts of a step alone, on every clock."""
    times: dict[str, Mapping[str, float]] = {clock.field: getattr(sample, clock.field) for clock in Clock}
    parts: dict[str, Any] = {
        field: {name: seconds for name, seconds in found.items() if name != Phase.FORWARD_BACKWARD}
        for field, found in times.items()
    }
    return replace(sample, **parts)
