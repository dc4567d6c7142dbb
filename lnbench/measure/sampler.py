"""Samples on the host's clock: blocks of calls of one piece of work, and what of a step each part takes.

A sample is the mean of its calls. In one step the previous result is released, then: stamp, forward, stamp, backward on
that fresh graph, stamp. What releasing costs is `disposal`, apart.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, repeat
from random import Random
from time import perf_counter_ns
from typing import Any, Protocol

from lnbench.amounts import NO_TIME_S

NANOSECOND = 1e-9
_CALIBRATION_PAIRS = 2001
DISPOSAL = "disposal"


class Work(Protocol):
    """What is sampled: calls without arguments, and the choice of the buffers that they read.

    `forward_backward`: a whole step as one function, where there is one. `on_torch_stream`: on a GPU, the work goes to
    PyTorch's current stream. `renew_dy`: what has to be called after a backward that writes into its dy, outside of
    what is timed; None where it writes into nothing.
    """

    @property
    def inference(self) -> Callable[[], Any]: ...

    @property
    def forward(self) -> Callable[[], Any]: ...

    @property
    def backward(self) -> Callable[[Any], Any]: ...

    @property
    def forward_backward(self) -> Callable[[], Any] | None: ...

    @property
    def on_torch_stream(self) -> bool: ...

    @property
    def renew_dy(self) -> Callable[[], object] | None: ...

    def select(self, index: int) -> None: ...

    def wait(self) -> None: ...


class Missed(StrEnum):
    """Why a sample has no time on the device's clock: what was seen of the queue that it was put in.

    LATE: the device had reached it before all of it was enqueued. WAITS: so it was with each longer spin, for a call
    waits for the device. BLOCKED: even launches with nothing between them do.
    """

    LATE = "late"
    WAITS = "waits"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds per call by phase, on each clock (see `Clock.field`); empty where not measured or spoiled.

    NO_TIME_S stands where a clock could not see so short a time. `device_calls`, `batch_calls`, `graph_calls`: the
    calls whose mean the times of that clock are, where the queue of a device holds fewer or more than were asked for.
    `missed`: why there are no `device_s` or `graph_s`.
    """

    wall_s: Mapping[str, float] = field(default_factory=dict)
    device_s: Mapping[str, float] = field(default_factory=dict)
    device_calls: int = 0
    missed: Missed | None = None
    batch_s: Mapping[str, float] = field(default_factory=dict)
    batch_calls: int = 0
    graph_s: Mapping[str, float] = field(default_factory=dict)
    graph_calls: int = 0


class Copies(Protocol):
    """What the probe is sampled by: named calls, and the choice of the buffers that they read."""

    @property
    def pieces(self) -> Mapping[str, Callable[[], Any]]: ...

    def select(self, index: int) -> None: ...


class Sampler(Protocol):
    """Times one piece of work; a device has its own."""

    def sample_inference(self, work: Work, calls: int) -> Sample: ...

    def sample_step(self, work: Work, calls: int) -> Sample: ...

    def sample_one_piece(self, work: Work, calls: int) -> Sample: ...

    def sample_copy(self, copies: Copies, name: str, calls: int) -> Sample: ...


class Rotation:
    """The order in which all cases of a workload walk through its buffers: one shared walk, shuffled once."""

    def __init__(self, pairs: int, *, seed: int) -> None:
        order = list(range(pairs))
        Random(seed).shuffle(order)
        self._walk: Iterator[int] = cycle(order)

    def next(self) -> int:
        """The number of the next pair of buffers."""
        return next(self._walk)


