"""What happens in a run, one event per thing: what a worker reports, and what a journal holds after its header."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, field_validator

from lnbench.amounts import MOST, MOST_FAULTS, Count, Hertz, LogRatio, Seconds, Size, Time
from lnbench.observed import Conditions, DeviceMemory, EnergyUse, Launching, MachineLook, MemoryUse
from lnbench.planned import Frozen, Notice, Stage, Status
from lnbench.workload import Clock, Dtype, Phase

SAMPLED = ("inference", "step", *(phase.value for phase in Phase if phase is not Phase.INFERENCE), "disposal")
"""What a case's turn takes samples of, and the kinds of call that it counts."""

PROBED = ("copy", "step_copy", "launch")
"""The same of the probe's turns."""

Sampled = Annotated[str, Field(pattern=f"^({'|'.join((*SAMPLED, *PROBED))})$")]
PageFaults = Annotated[float, Field(ge=0, le=MOST_FAULTS, allow_inf_nan=False)]

PROBE_CASE = -1
"""The case number of the probe's turns."""

OFF_STREAM = "off-stream"
"""The code of the notice that a GPU's clock can't see a case's work; the text says why."""

WAITS, LATE, BLOCKED = "waits-for-device", "late-launches", "launch-blocking"
"""Codes of notices that calls can't be queued ahead of the device, so that its clock would time their launches."""

NO_DEVICE_TIME = (OFF_STREAM, WAITS, LATE, BLOCKED)
"""Whose text is the reason of rows without times on the device's clock."""


OWN_DY = "own-dy"
"""The code of the notice that a case's backward gets a copy of dy, into which it writes."""

L2_HOT = "l2-hot"
"""The code of the notice that the replays of a CUDA graph find their buffers in L2, though it should be cold."""


class WorkerStarted(Frozen):
    """A worker process is ready. `process` counts the run's passes over the plan; `worker` every process started.

    `fault_s`: what one page fault costs here, zeroing the page included. `flushes_denormals`: the mode of its floating
    point unit. `wakeup_s`: run-queue delay of one wake-up on this machine when it is quiet. `memory_clock_hz` and
    `memory_bus_bits`: of a GPU's memory, its largest clock and the width of its bus. None where not found out.
    """

    event: Literal["worker_started"] = "worker_started"
    process: Count
    worker: Count
    device: str
    device_name: str
    import_s: Seconds
    versions: Mapping[str, str] = Field(default_factory=dict)
    fault_s: Seconds | None = None
    flushes_denormals: bool | None = None
    wakeup_s: Seconds | None = None
    memory_clock_hz: Hertz | None = None
    memory_bus_bits: Size | None = None


class Built(Frozen):
    """A case was built and called once. `compiled_cold` is None where nothing is compiled at the first call.

    `no_step`: why it has an inference phase only; "" where it has gradients too.

    `graphs`, `graph_breaks`, `recompilations`: what torch.compile made of it until then; None where it made nothing.
    """

    event: Literal["built"] = "built"
    process: Count
    case: Count
    build_s: Seconds
    first_call_s: Seconds
    compiled_cold: bool | None = None
    graphs: Count | None = None
    graph_breaks: Count | None = None
    recompilations: Count | None = None
    no_step: str = ""


class Verified(Frozen):
    """A case's outputs and gradients were held against the float64 oracle.

    `max_relative_error`: per tensor, the largest |error| / max |oracle|.
    `share_of_tolerance`: per tensor, the largest |error| / tolerance; above 1 the case is wrong. `repeats`: two
    backward runs on the same inputs agreed to the bit.
    """

    event: Literal["verified"] = "verified"
    process: Count
    case: Count
    moment: Literal["before", "after"]
    max_relative_error: Mapping[str, float]
    share_of_tolerance: Mapping[str, float]
    repeats: bool | None = None
    seconds: Seconds = 0.0


class HardInputs(Frozen):
    """How a case does on inputs that are hard to normalize: per input and tensor, the largest |error| / max |oracle|.

    They were judged in `dtype`, which for 16-bit cases is wider than their own, because there they judge the formula.
    """

    event: Literal["hard_inputs"] = "hard_inputs"
    process: Count
    case: Count
    dtype: Dtype
    max_relative_error: Mapping[str, Mapping[str, float]]


