"""Durations of single calls, replayed beside made preemptions, through all that makes a row of its samples.

Preemptions come at random (Poisson), and each takes a core for 1 to 4 ms from whatever runs, so that they do not look
at the case. A call that one of them hits ends so much later, and the thread's wait is booked. Turns take their samples
as a worker does: one call that is not counted, then the counted ones, as many and as long as the pace says.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import fabricate
import numpy as np
from numpy.typing import NDArray

from lnbench.event_log import EventLog
from lnbench.events import WorkerStarted
from lnbench.record import Run
from lnbench.row_summary import RowSummary
from lnbench.summaries import summarize
from lnbench.turns import Block, Layout, TurnColumns
from lnbench.undisturbed import DEFAULT_WAKEUP_S, waited
from lnbench.worker.calls import LONGEST_SAMPLE_S, calls_for
from lnbench.worker.pace import WINDOW, Pace
from lnbench.workload import Phase

Floats = NDArray[np.float64]

SLICE_S = (1e-3, 4e-3)
"""How long a preemption takes a core."""

CORES = 2
_KIND = ("inference",)
_LAYOUT = Layout(
    calls=_KIND, wall_s=_KIND, device_s=(), faults=(), delay_s=_KIND, wakeups=_KIND, involuntary=_KIND,
    voluntary=_KIND, cpu_s=_KIND,
)  # fmt: skip


class Calls(NamedTuple):
    """Single calls on an idle machine: seconds of each, what of them its woken threads waited, and how many woke."""

    seconds: Floats
    waited_s: Floats
    wakeups: int = 0


@dataclass(frozen=True)
class Member:
    """An implementation that is replayed: `draw` gives calls in an array of a shape. `call_s`: about what one takes."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Calls]
    call_s: float
    libraries: tuple[str, ...] = ()


def spinning(median_s: float, *, spread: float) -> Member:
    """Threads that spin, with lognormal durations."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Calls:
        return Calls(median_s * np.exp(rng.normal(0, spread, shape)), np.zeros(shape))

    return Member(draw, median_s)


def bimodal(median_s: float, *, apart: float, slow_share: float, spread: float = 0.01) -> Member:
    """Two speeds, each of which lasts for a turn; in this share of the turns it is `apart` slower."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Calls:
        is_slow = rng.random((shape[0], *(1 for _ in shape[1:]))) < slow_share
        seconds = median_s * np.where(is_slow, 1 + apart, 1.0) * np.exp(rng.normal(0, spread, shape))
        return Calls(seconds, np.zeros(shape))

    return Member(draw, median_s)


def sleeping(median_s: float, *, spread: float, wakeups: int = 2) -> Member:
    """A pool whose threads sleep between calls: each call wakes some of them, which takes 4 to 8 us for each."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Calls:
        woken_s = rng.uniform(4e-6, 8e-6, (*shape, wakeups)).sum(axis=-1)
        return Calls(median_s * np.exp(rng.normal(0, spread, shape)) + woken_s, woken_s, wakeups)

    return Member(draw, median_s, ("onnxruntime",))


def recorded(seconds: Floats) -> Member:
    """Durations of single calls that were measured, drawn anew in runs of their own order."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Calls:
        calls = int(np.prod(shape[1:]))
        begins = rng.integers(0, max(len(seconds) - calls, 1), shape[0])
        places = (begins[:, None] + np.arange(calls)) % len(seconds)
        return Calls(seconds[places].reshape(shape), np.zeros(shape))

    return Member(draw, float(np.median(seconds)))


@dataclass(frozen=True)
class Replayed:
    """What a row and its reference look like to a reader of the journal. `share`: of both, the undisturbed samples."""

    row: RowSummary
    share: float


def replay(row: Member, base: Member, *, rate_hz: float, rounds: int, seed: int) -> Replayed:
    """The row's summary after so many rounds beside preemptions at a rate."""
    turns = TurnColumns({_LAYOUT: _joined(_blocks((row, base), rate_hz=rate_hz, rounds=rounds, seed=seed))})
    started = WorkerStarted(
        process=0, worker=0, device="cpu", device_name="made", import_s=0.0, wakeup_s=DEFAULT_WAKEUP_S
    )
    made = Run(
        header=fabricate.header(
            [fabricate.workload(reference="base", phases=(Phase.INFERENCE,))],
            [fabricate.case("row", libraries=row.libraries), fabricate.case("base", libraries=base.libraries)],
        ),
        events=EventLog(turns, [started]),
    )
    rows = {summary.implementation: summary for summary in summarize(made)}
    shares = [summary.undisturbed_share for summary in rows.values()]
    return Replayed(rows["row"], float(np.mean(shares)))


