"""The batch clock: many calls in a row between two events, so that neighbouring kernels may overlap as in a network.

Events around each call keep it apart from the next: each then pays for a launch and a drain of its own, 1 to 3 us. In a
row these overlap, and so does what programmatic dependent launch lets a kernel do before the one before it has ended.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from lnbench.amounts import NO_TIME_S
from lnbench.measure.event_timer import EVENT_STEP_S, EventClock, Marks, Part, Timed, enqueue_ahead
from lnbench.measure.launch_queue import LaunchQueue
from lnbench.measure.sampler import Copies, Sample, Sampler, Work, one_piece


class BatchTimer:
    """Times calls in a row. `empty_pair_s`: what two events with nothing between them measure, subtracted once."""

    step_s = EVENT_STEP_S

    def __init__(
        self, clock: EventClock, *, empty_pair_s: float = 0.0, now: Callable[[], int] = perf_counter_ns
    ) -> None:
        self.empty_pair_s = empty_pair_s
        self._clock = clock
        self._now = now
        self._queues: dict[object, LaunchQueue] = {}

    def time(self, work: object, parts: Sequence[Part], calls: int) -> Timed:
        """The mean of at most so many calls, all parts of each together."""
        queue = self._queues.setdefault(work, LaunchQueue(launches=len(parts)))

        def enqueue(count: int) -> Marks:
            start = self._clock.record()
            for _ in repeat(None, count):
                result: Any = None
                for part in parts:
                    result = part(result)
                del result
            return [[start, self._clock.record()]]

        calls = min(calls, queue.most_calls)
        marks = enqueue_ahead(self._clock, queue, calls, enqueue, now=self._now)
        if not marks:
            return Timed(missed=queue.missed)
        total_s = self._clock.elapsed_s(*marks[0]) - self.empty_pair_s
        return Timed((total_s / calls if total_s >= self.step_s else NO_TIME_S,), calls)


class BatchSampler:
    """Samples of another sampler with those of the batch clock beside them.

    Whole calls only: an event between forward and backward would end the batch. Work that is not on PyTorch's stream
    has none, nor have steps whose backward writes into dy, which must be renewed between them. Caches are hot: nothing
    can be displaced between calls without being timed with them.
    """

    def __init__(self, inner: Sampler, timer: BatchTimer) -> None:
        self._inner = inner
        self._timer = timer

    def sample_inference(self, work: Work, calls: int) -> Sample:
        """The inner sample, and the mean of inferences in a row."""
        sample = self._inner.sample_inference(work, calls)
        return self._beside(sample, work, "inference", [lambda _: work.inference()], calls)

    def sample_step(self, work: Work, calls: int) -> Sample:
        """The inner sample, and the mean of whole steps in a row."""
        sample = self._inner.sample_step(work, calls)
        if work.renew_dy is not None:  # between steps, where it would be timed
            return sample
        return self._beside(sample, work, "forward_backward", [lambda _: work.forward(), work.backward], calls)

    def sample_one_piece(self, work: Work, calls: int) -> Sample:
        """The inner sample, and the mean of steps in a row that are one function."""
        sample, step = self._inner.sample_one_piece(work, calls), one_piece(work)
        return self._beside(sample, work, "forward_backward", [lambda _: step()], calls)

    def sample_copy(self, copies: Copies, name: str, calls: int) -> Sample:
        """The inner sample, and the mean of one of the probe's copies in a row."""
        sample, copy = self._inner.sample_copy(copies, name, calls), copies.pieces[name]
        return self._with(sample, name, self._timer.time((copies, name), [lambda _: copy()], calls))

    def _beside(self, sample: Sample, work: Work, name: str, parts: Sequence[Part], calls: int) -> Sample:
        if not work.on_torch_stream:
            return sample
        return self._with(sample, name, self._timer.time((work, name), parts, calls))

    def _with(self, sample: Sample, name: str, timed: Timed) -> Sample:
        batch_s = {name: timed.seconds[0]} if timed.seconds else {}
        return replace(sample, batch_s=batch_s, batch_calls=timed.calls)
