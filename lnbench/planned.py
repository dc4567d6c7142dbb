"""What a run is about: the machine, the plan, and the ways in which a case can end."""

from collections.abc import Mapping
from enum import StrEnum
from math import prod
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lnbench.amounts import MOST_ELEMENTS, MOST_LOG_RATIO, Bytes, Count, Finite, Integer, Seconds, Share, Size
from lnbench.functions import FUNCTIONS
from lnbench.units import format_shape
from lnbench.workload import Clock, NormMode, Phase, Workload, one_of

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
    CAPTURE = "capture"
    TIMING = "timing"
    LAUNCHING = "launching"
    MEMORY = "memory"
    ENERGY = "energy"
    CLOSE = "close"


SetAside = Literal[Status.UNSUPPORTED, Status.SKIPPED, Status.ERROR, Status.CRASH, Status.TIMEOUT]
"""The status of a case that is known not to be measurable before anything runs; the last three: its package, which the
suite names, could not be loaded."""


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

    l2_b: Bytes | None = None
    last_level_b: Bytes | None = None


class Gpu(Frozen):
    """One NVIDIA GPU as the driver describes it, and how it is set up; None where it does not tell.

    power_limit_w: the one in force. max_sm_clock_hz, max_memory_clock_hz: the largest that it can have. ecc: memory
    corrects errors. mig: it is cut into slices. persistence: the driver stays loaded without work.
    """

    index: Count
    name: str
    memory_b: Bytes | None = None
    power_limit_w: Finite | None = None
    max_sm_clock_hz: Finite | None = None
    max_memory_clock_hz: Finite | None = None
    ecc: bool | None = None
    mig: bool | None = None
    persistence: bool | None = None


class Environment(Frozen):
    """The machine and the versions, without anything that names its host, user or folders.

    `cpu_signature`: the numbers that tell apart processors of one name (family, model and stepping on x86); "" in
    journals before version 8, and where the system gives none. `settings`: how the system is set (governor, turbo, SMT,
    NUMA nodes, huge pages, PyTorch's allocator of GPU memory), as far as it says.
    """

    system: str
    machine: str
    cpu: str
    physical_cores: Count
    logical_cores: Count
    caches: CacheSizes
    memory_b: Bytes
    gpus: tuple[Gpu, ...] = ()
    gpu_driver: str | None = None
    libc: str = ""
    python: str = ""
    versions: Mapping[str, str] = Field(default_factory=dict)
    settings: Mapping[str, str] = Field(default_factory=dict)
    cpu_signature: str = ""


class ProcessSpread(Frozen):
    """How far processes of earlier runs on this machine class lay apart on one device.

    `deviation`: the standard deviation between processes of a row's log speedup, with its degrees of freedom. `runs`:
    from how many runs.
    """

    device_name: str
    deviation: Annotated[float, Field(ge=0, le=MOST_LOG_RATIO, allow_inf_nan=False)]
    freedom: Size
    runs: Size


class PlannedWorkload(Frozen):
    """A workload of the plan. `id` joins runs; `phases` and `clocks` say which rows its cases have.

    Axes are those of Workload, without norm_mode and groups, which belong to cases.
    """

    id: str
    workload: Workload
    reference: str
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=len(Phase))]
    clocks: Annotated[tuple[Clock, ...], Field(min_length=1, max_length=len(Clock))]

    @property
    def deciding_clock(self) -> Clock:
        """The clock that tables and verdicts use: device where it was asked for, else wall or graph alone."""
        order = (Clock.DEVICE, Clock.WALL, Clock.GRAPH, Clock.BATCH)
        return next(clock for clock in order if clock in self.clocks)

    @model_validator(mode="after")
    def _is_planned(self) -> Self:
        """Shapes as plans make them, and nothing named twice."""
        shape, normalized = self.workload.shape, self.workload.normalized_shape
        if prod(shape) > MOST_ELEMENTS:
            raise ValueError(f"shape {format_shape(shape)} has more than {MOST_ELEMENTS} elements")
        dims, axes = len(normalized), self.workload.norm_axes
        if axes and normalized != tuple(shape[axis] for axis in axes if axis < len(shape)):
            raise ValueError(f"{format_shape(normalized)} is not axis {axes[0]} of shape {format_shape(shape)}")
        if not axes and normalized != (1,) * (dims - len(shape)) + shape[-dims:]:
            raise ValueError(f"{format_shape(normalized)} is not the end of shape {format_shape(shape)}")
        if len(set(self.phases)) < len(self.phases) or len(set(self.clocks)) < len(self.clocks):
            raise ValueError("a phase or a clock stands twice")
        return self


class PlannedCase(Frozen):
    """A case of the plan: `workload` is an index into the header's workloads.

    `status` is None when it is to be measured; another, with a reason, when it was known beforehand that it can't be.
    `function` is "" where that is all that is known, because it could not be loaded.
    `reference`: the implementation that it is compared with, where that is not the workload's. `margin`: the relative
    slowdown that a verdict about it lets pass. `libraries`: the distributions beside PyTorch whose code it is.
    """

    workload: Count
    implementation: str
    use: str
    function: Annotated[str, AfterValidator(one_of("function", ("", *FUNCTIONS)))]
    norm_mode: NormMode = ""
    options: Mapping[str, bool | Integer | float | str] = Field(default_factory=dict)
    groups: Size | None = None
    status: SetAside | None = None
    reason: str = ""
    reference: str = ""
    margin: Share = DEFAULT_MARGIN
    libraries: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _computes_something(self) -> Self:
        if not self.function and self.status is None:
            raise ValueError("what is to be measured has a function")
        return self

    @property
    def title(self) -> str:
        """The name with its mode, where the function has modes."""
        return f"{self.implementation} ({self.norm_mode})" if self.norm_mode else self.implementation


BASE_SUFFIX = "@base"
"""Marks the old version of an implementation, where both take turns in one run."""


class PluginSource(Frozen):
    """A plug-in file. `tree`: the folder up to which modules beside and above it are its own; "" for the file's folder.

    `is_base`: it is the old side of a comparison, and what it registers is called NAME@base. `digest`: SHA-256 of what
    must stand in the file when it is run; "" for whatever does.
    """

    kind: Literal["file"] = "file"
    path: str
    tree: str = ""
    is_base: bool = False
    digest: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.path


class InstalledSource(Frozen):
    """An entry point of an installed package: `value` says where the builder of the implementation `name` stands."""

    kind: Literal["installed"] = "installed"
    name: str
    value: str
    distribution: str
    version: str

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.distribution} {self.version}".strip()


Source = Annotated[PluginSource | InstalledSource, Field(discriminator="kind")]
"""Where registrations come from, beside lnbench itself. Their code is run in workers only."""


class SamplingRecord(Frozen):
    """How long and how often the run samples.

    `budget_total_s`: the most seconds of timed rounds in all; None: MOST_EXTENDED times what the budgets add up to.
    """

    processes: Count
    precision: Share
    budget_s: Seconds
    budget_total_s: Seconds | None = None
