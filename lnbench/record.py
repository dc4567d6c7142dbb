"""What a run leaves behind: one header, then one event per thing that happened. A journal is these as JSON lines."""

from collections.abc import Container, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lnbench.workload import Clock, Phase, Workload

SCHEMA_VERSION = 2
"""Raised whenever an event changes; readers refuse what they do not know."""

READABLE_VERSIONS = (1, 2)
"""2 added what a check needs: margins, a case's own reference, the baseline, condensed samples. All have defaults."""

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
    BUILD = "build"
    VERIFY = "verify"
    WARM_UP = "warm-up"
    TIMING = "timing"
    MEMORY = "memory"


class _Frozen(BaseModel):
    # JSON has no infinity; a wrong result can be infinitely far off.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Notice(_Frozen):
    """A warning that travels with results and becomes a footnote: what was seen, the likely cause, what to try."""

    code: str
    text: str


class CacheSizes(_Frozen):
    """Bytes of the caches; None where the system does not say."""

    l2_b: int | None = None
    last_level_b: int | None = None


class Gpu(_Frozen):
    """One NVIDIA GPU as the driver describes it."""

    index: int
    name: str
    memory_b: int | None = None


class Environment(_Frozen):
    """The machine and the versions, without anything that names its host, user or folders."""

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


class PlannedWorkload(_Frozen):
    """A workload of the plan. `id` joins runs; `phases` and `clocks` say which rows its cases have.

    Axes are those of Workload, without norm_mode and groups, which belong to cases.
    """

    id: str
    workload: Workload
    reference: str
    phases: tuple[Phase, ...]
    clocks: tuple[Clock, ...]


class PlannedCase(_Frozen):
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


class PluginSource(_Frozen):
    """A plug-in file. `tree`: the folder up to which modules beside and above it are its own; "" for the file's folder.

    `is_base`: it is the old side of a comparison, and what it registers is called NAME@base.
    """

    path: str
    tree: str = ""
    is_base: bool = False


class SamplingRecord(_Frozen):
    """How long and how often the run samples."""

    processes: int
    precision: float
    budget_s: float


class Header(_Frozen):
    """The first line of a journal: all that is needed to know what was to be measured, and where."""

    event: Literal["header"] = "header"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    created: str
    lnbench_version: str
    suite: str
    description: str = ""
    suite_text: str
    seed: int
    sampling: SamplingRecord
    options: Mapping[str, str] = Field(default_factory=dict)
    plugins: Mapping[str, str] = Field(default_factory=dict)
    environment: Environment
    workloads: tuple[PlannedWorkload, ...]
    cases: tuple[PlannedCase, ...]
    check: "Check | None" = None


class Baseline(_Frozen):
    """An earlier run that this one is held against: what was planned there, and its condensed samples and ends.

    `digest`: SHA-256 of the file that it was read from.
    """

    digest: str
    header: Header
    events: tuple["Event", ...]


class Check(_Frozen):
    """What made a run a check: what it is held against, as the command line said it, and what may be unknown.

    `baseline` is None where both sides stand in this very run. `allowed`: the verdicts that do not make it unfit.
    `different`: conditions that need not match. `narrowed`: only a part of the suite was asked for.
    """

    source: str
    revision: str = ""
    narrowed: bool = False
    missing: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    strict: bool = False
    different: tuple[str, ...] = ()
    baseline: Baseline | None = None


class WorkerStarted(_Frozen):
    """A worker process is ready. `process` counts the run's passes over the plan; `worker` every process started."""

    event: Literal["worker_started"] = "worker_started"
    process: int
    worker: int
    device: str
    device_name: str
    import_s: float
    versions: Mapping[str, str] = Field(default_factory=dict)


class Built(_Frozen):
    """A case was built and called once. `compiled_cold` is None where nothing is compiled at the first call."""

    event: Literal["built"] = "built"
    process: int
    case: int
    build_s: float
    first_call_s: float
    compiled_cold: bool | None = None


class Verified(_Frozen):
    """A case's outputs and gradients were held against the float64 oracle.

    `max_relative_error`: per tensor, the largest |error| / max |oracle|.
    `share_of_tolerance`: per tensor, the largest |error| / tolerance; above 1 the case is wrong.
    """

    event: Literal["verified"] = "verified"
    process: int
    case: int
    moment: Literal["before", "after"]
    max_relative_error: Mapping[str, float]
    share_of_tolerance: Mapping[str, float]
    seconds: float = 0.0