def rate_for(row: Member, base: Member, *, share: float, rounds: int = 2000) -> float:
    """The rate of preemptions that leaves this share of the samples undisturbed, by bisection."""
    low, high = 0.0, 1e5
    for _ in range(14):
        middle = (low + high) / 2 if low else high / 4
        if replay(row, base, rate_hz=middle, rounds=rounds, seed=99).share > share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _blocks(members: tuple[Member, Member], *, rate_hz: float, rounds: int, seed: int) -> Iterator[Block]:
    """Turns in chunks of rounds, between which the pace may change."""
    rng, pace, done = np.random.default_rng(seed), Pace(LONGEST_SAMPLE_S), 0
    while done < rounds:
        counts = [calls_for(it.call_s, pace.sample_s, crowded=pace.is_crowded) for it in members]
        samples = [pace.samples_of(calls * it.call_s) for calls, it in zip(counts, members, strict=True)]
        chunk = -(-WINDOW // sum(samples))
        taken = kept = 0
        for number, member in enumerate(members):
            block, is_kept = _turns(rng, member, number, done, chunk, counts[number], samples[number], rate_hz)
            taken, kept = taken + is_kept.size, kept + int(is_kept.sum())
            yield block
        pace.note(taken=taken, kept=kept)
        done += chunk


def _turns(
    rng: np.random.Generator,
    member: Member,
    number: int,
    first: int,
    rounds: int,
    calls: int,
    samples: int,
    rate: float,
) -> tuple[Block, NDArray[np.bool_]]:
    """The turns of a member in so many rounds, and which of their samples a worker takes for undisturbed."""
    shape = rounds, samples, 1 + calls  # the first call of each sample is not counted
    drawn = member.draw(rng, shape)
    hits = rng.poisson(rate * drawn.seconds)
    lost_s = hits * rng.uniform(*SLICE_S, shape)
    wall_s = (drawn.seconds + lost_s)[..., 1:].mean(axis=-1)
    delay_s = (drawn.waited_s + lost_s).sum(axis=-1)
    wakeups = hits.sum(axis=-1) + drawn.wakeups * (1 + calls)
    cpu_s = CORES * (drawn.seconds - drawn.waited_s)[..., 1:].sum(axis=-1)
    is_kept = np.array(
        [
            not waited(float(delay), float(wall) * calls, wakeups=int(woken), involuntary=0)
            for delay, wall, woken in zip(delay_s.flat, wall_s.flat, wakeups.flat, strict=True)
        ]
    )
    round_number = np.repeat(first + np.arange(rounds), samples)
    # Cases take their turns in one order and then in the other.
    place = np.where(round_number % 2, 1 - number, number)
    zeros = np.zeros(rounds * samples, dtype=np.int64)
    sample = np.tile(np.arange(samples), rounds)
    block = Block(
        places=(round_number * 2 + place) * 100 + sample,
        whole=np.column_stack([zeros, zeros, round_number, zeros + number, zeros, sample]),
        real=np.column_stack([round_number + 0.5 * place, 0.0 * zeros, 0.0 * zeros]),
        calls=np.full((rounds * samples, 1), calls),
        wall_s=wall_s.reshape(-1, 1),
        device_s=np.empty((rounds * samples, 0)),
        faults=np.empty((rounds * samples, 0)),
        delay_s=delay_s.reshape(-1, 1),
        wakeups=wakeups.reshape(-1, 1),
        involuntary=hits.sum(axis=-1).reshape(-1, 1),
        voluntary=zeros.reshape(-1, 1),
        cpu_s=cpu_s.reshape(-1, 1),
        **{name: np.empty((rounds * samples, 0), np.int64) for name in ("device_calls", "batch_calls", "graph_calls")},
        **{name: np.empty((rounds * samples, 0)) for name in ("batch_s", "graph_s")},
    )
    return block, is_kept


def _joined(blocks: Iterator[Block]) -> Block:
    return Block(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))
