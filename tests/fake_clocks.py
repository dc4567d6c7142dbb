"""Clocks that tests drive: a host's that stands still between calls, and a device's stream on top of it."""

from collections.abc import Callable
from dataclasses import dataclass, field


class HostClock:
    """Nanoseconds that pass only when something is said to take them; reading the clock takes `stamp_ns`."""

    def __init__(self, *, stamp_ns: int = 0) -> None:
        self.ns = 0
        self._stamp_ns = stamp_ns

    def __call__(self) -> int:
        self.ns += self._stamp_ns
        return self.ns

    def take(self, ns: float) -> None:
        """Let time pass."""
        self.ns += round(ns)


@dataclass
class Released:
    """A result that takes time when it is let go."""

    clock: HostClock
    ns: int

    def __del__(self) -> None:
        self.clock.take(self.ns)


@dataclass
class HostWork:
    """Work that is done when its call returns. Each call may be told of in `calls`, with the pair that it read."""

    clock: HostClock
    inference_ns: int = 0
    forward_ns: int = 0
    backward_ns: int = 0
    one_piece_ns: int = 0
    release_ns: int = 0
    select_ns: int = 0
    on_torch_stream: bool = True
    renew_ns: int = 0
    selected: int = 0
    calls: list[tuple[str, int]] = field(default_factory=list)

    __hash__ = object.__hash__

    @property
    def inference(self) -> Callable[[], object]:
        return lambda: self._call("inference", self.inference_ns)

    @property
    def forward(self) -> Callable[[], object]:
        return lambda: self._call("forward", self.forward_ns)

    @property
    def backward(self) -> Callable[[object], object]:
        return lambda y: self._call("backward", self.backward_ns)

    @property
    def forward_backward(self) -> Callable[[], object] | None:
        return (lambda: self._call("forward_backward", self.one_piece_ns)) if self.one_piece_ns else None

    @property
    def renew_dy(self) -> Callable[[], object] | None:
        return (lambda: self._call("renew", self.renew_ns)) if self.renew_ns else None

    def select(self, index: int) -> None:
        self.clock.take(self.select_ns)
        self.selected = index

    def wait(self) -> None:
        pass

    def _call(self, name: str, ns: int) -> Released:
        self.clock.take(ns)
        self.calls.append((name, self.selected))
        return Released(self.clock, self.release_ns)


class Stream:
    """A device's stream: work begins when the host has enqueued it and all before it is done.

    Enqueueing anything takes the host `launch_s`; passing an event takes the device `event_s`. `spins` and `displaced`
    tell what was asked for.
    """

    def __init__(self, *, launch_s: float = 1e-6, event_s: float = 0.0, displace_s: float = 50e-6) -> None:
        self.host = HostClock()
        self.launch_s = launch_s
        self.spins: list[float] = []
        self.displaced = 0
        self._event_s = event_s
        self._displace_s = displace_s
        self._done_ns = 0

    def enqueue(self, seconds: float) -> int:
        """Put work in line; gives when the device will have done it, in whole nanoseconds."""
        self.host.take(self.launch_s * 1e9)
        self._done_ns = max(self._done_ns, self.host.ns) + round(seconds * 1e9)
        return self._done_ns

    def record(self) -> int:
        return self.enqueue(self._event_s)

    def is_pending(self, event: int) -> bool:
        return self.host.ns < event

    def elapsed_s(self, start: int, end: int) -> float:
        assert not self.is_pending(end), "the device has not passed the event"
        return (end - start) * 1e-9

    def spin(self, seconds: float) -> None:
        self.spins.append(seconds)
        self.enqueue(seconds)

    def displace(self) -> None:
        self.displaced += 1
        self.enqueue(self._displace_s)

    def wait(self) -> None:
        self.host.ns = max(self.host.ns, self._done_ns)


@dataclass
class StreamWork:
    """Work that a call only enqueues, in so many launches a part; with `waits` it then waits for the device.

    Seconds are those of one launch.
    """

    stream: Stream
    inference_s: float = 0.0
    forward_s: float = 0.0
    backward_s: float = 0.0
    one_piece_s: float = 0.0
    waits: bool = False
    on_torch_stream: bool = True
    launches: int = 1
    renew_s: float = 0.0
    calls: int = 0

    __hash__ = object.__hash__

    @property
    def inference(self) -> Callable[[], object]:
        return lambda: self._call(self.inference_s)

    @property
    def forward(self) -> Callable[[], object]:
        return lambda: self._call(self.forward_s)

    @property
    def backward(self) -> Callable[[object], object]:
        return lambda y: self._call(self.backward_s)

    @property
    def forward_backward(self) -> Callable[[], object] | None:
        return (lambda: self._call(self.one_piece_s)) if self.one_piece_s else None

    @property
    def renew_dy(self) -> Callable[[], object] | None:
        return (lambda: self._call(self.renew_s)) if self.renew_s else None

    def select(self, index: int) -> None:
        pass

    def wait(self) -> None:
        self.stream.wait()

    def _call(self, seconds: float) -> None:
        self.calls += 1
        for _ in range(self.launches):
            self.stream.enqueue(seconds)
        if self.waits:
            self.stream.wait()


class OneCopy:
    """A probe of one copy, as samplers take it; `selected` tells the pairs that it was told to read."""

    def __init__(self, call):
        self.pieces = {"copy": call}
        self.selected = []

    def select(self, index):
        self.selected.append(index)
