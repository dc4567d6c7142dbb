"""What a run is about: the machine, the plan, and the ways in which a case can end."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lnbench.workload import Clock, Phase, Workload

DEFAULT_MARGIN = 0.03
"""The slowdown that a verdict lets pass unless the suite or the command line says otherwise (design, section 5)."""


class Status(StrEnum):
    """How a case, or one row of it, ended."""

    OK = "ok"
    WRONG = "wrong"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASH = "crash"
    ERROR = "error"
    UNSTABLE = "unstable"

    @property
    def is_failure(self) -> bool:
        """True for what makes a run exit with 4."""
        return self in {Status.WRONG, Status.OOM, Status.TIMEOUT, Status.CRASH, Status.ERROR}

    @property
    def has_times(self) -> bool:
        """True when times are shown."""
        return self in {Status.OK, Status.UNSTABLE}


class Stage(StrEnum):
    """What a worker was doing for a case."""

    START = "start"
    IMPORT = "import"
    BUILD = "build"
    VERIFY = "verify"
    WARM_UP = "warm-up"
    TIMING = "timing"
    MEMORY = "memory"
    ENERGY = "energy"


class Frozen(BaseModel):
    """A value that crosses a wall as JSON."""

    # JSON has no infinity; a wrong result can be infinitely far off.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Notice(Frozen):
    """A warning that travels with results and becomes a footnote: what was seen, the likely cause, what to try."""

    code: str
    text: str


class CacheSizes(Frozen):
    """Bytes of the caches; None where the system does not say."""

    l2_b: int | None = None
    last_level_b: int | None = None


class Gpu(Frozen):
    """One NVIDIA GPU as the driver describes it."""

    index: int
    name: str
    memory_b: int | None = None


class Environment(Frozen):
    """The machine and the versions, without anything that names its host, user or folders.

    `settings`: how the system is set (governor, turbo, SMT, NUMA nodes, huge pages), as far as it says.
    """

    system: str
    machine: str
    cpu: str
    physical_cores: int
    logical_cores: int
    caches: CacheSizes
    memory_b: int
    gpus: tuple[Gpu, ...] = ()
    gpu_driver: str | None = None
    libc: str = ""
    python: str = ""
    versions: Mapping[str, str] = Field(default_factory=dict)
    settings: Mapping[str, str] = Field(default_factory=dict)


class PlannedWorkload(Frozen):
    """A workload of the plan. `id` joins runs; `phases` and `clocks` say which rows its cases have.

    Axes are those of Workload, without norm_mode and groups, which belong to cases.
    """

    id: str
    workload: Workload
    reference: str
    phases: tuple[Phase, ...]
    clocks: tuple[Clock, ...]


class PlannedCase(Frozen):
    """A case of the plan: `workload` is an index into the header's workloads.

    `status` is None when it is to be measured; unsupported or skipped, with a reason, when that was known beforehand.
    `reference`: the implementation that it is compared with, where that is not the workload's. `margin`: the relative
    slowdown that a verdict about it lets pass.
    """

    workload: int
    implementation: str
    use: str
    function: str
    norm_mode: str = ""
    options: Mapping[str, bool | int | float | str] = Field(default_factory=dict)
    groups: int | None = None
    status: Literal[Status.UNSUPPORTED, Status.SKIPPED] | None = None
    reason: str = ""
    reference: str = ""
    margin: float = DEFAULT_MARGIN

    @property
    def title(self) -> str:
        """The name with its mode, where the function has modes."""
        return f"{self.implementation} ({self.norm_mode})" if self.norm_mode else self.implementation


BASE_SUFFIX = "@base"
"""Marks the old version of an implementation, where both take turns in one run."""


class PluginSource(Frozen):
    """A plug-in file. `tree`: the folder up to which modules beside and above it are its own; "" for the file's folder.

    `is_base`: it is the old side of a comparison, and what it registers is called NAME@base.
    """

    path: str
    tree: str = ""
    is_base: bool = False


class SamplingRecord(Frozen):
    """How long and how often the run samples."""

    processes: int
    precision: float
    budget_s: float
