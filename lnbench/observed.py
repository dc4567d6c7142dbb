"""What a worker observes beside time: memory, energy, and the conditions under which it measured."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from lnbench.planned import Frozen
from lnbench.workload import Phase


class PhaseMemory(Frozen):
    """Bytes of one phase above its inputs, as the framework's allocator saw them.

    `peak_b`: the most alive at once; for backward that includes y and what was saved for it. `output_b`: what the phase
    returns. `temporary_b`: the most alive at once of what is released before the phase ends and was not saved; None
    where single allocations can't be told apart.
    """

    peak_b: int
    output_b: int
    temporary_b: int | None = None


class MemoryUse(Frozen):
    """What a case allocates, from one call of each phase apart from timing.

    `saved_b`: distinct storages that autograd saved for backward and that are neither inputs nor y. `kept_b`: what the
    allocator saw alive after forward beyond y; where the two differ, something is kept that autograd does not know.
    """

    event: Literal["memory_use"] = "memory_use"
    process: int
    case: int
    phases: Mapping[Phase, PhaseMemory]
    saved_b: int | None = None
    kept_b: int | None = None


class DeviceMemory(Frozen):
    """NVML's figures while a case's tensors were alive; None where NVML does not tell."""

    event: Literal["device_memory"] = "device_memory"
    process: int
    case: int
    nvml_process_bytes: int | None
    nvml_device_bytes: int | None


class EnergyUse(Frozen):
    """What a counter of energy showed over a loop of calls of one kind, and over idle windows before and after it.

    `joules`: the counter's step over `window_s`, idle included. `idle_before_w`, `idle_after_w`: with the clocks still
    up. `unusable`: why the figures must not be used; empty when they may.
    """

    event: Literal["energy_use"] = "energy_use"
    process: int
    case: int
    kind: Literal["inference", "step"]
    source: str
    calls: int
    window_s: float
    joules: float
    idle_before_w: float
    idle_after_w: float
    unusable: str = ""


class Conditions(Frozen):
    """The state of the machine between two looks, which the turns of rounds `first_round` to `last_round` fell into.

    `readings`: by name with its unit: counts and seconds since the look before (`steal_s`, `throttled_s`,
    `involuntary_switches`, ...), the state now for the others (`frequency_hz`, `temperature_c`, ...). `throttling`: the
    reasons for which a GPU's driver held its clocks back.
    """

    event: Literal["conditions"] = "conditions"
    process: int
    workload: int
    first_round: int
    last_round: int
    seconds: float
    readings: Mapping[str, float] = Field(default_factory=dict)
    throttling: tuple[str, ...] = ()
