"""What a worker observes beside time: memory, energy, and the conditions under which it measured."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lnbench.amounts import MOST, ByteDifference, Bytes, Count, Finite, Seconds
from lnbench.planned import Frozen
from lnbench.workload import Phase

Reading = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
"""Cores, threads or processes: how many there are on average."""


Launches = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
"""How many there are in a call, on average."""


class PhaseMemory(Frozen):
    """Bytes of one phase above its inputs, as the framework's allocator saw them.

    `peak_b`: the most alive at once; for backward that includes y and what was saved for it. `output_b`: what the phase
    returns. `temporary_b`: the most alive at once of what is released before the phase ends and was not saved; None
    where single allocations can't be told apart.
    """

    peak_b: Bytes
    output_b: Bytes
    temporary_b: Bytes | None = None


class MemoryUse(Frozen):
    """What a case allocates, from one call of each phase apart from timing.

    `saved_b`: distinct storages that autograd saved for backward and that are neither inputs nor y. `kept_b`: what the
    allocator saw alive after forward beyond y; where the two differ, something is kept that autograd does not know.
    """

    event: Literal["memory_use"] = "memory_use"
    process: Count
    case: Count
    phases: Mapping[Phase, PhaseMemory]
    saved_b: Bytes | None = None
    kept_b: ByteDifference | None = None


class DeviceMemory(Frozen):
    """NVML's figures while a case's tensors were alive; None where NVML does not tell."""

    event: Literal["device_memory"] = "device_memory"
    process: Count
    case: Count
    nvml_process_bytes: Bytes | None
    nvml_device_bytes: Bytes | None


class EnergyUse(Frozen):
    """What a counter of energy showed over a loop of calls of one kind, and over idle windows before and after it.

    `joules`: the counter's step over `window_s`, idle included. `idle_before_w`, `idle_after_w`: with the clocks still
    up. `unusable`: why the figures must not be used; empty when they may.
    """

    event: Literal["energy_use"] = "energy_use"
    process: Count
    case: Count
    kind: Literal["inference", "step"]
    source: str
    calls: Count
    window_s: Seconds
    joules: Finite
    idle_before_w: Finite
    idle_after_w: Finite
    unusable: str = ""


class Launching(Frozen):
    """What the calls of a case on a GPU launch, and what launching takes the host, by phase.

    `host_overhead_s`: seconds of the host's time to enqueue a call, without waiting. `kernel_s`: the sum of the times
    of the kernels, copies and fills of a call; `launches`: how many there are. Empty where not measured.
    """

    event: Literal["launching"] = "launching"
    process: Count
    case: Count
    host_overhead_s: Mapping[Phase, Seconds] = Field(default_factory=dict)
    kernel_s: Mapping[Phase, Seconds] = Field(default_factory=dict)
    launches: Mapping[Phase, Launches] = Field(default_factory=dict)


class MachineLook(Frozen):
    """How much of the machine other processes used over a window.

    `process`, `workload`: what was measured meanwhile; both None for a look before the run. `cores`: those that this
    program may use; `wanted`: how many of them the work uses. `others`: the average number of these cores that
    processes outside of this run used. `waiting`: the average number of threads that waited for a core: of all
    processes before the run, of this run's own during it. `pressure`: the share of the window in which some thread of
    the machine waited for a core. `load`: the load average over a minute. None where the system does not report it.
    """

    event: Literal["machine_look"] = "machine_look"
    process: Count | None = None
    workload: Count | None = None
    seconds: Seconds
    cores: Annotated[int, Field(ge=1, le=MOST)]
    wanted: Annotated[int, Field(ge=1, le=MOST)]
    others: Reading | None = None
    waiting: Reading | None = None
    pressure: Reading | None = None
    load: Reading | None = None

    @model_validator(mode="after")
    def _is_of_a_moment(self) -> Self:
        if (self.process is None) != (self.workload is None):
            raise ValueError("a look during a run names both the process and the workload, one before it neither")
        return self


class Conditions(Frozen):
    """The state of the machine between two looks, which the turns of rounds `first_round` to `last_round` fell into.

    `readings`: by name with its unit: counts and seconds since the look before (`steal_s`, `throttled_s`,
    `involuntary_switches`, ...), the state now for the others (`frequency_hz`, `temperature_c`, ...). `throttling`: the
    reasons for which a GPU's driver held its clocks back.
    """

    event: Literal["conditions"] = "conditions"
    process: Count
    workload: Count
    first_round: Count
    last_round: Count
    seconds: Seconds
    readings: Mapping[str, Finite] = Field(default_factory=dict)
    throttling: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.last_round < self.first_round:
            raise ValueError(f"rounds {self.first_round} to {self.last_round} are none")
        return self
