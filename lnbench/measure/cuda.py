"""Samples on an NVIDIA GPU: CUDA events behind a queue that a short spin keeps waiting, and host time to completion.

The events measure the work alone only while the host is ahead of the device. So a spin kernel holds the stream until a
whole sample is enqueued; a sample whose first event had passed by then is dropped, and the next spin is longer.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import Any, Protocol

from lnbench.measure.sampler import LEAST_S, NANOSECOND, Copies, Sample, Work, median, one_piece, step_phases

MOST_QUEUED_STEPS = 48
"""Steps per sample: the driver queues about 1,000 launches, and an eager step with its events makes about 20."""
_FIRST_SPIN_S = 2e-3
_LONGEST_SPIN_S = 0.25
_CALIBRATION_PAIRS = 21


class EventClock(Protocol):
    """A device's stream, as far as timing needs it. A fake one drives the tests."""

    def record(self) -> Any:
        """Enqueue an event."""

    def is_pending(self, event: Any) -> bool:
        """True until the device has passed the event."""

    def elapsed_s(self, start: Any, end: Any) -> float:
        """Seconds between two events that the device has passed."""

    def spin(self, seconds: float) -> None:
        """Enqueue a kernel that keeps the stream busy for about this long."""

    def displace(self) -> None:
        """Enqueue a write of twice the L2 cache."""

    def wait(self) -> None:
        """Return when the device has finished."""


