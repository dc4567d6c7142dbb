"""A pretended CUDA device in this process: the checks that PyTorch makes in Python stay, its driver is a fake clock.

Tensors "on cuda" are the CPU's; `placed` is for what depends on where a tensor lies.
"""

from types import SimpleNamespace

import torch
from fake_clocks import Stream

CYCLES_PER_S = 1e9
L2_B = 1 << 12


class PretendedCuda:
    """What was asked of the device. `current`: the index that was made the current one, None before.

    `lost`: set to an error, every wait raises it, as after a kernel that wrote outside its memory.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.current: int | None = None
        self.waits = 0
        self.lost: Exception | None = None
        self.torch_stream = "the default stream"
        self.cycles_per_s = CYCLES_PER_S

    def synchronize(self, device=None):
        self.waits += 1
        if self.lost is not None:
            raise self.lost
        self.stream.wait()

    def set_stream(self, stream):
        self.torch_stream = stream

    def set_index(self, index):
        self.current = index

    def sleep(self, cycles):
        assert type(cycles) is int
        self.stream.spin(cycles / self.cycles_per_s)

    def event(self, *, enable_timing):
        assert enable_timing
        return _Event(self.stream)


class _Event:
    def __init__(self, stream):
        self._stream = stream
        self._at = None

    def record(self):
        self._at = self._stream.record()

    def query(self):
        return not self._stream.is_pending(self._at)

    def elapsed_time(self, end):
        return 1e3 * self._stream.elapsed_s(self._at, end._at)


def pretend_cuda(monkeypatch, stream: Stream | None = None, *, devices=1) -> PretendedCuda:
    """Let PyTorch see CUDA devices until the test ends."""
    made = PretendedCuda(stream or Stream())
    properties = SimpleNamespace(name="a pretended GPU", L2_cache_size=L2_B, uuid="0-1-2", total_memory=80 << 30)
    cuda = torch.cuda
    for name, stand_in in {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: devices,
        "current_device": lambda: made.current or 0,
        "get_device_properties": lambda device=None: properties,
        "get_device_name": lambda device=None: properties.name,
        "synchronize": made.synchronize,
        "current_stream": lambda device=None: made.torch_stream,
        "default_stream": lambda device=None: "the default stream",
        "set_stream": made.set_stream,
        "Event": made.event,
        "_sleep": made.sleep,
    }.items():
        monkeypatch.setattr(cuda, name, stand_in)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", made.set_index, raising=False)
    for name in ("empty", "zeros", "ones"):
        monkeypatch.setattr(torch, name, _on_the_cpu(getattr(torch, name)))
    return made


def _on_the_cpu(make):
    def made(*size, device=None, **kind):
        return make(*size, **kind)

    return made
