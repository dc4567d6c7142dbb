"""PyTorch's CUDA: its devices by their names, its events, and samples on the device's clock beside the host's."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from lnbench.measure.event_timer import DeviceTimer, EventClock, EventTimer, Part, Timed
from lnbench.measure.sampler import NANOSECOND, Copies, Sample, Work, one_piece, seen_s

_CALIBRATION_CYCLES = 10_000_000
"""A few milliseconds of a GPU's clock."""

_STEADY = 0.02
_STEADY_SPINS = 3
_MOST_SPINS = 60
"""An idle card takes up to some tenths of a second to raise its clock, and a spin counts cycles."""


class TorchEventClock:
    """PyTorch's current stream on a CUDA device."""

    def __init__(self, device: str) -> None:
        import torch

        self._cuda, self._sum_of = torch.cuda, torch.sum
        self._device = torch.device(device)
        use_device(device)  # events and spins go to the current device's stream
        properties = torch.cuda.get_device_properties(self._device)
        elements = 2 * int(properties.L2_cache_size) // torch.float32.itemsize
        self._written, self._read = (torch.zeros(elements, dtype=torch.float32, device=self._device) for _ in range(2))
        self._sum = torch.zeros((), dtype=torch.float32, device=self._device)
        self.displace()  # its kernels are loaded now, and not while a spin holds the device
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
        """Write twice the L2 cache, then read as much elsewhere.

        After the write alone the cache is full of lines that a call has to write back before it gets their places.
        """
        self._written.zero_()
        self._sum_of(self._read, dim=0, out=self._sum)

    def wait(self) -> None:
        self._cuda.synchronize(self._device)

    def _calibrate(self) -> float:
        """Cycles of the spin kernel in a second, once the card has left its idle clock."""
        rates = [self._rate()]
        while len(rates) < _MOST_SPINS:
            rates.append(self._rate())
            last = rates[-_STEADY_SPINS:]
            if len(last) == _STEADY_SPINS and max(last) <= (1 + _STEADY) * min(last):
                break
        return rates[-1]

    def _rate(self) -> float:
        start = self.record()
        self._cuda._sleep(_CALIBRATION_CYCLES)
        end = self.record()
        self.wait()
        return _CALIBRATION_CYCLES / self.elapsed_s(start, end)


class CudaSampler:
    """Samples on both clocks: `device` by a timer of the device, `wall` from the host to completion.

    `cold`: the L2 cache is displaced before every timed call; then there is no wall time, because the host can't leave
    the displacement out without waiting at each call.
    What waits for the device inside a call can't be enqueued ahead, and has wall times only. So has work that is not on
    PyTorch's stream, whose events do not see it: its blocks end when it says that it is done.
    """

    def __init__(
        self,
        clock: EventClock,
        *,
        cold: bool = False,
        timer: DeviceTimer | None = None,
        now: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self._clock = clock
        self._cold = cold
        self._now = now
        self._timer = timer or EventTimer(clock, cold=cold, now=now)

    @property
    def empty_pair_s(self) -> float:
        """What the device's clock measures of nothing."""
        return self._timer.empty_pair_s

    def sample_inference(self, work: Work, calls: int) -> Sample:
        """The mean of `calls` inferences on both clocks."""
        return self._both(work, work.inference, calls, phase="inference", work=work)

    def sample_step(self, work: Work, calls: int) -> Sample:
        """The means of `calls` steps: each part on the device's clock, the whole step on the host's.

        Only the whole: a host stamp between forward and backward would need a wait inside the step.
        """

        parts: list[Part] = [lambda _: work.forward(), work.backward]
        if work.renew_dy is not None:  # between events of its own, whose time is left out
            renew = work.renew_dy
            parts.append(lambda _: renew())
        timed = self._timed(work, "step", parts, calls, is_seen=work.on_torch_stream)
        if timed.seconds:
            forward_s, backward_s = timed.seconds[:2]
            timed = replace(timed, seconds=(forward_s, backward_s, forward_s + backward_s))
        wall = {} if self._cold else {"forward_backward": self._wall_step(work, calls)}
        return self._sample(wall, timed, ("forward", "backward", "forward_backward"))

    def sample_one_piece(self, work: Work, calls: int) -> Sample:
        """The mean of `calls` steps that are one function, on both clocks."""
        return self._both(work, one_piece(work), calls, phase="forward_backward", work=work)

    def sample_copy(self, copies: Copies, name: str, calls: int) -> Sample:
        """The mean of `calls` of one of the probe's copies on both clocks."""
        return self._both(copies, copies.pieces[name], calls, phase=name, work=None)

    def _both(self, owner: object, call: Callable[[], Any], calls: int, *, phase: str, work: Work | None) -> Sample:
        """On both clocks; `work` is None for what is PyTorch's own."""
        timed = self._timed(owner, phase, [lambda _: call()], calls, is_seen=work is None or work.on_torch_stream)
        wall = {} if self._cold else {phase: self._wall(call, calls, wait=self._wait_for(work))}
        return self._sample(wall, timed, (phase,))

    def _timed(self, owner: object, kind: str, parts: Sequence[Part], calls: int, *, is_seen: bool) -> Timed:
        """Nothing of work on a stream that the device's clock does not see."""
        return self._timer.time((owner, kind), parts, calls) if is_seen else Timed()

    def _sample(self, wall_s: dict[str, float], timed: Timed, names: tuple[str, ...]) -> Sample:
        """A sample of both clocks; what the device's clock can't see is no time of it."""
        seen = (seen_s(seconds, step_s=self._timer.step_s) for seconds in timed.seconds)
        device_s = dict(zip(names, seen, strict=True)) if timed.seconds else {}
        return Sample(wall_s, device_s, timed.calls, timed.missed)

    def _wait_for(self, work: Work | None) -> Callable[[], None]:
        """What returns when the work is done, on whichever stream it is."""
        if work is None or work.on_torch_stream:
            return self._clock.wait

        def wait() -> None:
            work.wait()
            self._clock.wait()

        return wait

    def _wall_step(self, work: Work, calls: int) -> float:
        """Seconds of a step, less what renewing its dy takes in a block of its own."""
        wait, renew = self._wait_for(work), work.renew_dy

        def step() -> None:
            work.backward(work.forward())
            if renew is not None:
                renew()

        whole = self._wall(step, calls, wait=wait)
        return whole if renew is None else seen_s(whole - self._wall(renew, calls, wait=wait))

    def _wall(self, call: Callable[[], Any], calls: int, *, wait: Callable[[], None]) -> float:
        wait()
        start = self._now()
        for _ in repeat(None, calls):
            call()
        wait()
        return (self._now() - start) * NANOSECOND / calls


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


def wait_for_device(device: str) -> None:
    """Return when a CUDA device has finished, on all streams of this process; at once on the CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def lost_device(device: str) -> str:
    """What a CUDA device answers when nothing runs on it any more in this process; empty while it works.

    So it is after a kernel that wrote outside its memory. What says so first has words of its own (Triton, XLA, cuDNN,
    PyTorch), and nobody says it before the device is waited for: so it is. The CPU is always there.
    """
    try:
        wait_for_device(device)
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

    gc.collect()  # cycles of earlier cases may hold memory
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(device)[0])


def device_uuid(device: str) -> str:
    """A CUDA device's UUID, by which NVML knows it too; torch and NVML may number the same cards differently."""
    import torch

    return str(torch.cuda.get_device_properties(device).uuid)