class TorchEventClock:
    """PyTorch's current stream on a CUDA device."""

    def __init__(self, device: str) -> None:
        import torch

        self._cuda = torch.cuda
        self._device = torch.device(device)
        use_device(device)  # events and spins go to the current device's stream
        properties = torch.cuda.get_device_properties(self._device)
        l2_b = int(properties.L2_cache_size)
        self._scratch = torch.empty(2 * l2_b, dtype=torch.uint8, device=self._device)
        self._cycles_per_s = 1e9
        self._cycles_per_s = self._calibrate()

    def record(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def is_pending(self, event: Any) -> bool:
        return not event.query()

    def elapsed_s(self, start: Any, end: Any) -> float:
        return float(start.elapsed_time(end)) * 1e-3

    def spin(self, seconds: float) -> None:
        # The spin kernel of PyTorch's own tests; there is no public one (torch 2.11 to 2.13).
        self._cuda._sleep(int(seconds * self._cycles_per_s))

    def displace(self) -> None:
        self._scratch.zero_()

    def wait(self) -> None:
        self._cuda.synchronize(self._device)

    def _calibrate(self) -> float:
        """Cycles of the spin kernel in a second."""
        self.spin(1e-3)
        start = self.record()
        self.spin(1e-2)
        end = self.record()
        self.wait()
        return 1e7 / self.elapsed_s(start, end)


@dataclass
class _Queue:
    """How one kind of work is put in line, learnt from its own samples: what waits inside would spoil that of others.

    `most_calls` is 0 when not even one call can be enqueued behind the longest spin.
    """

    spin_s: float = _FIRST_SPIN_S
    most_calls: int = MOST_QUEUED_STEPS

    def adapt(self, calls: int) -> None:
        """Spin longer after a sample of so many calls that came too late; at the longest, call less often."""
        if self.spin_s < _LONGEST_SPIN_S:
            self.spin_s = min(2 * self.spin_s, _LONGEST_SPIN_S)
        else:
            self.most_calls = calls // 2


class CudaSampler:
    """Samples on both clocks: `device` between events, `wall` from the host to completion.

    `cold`: the L2 cache is displaced before every timed call, outside the events; then there is no wall time, because
    the host can't leave the displacement out without waiting at each call.
    What waits for the device inside a call can't be enqueued behind a spin, and has wall times only. So has work that
    is not on PyTorch's stream, whose events do not see it: its blocks end when it says that it is done.
    """

    def __init__(self, clock: EventClock, *, cold: bool = False, now: Callable[[], int] = perf_counter_ns) -> None:
        self._clock = clock
        self._cold = cold
        self._now = now
        self._queues: defaultdict[tuple[object, str], _Queue] = defaultdict(_Queue)
        self.empty_pair_s = self._measure_empty_pair()

    def sample_inference(self, work: Work, calls: int) -> Sample:
        """The mean of `calls` inferences on both clocks."""
        return self._both(work, work.inference, calls, phase="inference", work=work)

    def sample_step(self, work: Work, calls: int) -> Sample:
        """The means of `calls` steps: each part on the device's clock, the whole step on the host's.

        Only the whole: a host stamp between forward and backward would need a wait inside the step.
        """

        def step() -> None:
            work.backward(work.forward())

        device = self._device_step(work, calls) if work.on_torch_stream else {}
        wall = {} if self._cold else {"forward_backward": self._wall(step, calls, wait=self._wait_for(work))}
        return Sample(wall_s=wall, device_s=device)

    def sample_one_piece(self, work: Work, calls: int) -> Sample:
        """The mean of `calls` steps that are one function, on both clocks."""
        return self._both(work, one_piece(work), calls, phase="forward_backward", work=work)

    def sample_copy(self, copies: Copies, name: str, calls: int) -> Sample:
        """The mean of `calls` of one of the probe's copies on both clocks."""
        return self._both(copies, copies.pieces[name], calls, phase=name, work=None)

    def _both(self, owner: object, call: Callable[[], Any], calls: int, *, phase: str, work: Work | None) -> Sample:
        """On both clocks; `work` is None for what is PyTorch's own."""
        has_events = work is None or work.on_torch_stream
        seconds = self._device_calls(call, calls, self._queues[owner, phase]) if has_events else None
        wall = {} if self._cold else {phase: self._wall(call, calls, wait=self._wait_for(work))}
        return Sample(wall_s=wall, device_s={} if seconds is None else {phase: seconds})

    def _wait_for(self, work: Work | None) -> Callable[[], None]:
        """What returns when the work is done, on whichever stream it is."""
        if work is None or work.on_torch_stream:
            return self._clock.wait

        def wait() -> None:
            work.wait()
            self._clock.wait()

        return wait

    def _wall(self, call: Callable[[], Any], calls: int, *, wait: Callable[[], None]) -> float:
        wait()
        start = self._now()
        for _ in repeat(None, calls):
            call()
        wait()
        return (self._now() - start) * NANOSECOND / calls

    def _device_calls(self, call: Callable[[], Any], calls: int, queue: _Queue) -> float | None:
        clock, stamps = self._clock, []
        calls = min(calls, queue.most_calls)
        if not calls:
            return None
        clock.wait()
        clock.spin(queue.spin_s)
        for _ in repeat(None, calls):
            if self._cold:
                clock.displace()
            start = clock.record()
            call()
            stamps.append((start, clock.record()))
        if not self._host_was_ahead(stamps[0][0], calls, queue):
            return None
        total = sum(clock.elapsed_s(start, end) - self.empty_pair_s for start, end in stamps)
        return max(total / calls, LEAST_S)

    def _device_step(self, work: Work, calls: int) -> dict[str, float]:
        clock, stamps, queue = self._clock, [], self._queues[work, "step"]
        calls = min(calls, queue.most_calls)
        if not calls:
            return {}
        clock.wait()
        clock.spin(queue.spin_s)
        for _ in repeat(None, calls):
            if self._cold:
                clock.displace()
            start = clock.record()
            y = work.forward()
            between = clock.record()
            gradients = work.backward(y)
            stamps.append((start, between, clock.record()))
            del y, gradients
        if not self._host_was_ahead(stamps[0][0], calls, queue):
            return {}
        forward = sum(clock.elapsed_s(start, between) for start, between, _ in stamps) / calls - self.empty_pair_s
        backward = sum(clock.elapsed_s(between, end) for _, between, end in stamps) / calls - self.empty_pair_s
        return step_phases(max(forward, LEAST_S), max(backward, LEAST_S))

    def _host_was_ahead(self, first: Any, calls: int, queue: _Queue) -> bool:
        """True when the device had not reached the sample before all of it was enqueued; else adapt."""
        ahead = self._clock.is_pending(first)
        self._clock.wait()
        if not ahead:
            queue.adapt(calls)
        return ahead

    def _measure_empty_pair(self) -> float:
        """What two events with nothing between them measure, while the host is ahead; 0 where it never is."""
        clock, queue = self._clock, _Queue(most_calls=_CALIBRATION_PAIRS)
        while queue.most_calls:
            clock.wait()
            clock.spin(queue.spin_s)
            pairs = [(clock.record(), clock.record()) for _ in range(queue.most_calls)]
            if self._host_was_ahead(pairs[0][0], len(pairs), queue):
                return median([clock.elapsed_s(start, end) for start, end in pairs])
        return 0.0


def missing_device(device: str) -> str:
    """Why torch can't use a device; empty when it can. The CPU is always there."""
    if not device.startswith("cuda"):
        return ""
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device"
    index = torch.device(device).index or 0
    count = torch.cuda.device_count()
    return "" if index < count else f"{device} is absent: torch sees {count} CUDA device{'s' if count > 1 else ''}"


def use_device(device: str) -> None:
    """Make a CUDA device the current one; "cuda" is the first.

    `torch.cuda.set_device` takes no name without an index.
    """
    import torch

    torch.cuda.set_device(torch.device(device).index or 0)


def lost_device(device: str) -> str:
    """What a CUDA device answers when nothing runs on it any more in this process; empty while it works.

    So it is after a kernel that wrote outside its memory. What says so first has words of its own (Triton, XLA, cuDNN,
    PyTorch), and nobody says it before the device is waited for: so it is. The CPU is always there.
    """
    if not device.startswith("cuda"):
        return ""
    import torch

    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return ""


def device_name(device: str) -> str:
    """A CUDA device's name; empty for others or when it is absent."""
    if missing_device(device) or not device.startswith("cuda"):
        return ""
    import torch

    return str(torch.cuda.get_device_name(device))


def free_device_b(device: str) -> int:
    """Bytes of a CUDA device that this process can get: those that nobody has, and its own that it does not use."""
    import torch

    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(device)[0])


def device_uuid(device: str) -> str:
    """A CUDA device's UUID, by which NVML knows it too; torch and NVML may number the same cards differently."""
    import torch

    return str(torch.cuda.get_device_properties(device).uuid)
