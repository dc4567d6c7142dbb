"""What NVIDIA's management library tells: the GPUs, their memory, clocks, power and energy, and what holds them back.

A missing library, driver, permission or function gives None, with the reason kept, never an error.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lnbench.planned import Gpu

# Bits of NVML's "clocks event reasons" (nvml.h, called throttle reasons before driver 535).
THROTTLE_BITS: Mapping[int, str] = MappingProxyType(
    {
        0x1: "gpu_idle",
        0x2: "applications_clocks_setting",
        0x4: "sw_power_cap",
        0x8: "hw_slowdown",
        0x10: "sync_boost",
        0x20: "sw_thermal_slowdown",
        0x40: "hw_thermal_slowdown",
        0x80: "hw_power_brake_slowdown",
        0x100: "display_clock_setting",
    }
)
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_TEMPERATURE_GPU = 0


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes held by this process and by everyone on a GPU; None where NVML does not tell."""

    process_b: int | None
    device_b: int | None


class Nvml:
    """A session with NVML; `missing` says why there is none. `library` stands in for pynvml in tests.

    `unanswered`: what was asked and not answered, by function, with the reason.
    """

    def __init__(self, library: Any = None) -> None:
        self.missing = ""
        self.unanswered: dict[str, str] = {}
        self._library = library
        self._handles: dict[str, Any] = {}
        try:
            if self._library is None:
                import pynvml

                self._library = pynvml
            self._library.nvmlInit()
        except ImportError as error:
            self.missing = f"nvidia-ml-py is not installed ({error})"
        except Exception as error:
            # NVML's own errors are a class of the library that may be missing; whatever it raises, the fields stay
            # empty and the reason is kept.
            self.missing = f"NVML: {error}"

    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that the driver shows."""
        if self.missing:
            return ()
        count = self._try("nvmlDeviceGetCount") or 0
        found = []
        for index in range(count):
            handle = self._try("nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                continue
            memory = self._try("nvmlDeviceGetMemoryInfo", handle)
            found.append(
                Gpu(
                    index=index,
                    name=_text(self._try("nvmlDeviceGetName", handle) or "unknown GPU"),
                    memory_b=None if memory is None else int(memory.total),
                )
            )
        return tuple(found)

    def free_b(self) -> list[int]:
        """The bytes of each GPU that nobody has."""
        count = 0 if self.missing else self._try("nvmlDeviceGetCount") or 0
        handles = (self._try("nvmlDeviceGetHandleByIndex", index) for index in range(count))
        found = (self._try("nvmlDeviceGetMemoryInfo", handle) for handle in handles if handle is not None)
        return [int(info.total) - int(info.used) for info in found if info is not None]

    def driver(self) -> str | None:
        """The driver's version."""
        version = None if self.missing else self._try("nvmlSystemGetDriverVersion")
        return None if version is None else _text(version)

    def memory(self, uuid: str) -> GpuMemory:
        """Memory in use on the GPU with this UUID, by this process and by all."""
        handle = self._handle(uuid)
        if handle is None:
            return GpuMemory(None, None)
        info = self._try("nvmlDeviceGetMemoryInfo", handle)
        processes = self._try("nvmlDeviceGetComputeRunningProcesses", handle)
        mine = [process.usedGpuMemory for process in processes or () if process.pid == os.getpid()]
        return GpuMemory(
            process_b=int(mine[0]) if mine and mine[0] is not None else None,
            device_b=None if info is None else int(info.used),
        )

    def readings(self, uuid: str) -> Mapping[str, float]:
        """Clocks, power and temperature of a GPU now, as far as it tells."""
        handle = self._handle(uuid)
        if handle is None:
            return {}
        found = {
            "sm_clock_hz": (1e6, self._try("nvmlDeviceGetClockInfo", handle, _CLOCK_SM)),
            "memory_clock_hz": (1e6, self._try("nvmlDeviceGetClockInfo", handle, _CLOCK_MEMORY)),
            "power_w": (1e-3, self._try("nvmlDeviceGetPowerUsage", handle)),
            "temperature_c": (1.0, self._try("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU)),
        }
        return {name: scale * value for name, (scale, value) in found.items() if value is not None}

    def throttling(self, uuid: str) -> tuple[str, ...]:
        """Why a GPU's clocks are held back now."""
        handle = self._handle(uuid)
        if handle is None:
            return ()
        newer = hasattr(self._library, "nvmlDeviceGetCurrentClocksEventReasons")
        kind = "Event" if newer else "Throttle"
        bits = self._try(f"nvmlDeviceGetCurrentClocks{kind}Reasons", handle) or 0
        return tuple(name for bit, name in THROTTLE_BITS.items() if bits & bit)

    def foreign_processes(self, uuid: str) -> int | None:
        """How many other processes compute on a GPU.

        Inside a container NVML may know this process by another number; then one of those listed is taken for it.
        """
        handle = self._handle(uuid)
        processes = None if handle is None else self._try("nvmlDeviceGetComputeRunningProcesses", handle)
        return None if processes is None else max(len(processes) - 1, 0)

    def energy_j(self, uuid: str) -> float | None:
        """What a GPU has used since its driver was loaded."""
        handle = self._handle(uuid)
        millijoules = None if handle is None else self._try("nvmlDeviceGetTotalEnergyConsumption", handle)
        return None if millijoules is None else millijoules * 1e-3

    def _handle(self, uuid: str) -> Any:
        if self.missing:
            return None
        if uuid not in self._handles:
            prefixed = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
            handle = self._try("nvmlDeviceGetHandleByUUID", prefixed)
            if handle is None:
                return None
            self._handles[uuid] = handle
        return self._handles[uuid]

    def _try(self, function: str, *arguments: Any) -> Any:
        """A call's result, or None where the library, the driver or the card does not answer it."""
        try:
            return getattr(self._library, function)(*arguments)
        except Exception as error:
            self.unanswered.setdefault(function.removeprefix("nvml"), str(error) or type(error).__name__)
            return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
