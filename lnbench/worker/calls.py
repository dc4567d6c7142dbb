"""How often a case is called: one sample of each kind, what goes before it uncounted, and how many calls make it."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter

from lnbench.implementations.contract import Prepared
from lnbench.measure.heap import page_faults
from lnbench.measure.sampler import Sample, Sampler, warm
from lnbench.workload import STEP_PHASES, Phase

UNCOUNTED_S = 200e-6
"""The first call or the first 200 µs of a turn, whichever is longer, are not counted: they pay for the caches and the
branch predictor that the turn before left behind."""

LONGEST_SAMPLE_S = 2e-3
"""Shorter than a scheduler's time slice, so that most samples are whole although a neighbour wants the cores. With one
beside it, medians over samples of 2 ms were off by 0.4 to 1.3 %, over samples of 10 ms by 0.3 to 2.9 %."""

WORTHWHILE_S = 20e-3
"""Calls shorter than this are counted at least twice a turn, for one that is not counted goes before them; shorter than
a quarter of it, at least three times."""


class Kind(StrEnum):
    """What is called in one sample: a forward pass without gradients, or a whole step."""

    INFERENCE = "inference"
    STEP = "step"

    @property
    def whole(self) -> Phase:
        """The phase whose time is that of a whole call."""
        return Phase.INFERENCE if self is Kind.INFERENCE else Phase.FORWARD_BACKWARD


def kinds_for(phases: Collection[Phase], *, no_step: bool = False) -> tuple[Kind, ...]:
    """The kinds of samples that give these phases; `no_step`: of a case that has an inference only."""
    kinds = (Kind.INFERENCE,) if Phase.INFERENCE in phases else ()
    return (*kinds, Kind.STEP) if set(STEP_PHASES) & set(phases) and not no_step else kinds


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample, the calls that went before it uncounted, and the page faults that its own calls paid."""

    sample: Sample
    uncounted: int
    faults: int


def take_sample(prepared: Prepared, kind: Kind, sampler: Sampler, *, calls: int) -> Taken:
    """Call a case until it is warm, then sample it."""
    with prepared.without_gradients() if kind is Kind.INFERENCE else nullcontext():
        uncounted = warm(_finished(one_call(prepared, kind), prepared), least_s=UNCOUNTED_S)
        take = sampler.sample_inference if kind is Kind.INFERENCE else sampler.sample_step
        before = page_faults()
        sample = take(prepared, calls)
        return Taken(sample, uncounted, page_faults() - before)


def calls_for(call_s: float, sample_s: float) -> int:
    """How many calls make a sample: about this long, and enough to be worth the call that is not counted."""
    least = 3 if call_s < WORTHWHILE_S / 4 else 2 if call_s < WORTHWHILE_S else 1
    return max(least, round(sample_s / max(call_s, 1e-9)))


def call_seconds(prepared: Prepared, kind: Kind) -> float:
    """How long one warm call of a case takes, roughly; the turns correct it."""
    with prepared.without_gradients() if kind is Kind.INFERENCE else nullcontext():
        return fastest_block_s(one_call(prepared, kind), prepared.wait)


def check_steady(prepared: Prepared, kinds: Collection[Kind]) -> None:
    """One call of each kind in a state where compiling anew, or falling back to uncompiled code, raises."""
    with prepared.steady():
        for kind in kinds:
            with prepared.without_gradients() if kind is Kind.INFERENCE else nullcontext():
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


def _finished(call: Callable[[], object], prepared: Prepared) -> Callable[[], object]:
    """The call, to its end: calls that are only enqueued would take far longer than the time that is not counted."""

    def finished() -> None:
        call()
        prepared.wait()

    return finished


def one_call(prepared: Prepared, kind: Kind) -> Callable[[], object]:
    """A call of a kind, without arguments; a step forgets its results."""
    if kind is Kind.INFERENCE:
        return prepared.inference
    return lambda: prepared.backward(prepared.forward())
