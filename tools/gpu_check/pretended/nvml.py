"""NVIDIA's management library for the pretended GPU: steady clocks, an even power, this process alone on the card."""

import os
from time import perf_counter
from types import ModuleType, SimpleNamespace

from tools.gpu_check.pretended.device import DEVICE, MEMORY_B, NAME, RESERVED_B

POWER_W = 300.0
_CLOCKS_MHZ = {1: 1980, 2: 2619}
"""By NVML's kinds of clocks: SM and memory."""


def pretended_pynvml() -> ModuleType:
    """A module that answers what lnbench asks pynvml."""
    started = perf_counter()

    def used_b() -> int:
        return RESERVED_B + DEVICE.count_b()

    class NVMLError(Exception):
        """What pynvml raises."""

    module = ModuleType("pynvml")
    answers = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "pretended",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByUUID": lambda uuid: 0,
        "nvmlDeviceGetName": lambda handle: NAME,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=MEMORY_B, used=used_b()),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=used_b())
        ],
        "nvmlDeviceGetClockInfo": lambda handle, kind: _CLOCKS_MHZ[kind],
        "nvmlDeviceGetPowerUsage": lambda handle: int(1e3 * POWER_W),
        "nvmlDeviceGetTemperature": lambda handle, sensor: 54,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: 0,
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: int(1e3 * POWER_W * (perf_counter() - started)),
    }
    vars(module).update(answers)
    return module
