"""The graph clock: events around replays of a CUDA graph, each of which holds many calls."""

from collections.abc import Callable, Sequence
from itertools import repeat
from time import perf_counter_ns
from typing import Any, Protocol, runtime_checkable

from lnbench.amounts import NO_TIME_S
from lnbench.measure.event_timer import EVENT_STEP_S, EventClock, Marks, Part, enqueue_ahead
from lnbench.measure.launch_queue import LaunchQueue
from lnbench.measure.sampler import Copies, Sample, Work, step_phases


@runtime_checkable
class Replayed(Protocol):
    """Work whose calls are replays. `calls_per_replay`: how many calls of the case a replay holds."""

    @property
    def calls_per_replay(self) -> int: ...


class GraphSampler:
    """Samples replays, on the graph clock alone.

    `renew`: enqueues a fresh upstream gradient into the buffers that backward reads, before each backward and outside
    the events. `empty_pair_s`: what two events with nothing between them measure.
    """

    def __init__(
        self,
        clock: EventClock,
        *,
        renew: Callable[[], object],
        empty_pair_s: float = 0.0,
        now: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self._clock = clock
        self._renew = renew
        self._empty_pair_s = empty_pair_s
        self._now = now
        self._queues: dict[tuple[object, str], LaunchQueue] = {}

    def sample_inference(self, work: Work, calls: int) -> Sample:
        """The mean of the inferences in `calls` replays."""
        return self._sample(work, "inference", [lambda _: work.inference()], calls)

    def sample_step(self, work: Work, calls: int) -> Sample:
        """The means of forward and backward over `calls` replays of each, in turn."""
        return self._sample(work, "step", [lambda _: work.forward(), work.backward], calls)

    def sample_one_piece(self, work: Work, calls: int) -> Sample:
        """Never asked for: a captured step is two graphs. Raises NotImplementedError."""
        raise NotImplementedError("a captured step is a graph of forward and one of backward")

    def sample_copy(self, copies: Copies, name: str, calls: int) -> Sample:
        """The mean of one of the probe's copies over `calls` replays."""
        copy = copies.pieces[name]
        return self._sample(copies, name, [lambda _: copy()], calls)

    def _sample(self, work: object, kind: str, parts: Sequence[Part], replays: int) -> Sample:
        """The means of the calls in so many replays of each part; of a step its whole, too."""
        assert isinstance(work, Replayed), "the graph clock times what was captured"
        queue = self._queues.setdefault((work, kind), LaunchQueue(launches=3 * len(parts)))
        replays = min(replays, queue.most_calls)
        marks = enqueue_ahead(self._clock, queue, replays, lambda count: self._replay(parts, count), now=self._now)
        if not marks:
            return Sample(missed=queue.missed)
        seconds = [self._mean(marks, part, calls_per_replay=work.calls_per_replay) for part in range(len(parts))]
        graph_s = {kind: seconds[0]} if len(parts) == 1 else step_phases(*seconds)
        return Sample(graph_s=graph_s, graph_calls=replays * work.calls_per_replay)

    def _replay(self, parts: Sequence[Part], count: int) -> Marks:
        """Enqueue so many replays; gives the two events around each part of each."""
        marks = []
        for _ in repeat(None, count):
            result: Any = None
            events = []
            for number, part in enumerate(parts):
                if number:
                    self._renew()
                events.append(self._clock.record())
                result = part(result)
                events.append(self._clock.record())
            marks.append(events)
        return marks

    def _mean(self, marks: Marks, part: int, *, calls_per_replay: int) -> float:
        """Seconds of a call, from the events around a part of each replay."""
        total_s = sum(self._clock.elapsed_s(events[2 * part], events[2 * part + 1]) for events in marks)
        replay_s = total_s / len(marks) - self._empty_pair_s
        return replay_s / calls_per_replay if replay_s >= EVENT_STEP_S else NO_TIME_S
