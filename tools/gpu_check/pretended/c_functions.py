"""The C functions that PyTorch's Python code for CUDA calls, for the pretended device.

Only what lnbench reaches is here. What is missing raises an AttributeError that names it, and CUDA graphs raise as they
do where PyTorch is built without CUDA.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

from tools.gpu_check.pretended.device import DEVICE, L2_B, MEMORY_B, NAME, UUID

_CUDA_DEVICE_TYPE = 1
"""c10::DeviceType::CUDA."""

PROPERTIES = SimpleNamespace(
    name=NAME, uuid=UUID, L2_cache_size=L2_B, total_memory=MEMORY_B, multi_processor_count=132, major=9, minor=0
)


class StreamBase:
    """What torch.cuda.Stream is built on."""

    stream_id: int
    device_index: int
    device_type: int
    priority: int

    def __new__(
        cls,
        priority: int = 0,
        stream_id: int | None = None,
        device_index: int = 0,
        device_type: int = _CUDA_DEVICE_TYPE,
    ) -> "StreamBase":
        self = super().__new__(cls)
        self.stream_id = DEVICE.new_stream() if stream_id is None else stream_id
        self.device_index, self.device_type, self.priority = device_index, device_type, priority
        return self

    @property
    def cuda_stream(self) -> int:
        return self.stream_id

    @property
    def device(self) -> Any:
        return sys.modules["torch"].device("cuda", self.device_index)

    def query(self) -> bool:
        return DEVICE.is_done(DEVICE.done_at(self.stream_id))

    def synchronize(self) -> None:
        DEVICE.wait_for(DEVICE.done_at(self.stream_id))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StreamBase) and self.stream_id == other.stream_id

    def __hash__(self) -> int:
        return hash(self.stream_id)


class EventBase:
    """What torch.cuda.Event is built on. It refuses what the real one refuses."""

    cuda_event = 0
    _is_timed: bool
    _at: float | None

    def __new__(
        cls, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ) -> "EventBase":
        self = super().__new__(cls)
        self._is_timed, self._at = enable_timing, None
        return self

    def record(self, stream: StreamBase) -> None:
        self._at = DEVICE.done_at(stream.stream_id)

    def wait(self, stream: StreamBase) -> None:
        if self._at is not None:
            DEVICE.hold_back(stream.stream_id, self._at)

    def query(self) -> bool:
        return self._at is None or DEVICE.is_done(self._at)

    def synchronize(self) -> None:
        if self._at is not None:
            DEVICE.wait_for(self._at)

    def elapsed_time(self, end: "EventBase") -> float:
        if not (self._is_timed and end._is_timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._at is None or end._at is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (end._at - self._at) * 1e3


def add_c_functions(extension: ModuleType) -> None:
    """Give PyTorch's C extension what it lacks when it is built without CUDA, or can't use without a driver."""
    functions = {
        "_has_cuda": True,
        "_cudart": SimpleNamespace(cudaMemGetInfo=lambda index: (DEVICE.free_b, MEMORY_B)),
        "_CudaDeviceProperties": SimpleNamespace,
        "_CudaStreamBase": StreamBase,
        "_CudaEventBase": EventBase,
        "_CUDAGraph": _Refused,
        "_graph_pool_handle": _Refused,
        "_cuda_isCurrentStreamCapturing": lambda: False,
        "_cuda_init": _initialize,
        "_cuda_isInBadFork": lambda: False,
        "_cuda_getDeviceCount": lambda: 1,
        "_cuda_getDevice": lambda: 0,
        "_cuda_setDevice": _require_first,
        "_cuda_exchangeDevice": _exchange_device,
        "_cuda_maybeExchangeDevice": _exchange_device,
        "_cuda_getArchFlags": lambda: "sm_90",
        "_cuda_synchronize": DEVICE.synchronize,
        "_cuda_sleep": _sleep,
        "_cuda_getCurrentStream": lambda index: (DEVICE.stream, index, _CUDA_DEVICE_TYPE),
        "_cuda_getCurrentRawStream": lambda index: DEVICE.stream,
        "_cuda_getDefaultStream": lambda index: (0, index, _CUDA_DEVICE_TYPE),
        "_cuda_setStream": _set_stream,
        "_cuda_emptyCache": DEVICE.require_alive,
        "_cuda_memoryStats": _memory_stats,
        "_cuda_resetPeakMemoryStats": lambda index: DEVICE.reset_peak(),
    }
    vars(extension).update(functions)


class _Refused:
    """What only a real device has."""

    def __new__(cls, *_: object, **__: object) -> NoReturn:
        raise RuntimeError("the pretended GPU captures no CUDA graphs")


def _initialize() -> None:
    """What the real one sets in torch.cuda."""
    cuda: Any = sys.modules["torch.cuda"]
    cuda._get_device_properties = lambda index: PROPERTIES
    cuda.default_generators = (sys.modules["torch._C"].Generator(),)


def _require_first(index: int) -> None:
    if index != 0:
        raise RuntimeError("CUDA error: invalid device ordinal")


def _exchange_device(index: int) -> int:
    """Negative numbers mean: stay where you are."""
    if index >= 0:
        _require_first(index)
    return 0


def _sleep(cycles: int) -> None:
    if type(cycles) is not int:
        raise TypeError(f"torch.cuda._sleep(): expected 'int', got {type(cycles).__name__}")
    DEVICE.spin(cycles)


def _set_stream(*, stream_id: int, device_index: int, device_type: int) -> None:
    _require_first(device_index)
    DEVICE.stream = stream_id


def _memory_stats(index: int) -> dict[str, dict[str, dict[str, int]]]:
    _require_first(index)
    return {"allocated_bytes": {"all": {"current": DEVICE.count_b(), "peak": DEVICE.peak_b}}}