class HostSampler:
    """Samples work that is done when its call returns.

    `rotation` is None for hot caches: the same buffers again. `now` gives nanoseconds.
    """

    def __init__(self, *, rotation: Rotation | None = None, now: Callable[[], int] = perf_counter_ns) -> None:
        self._rotation = rotation
        self._now = now
        self.empty_pair_ns = empty_pair_ns(now)

    def sample_inference(self, work: Work, calls: int) -> Sample:
        """The mean of `calls` inferences; each result is released before the next call, inside the block."""
        if self._rotation is None:
            return Sample(wall_s={"inference": self._block(work.inference, calls)})
        return Sample(wall_s={"inference": self._rotating(work.select, lambda: work.inference, calls)})

    def sample_step(self, work: Work, calls: int) -> Sample:
        """The means of `calls` steps: forward, backward, their sum, and disposal.

        The cost of an empty pair of stamps is subtracted from each part. A dy that backward has written into is renewed
        after the last stamp.
        """
        now, rotation = self._now, self._rotation
        forward, backward = work.forward, work.backward
        forward_ns = backward_ns = disposal_ns = 0
        y = gradients = None
        for _ in repeat(None, calls):
            if rotation is not None:
                work.select(rotation.next())
                forward, backward = work.forward, work.backward
            start = now()
            y = forward()
            between = now()
            gradients = backward(y)
            end = now()
            y = gradients = None
            disposal_ns += now() - end
            if work.renew_dy is not None:
                work.renew_dy()
            forward_ns += between - start
            backward_ns += end - between
        del y, gradients
        parts = [
            seen_s((total / calls - self.empty_pair_ns) * NANOSECOND)
            for total in (forward_ns, backward_ns, disposal_ns)
        ]
        return Sample(wall_s=step_phases(parts[0], parts[1]) | {DISPOSAL: parts[2]})

    def sample_one_piece(self, work: Work, calls: int) -> Sample:
        """The means of `calls` steps that are one function: forward_backward, and disposal."""
        now, rotation = self._now, self._rotation
        step = one_piece(work)
        step_ns = disposal_ns = 0
        gradients = None
        for _ in repeat(None, calls):
            if rotation is not None:
                work.select(rotation.next())
                step = one_piece(work)
            start = now()
            gradients = step()
            end = now()
            gradients = None
            disposal_ns += now() - end
            step_ns += end - start
        del gradients
        names = zip(("forward_backward", DISPOSAL), (step_ns, disposal_ns), strict=True)
        return Sample(wall_s={name: seen_s((ns / calls - self.empty_pair_ns) * NANOSECOND) for name, ns in names})

    def sample_copy(self, copies: Copies, name: str, calls: int) -> Sample:
        """The mean of `calls` of one of the probe's copies, in the same state of the caches as the cases."""
        if self._rotation is None:
            return Sample(wall_s={name: self._block(copies.pieces[name], calls)})
        return Sample(wall_s={name: self._rotating(copies.select, lambda: copies.pieces[name], calls)})

    def _rotating(self, select: Callable[[int], None], chosen: Callable[[], Callable[[], Any]], calls: int) -> float:
        """Seconds per call, each on the next pair of buffers and timed by itself."""
        assert self._rotation is not None  # the callers have asked
        total, now = 0.0, self._now
        for _ in repeat(None, calls):
            select(self._rotation.next())
            call = chosen()
            start = now()
            call()
            total += now() - start - self.empty_pair_ns
        return seen_s(total * NANOSECOND / calls)

    def _block(self, call: Callable[[], Any], calls: int) -> float:
        now = self._now
        start = now()
        for _ in repeat(None, calls):
            call()
        return seen_s((now() - start - self.empty_pair_ns) * NANOSECOND / calls)


def seen_s(seconds: float, *, step_s: float = NANOSECOND) -> float:
    """A time that is not below its clock's step, else NO_TIME_S in its place."""
    return seconds if seconds >= step_s else NO_TIME_S


def step_phases(forward_s: float, backward_s: float) -> dict[str, float]:
    """The phases of a step; forward_backward is their sum, so that it holds in every sample."""
    return {"forward": forward_s, "backward": backward_s, "forward_backward": forward_s + backward_s}


def one_piece(work: Work) -> Callable[[], Any]:
    """The whole step as one function, for works that have it."""
    assert work.forward_backward is not None  # the callers have asked
    return work.forward_backward


def empty_pair_ns(now: Callable[[], int]) -> float:
    """What two stamps with nothing between them measure: the median of many pairs."""
    pairs = sorted(-now() + now() for _ in repeat(None, _CALIBRATION_PAIRS))
    return float(pairs[len(pairs) // 2])


def warm(
    call: Callable[[], Any], *, least_s: float, least_calls: int = 1, now: Callable[[], int] = perf_counter_ns
) -> int:
    """Call at least so many times and for at least `least_s`; gives how many calls that took."""
    end, count = now() + least_s / NANOSECOND, 0
    while True:
        call()
        count += 1
        if count >= least_calls and now() >= end:
            return count


def median(values: Sequence[float]) -> float:
    """The middle value, for calibrations."""
    return sorted(values)[len(values) // 2]