class Turn(_Frozen):
    """One case's samples in one round: seconds per call, by clock and phase; on the wall clock also `disposal`.

    `started_s`: seconds since the workload's first turn. `calls`: timed calls per sample, by "inference" and "step".
    `uncounted`: the turn's calls before counting began. `faults`: page faults per timed call.
    """

    event: Literal["turn"] = "turn"
    process: int
    workload: int
    round: int
    case: int
    started_s: float
    calls: Mapping[str, int]
    uncounted: int = 0
    wall_s: Mapping[str, float] = Field(default_factory=dict)
    device_s: Mapping[str, float] = Field(default_factory=dict)
    faults: float | None = None


PROBE_CASE = -1
"""The case number of the probe's turns."""


class WorkloadFinished(_Frozen):
    """A process is done with a workload: why it stopped, and where the time went.

    `setup_s`: from the order to the first turn. `compiling_s`: the part of it in builds and first calls that compiled.
    """

    event: Literal["workload_finished"] = "workload_finished"
    process: int
    workload: int
    rounds: int
    stopped_by: Literal["precision", "budget", "nothing left"]
    rounds_s: float
    setup_s: float = 0.0
    compiling_s: float = 0.0


class Ended(_Frozen):
    """A case ended otherwise than ok, at a stage, for a reason; later processes leave it out."""

    event: Literal["ended"] = "ended"
    process: int
    case: int
    status: Status
    stage: Stage
    reason: str
    detail: str = ""


class Noticed(_Frozen):
    """A notice about a case, a workload (case None), or the run (both None)."""

    event: Literal["noticed"] = "noticed"
    notice: Notice
    workload: int | None = None
    case: int | None = None


class DeviceMemory(_Frozen):
    """NVML's figures while a case's tensors were alive; None where NVML does not tell."""

    event: Literal["device_memory"] = "device_memory"
    process: int
    case: int
    nvml_process_bytes: int | None
    nvml_device_bytes: int | None


class Condensed(_Frozen):
    """What one process found out about one row, in place of its turns: how a compact baseline keeps them.

    `log_speedup`: the median of log(reference) - log(implementation) over neighbouring turns; None without a reference.
    `log_copy`: the same with the probe's copy in the reference's place.
    """

    event: Literal["condensed"] = "condensed"
    process: int
    case: int
    phase: Phase
    clock: Clock
    rounds: int
    median_s: float
    log_speedup: float | None = None
    log_copy: float | None = None


class Confirming(_Frozen):
    """From this process on, only rows that looked slower are measured again, to be judged by that alone."""

    event: Literal["confirming"] = "confirming"
    first_process: int
    cases: tuple[int, ...]


class RunFinished(_Frozen):
    """The last line of a run that was not killed."""

    event: Literal["run_finished"] = "run_finished"
    wall_s: float
    interrupted: bool = False


AnyEvent = (
    WorkerStarted
    | Built
    | Verified
    | Turn
    | WorkloadFinished
    | Ended
    | Noticed
    | DeviceMemory
    | Condensed
    | Confirming
    | RunFinished
)
Event = Annotated[AnyEvent, Field(discriminator="event")]
for _model in (Baseline, Check, Header):
    _model.model_rebuild()
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads one line of a journal, or of a worker's pipe, into its event."""


class CaseKey(NamedTuple):
    """How rows are joined between runs, together with phase and clock."""

    workload: str
    implementation: str
    norm_mode: str


class Run(BaseModel):
    """A whole run as read from its journal; `torn` tells that the last line was incomplete."""

    model_config = ConfigDict(frozen=True)

    header: Header
    events: tuple[Event, ...]
    torn: bool = False

    def key(self, case: PlannedCase) -> CaseKey:
        """The key that joins a case between runs."""
        return CaseKey(self.header.workloads[case.workload].id, case.implementation, case.norm_mode)

    def among(self, processes: Container[int]) -> "Run":
        """The run as if only these processes had been; what belongs to no process stays."""
        kept = tuple(
            event
            for event in self.events
            if isinstance(event, Noticed | Confirming | RunFinished) or event.process in processes
        )
        return self.model_copy(update={"events": kept})

    def cases_of(self, workload: int) -> Iterator[tuple[int, PlannedCase]]:
        """The cases of a workload with their numbers, in plan order."""
        return ((number, case) for number, case in enumerate(self.header.cases) if case.workload == workload)
