"""How a GPU's memory is connected: its largest clock and the width of its bus, which give its peak bandwidth."""

from dataclasses import dataclass
from typing import Any

from lnbench.measure.cuda import missing_device
from lnbench.measure.nvml import Nvml


@dataclass(frozen=True, slots=True)
class MemoryBus:
    """The largest clock of a GPU's memory, as the driver counts it (two transfers each), and the bits of its bus."""

    clock_hz: float
    width_bits: int


def memory_bus(device: str) -> MemoryBus | None:
    """The memory bus of a CUDA device; None for others, and where neither NVML nor PyTorch has both figures."""
    if not device.startswith("cuda") or missing_device(device):
        return None
    import torch

    return bus_of(torch.cuda.get_device_properties(device), Nvml())


def bus_of(properties: Any, nvml: Nvml) -> MemoryBus | None:
    """The same from a card's properties in PyTorch, which newer versions have, and NVML, which is asked first."""
    clock_hz, width_bits = nvml.memory_bus(str(properties.uuid))
    clock_hz = clock_hz or 1e3 * float(getattr(properties, "memory_clock_rate", 0))  # PyTorch has kHz
    width_bits = width_bits or int(getattr(properties, "memory_bus_width", 0))
    return MemoryBus(clock_hz, width_bits) if clock_hz and width_bits else None