class Turn(Frozen):
    """One case's samples in one round: seconds per call, by clock and phase; on the wall clock also `disposal`.

    A turn that takes several samples of each kind has an event for each, with the same `started_s`, numbered by
    `sample`. `started_s`: seconds since the workload's first turn. `calls`: timed calls per sample, by "inference" and
    "step", and by "forward_backward" where the whole step is a piece of its own beside its parts.
    `device_calls`, `batch_calls`, `graph_calls`: those whose mean the times of that clock are, by the same; a device's
    queue, and a CUDA graph, hold another number of them. Empty in journals before version 8, whose `calls` they were at
    most.
    `uncounted`: the turn's calls before counting began. `faults`: page faults per timed call, by the same.

    What the scheduler did to the threads of the process, by the same kinds of call, from the look before a sample to
    the look after it: `delay_s` in the run queue, summed over all threads; `wakeups`: how often a thread was put on a
    core; `involuntary` and `voluntary` context switches; and `cpu_s` of the process during the counted calls. Empty in
    journals before version 7, and `delay_s` where the system does not count it. `steal_s`: what a hypervisor took from
    the cores during the turn. `reach_s`: how long before the turn a thread had been waiting that first ran in it, so
    that turns before it were disturbed too.

    The samples of each clock stand in the field that `Clock.field` names; `batch_s` and `graph_s` are empty in journals
    before version 8.
    """

    event: Literal["turn"] = "turn"
    process: Count
    workload: Count
    round: Count
    case: Annotated[int, Field(ge=PROBE_CASE, le=MOST)]
    started_s: Seconds
    calls: Mapping[Sampled, Count]
    uncounted: Count = 0
    wall_s: Mapping[Sampled, Seconds] = Field(default_factory=dict)
    device_s: Mapping[Sampled, Seconds] = Field(default_factory=dict)
    faults: Mapping[Sampled, PageFaults] = Field(default_factory=dict)
    sample: Count = 0
    delay_s: Mapping[Sampled, Seconds] = Field(default_factory=dict)
    wakeups: Mapping[Sampled, Count] = Field(default_factory=dict)
    involuntary: Mapping[Sampled, Count] = Field(default_factory=dict)
    voluntary: Mapping[Sampled, Count] = Field(default_factory=dict)
    cpu_s: Mapping[Sampled, Seconds] = Field(default_factory=dict)
    device_calls: Mapping[Sampled, Count] = Field(default_factory=dict)
    steal_s: Seconds = 0.0
    reach_s: Seconds = 0.0
    batch_s: Mapping[Sampled, Seconds] = Field(default_factory=dict)
    batch_calls: Mapping[Sampled, Count] = Field(default_factory=dict)
    graph_s: Mapping[Sampled, Seconds] = Field(default_factory=dict)
    graph_calls: Mapping[Sampled, Count] = Field(default_factory=dict)

    @field_validator("faults", mode="before")
    @classmethod
    def _of_all_calls(cls, found: object) -> object:
        """Before version 3 there was one figure for all calls of a turn, or none."""
        if isinstance(found, int | float):
            return {"inference": found, "step": found}
        return found or {}


class WorkloadFinished(Frozen):
    """A process is done with a workload, judging and all: why the rounds stopped, and where the time went.

    `setup_s`: from the order to the first turn. `compiling_s`: the part of it in builds and first calls that compiled.
    `on_graph`: the rounds were those of the graph clock, which a worker of its own takes after the others.
    """

    event: Literal["workload_finished"] = "workload_finished"
    process: Count
    workload: Count
    rounds: Count
    stopped_by: Literal["precision", "budget", "nothing left"]
    rounds_s: Seconds
    setup_s: Seconds = 0.0
    compiling_s: Seconds = 0.0
    on_graph: bool = False


class Ended(Frozen):
    """A case ended otherwise than ok, at a stage, for a reason; later processes leave it out.

    `clock`: the end concerns the rows of this clock alone; None where it concerns the whole case.
    """

    event: Literal["ended"] = "ended"
    process: Count
    case: Count
    status: Status
    stage: Stage
    reason: str
    detail: str = ""
    clock: Clock | None = None


class Noticed(Frozen):
    """A notice about a case, a workload (case None), or the run (both None)."""

    event: Literal["noticed"] = "noticed"
    notice: Notice
    workload: Count | None = None
    case: Count | None = None


class Condensed(Frozen):
    """What one process found out about one row, in place of its turns: how a compact baseline keeps them.

    `log_speedup`: the median of log(reference) - log(implementation) over neighbouring turns; None without a reference.
    `log_copy`: the same with the probe's copy in the reference's place. `unstable`: why the row is, "" where it is not;
    `median_s` is None where no sample of it was undisturbed.
    """

    event: Literal["condensed"] = "condensed"
    process: Count
    case: Count
    phase: Phase
    clock: Clock
    rounds: Count
    median_s: Time | None
    log_speedup: LogRatio | None = None
    log_copy: LogRatio | None = None
    unstable: str = ""


class Confirming(Frozen):
    """From this process on, only rows that looked slower are measured again, to be judged by that alone."""

    event: Literal["confirming"] = "confirming"
    first_process: Count
    cases: tuple[Count, ...]


class Resumed(Frozen):
    """An interrupted run goes on from here. `differences`: what had changed since, and was told to be no obstacle."""

    event: Literal["resumed"] = "resumed"
    at: str
    differences: tuple[str, ...] = ()


class RunFinished(Frozen):
    """The last line of a run that was not killed; of one that was resumed, the last line of each part."""

    event: Literal["run_finished"] = "run_finished"
    wall_s: Seconds
    interrupted: bool = False


AnyEvent = (
    WorkerStarted
    | Built
    | Verified
    | Turn
    | WorkloadFinished
    | Ended
    | Noticed
    | HardInputs
    | MemoryUse
    | DeviceMemory
    | EnergyUse
    | Launching
    | Conditions
    | MachineLook
    | Condensed
    | Confirming
    | Resumed
    | RunFinished
)
Event = Annotated[AnyEvent, Field(discriminator="event")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads one line of a journal, or of a worker's pipe, into its event."""
