"""What happens in a run, one event per thing: what a worker reports, and what a journal holds after its header."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, field_validator

from lnbench.observed import Conditions, DeviceMemory, EnergyUse, MemoryUse
from lnbench.planned import Frozen, Notice, Stage, Status
from lnbench.workload import Clock, Phase


class WorkerStarted(Frozen):
    """A worker process is ready. `process` counts the run's passes over the plan; `worker` every process started.

    `fault_s`: what one page fault costs here, zeroing the page included. `flushes_denormals`: the mode of its floating
    point unit. Both None where they were not found out.
    """

    event: Literal["worker_started"] = "worker_started"
    process: int
    worker: int
    device: str
    device_name: str
    import_s: float
    versions: Mapping[str, str] = Field(default_factory=dict)
    fault_s: float | None = None
    flushes_denormals: bool | None = None


class Built(Frozen):
    """A case was built and called once. `compiled_cold` is None where nothing is compiled at the first call.

    `graphs`, `graph_breaks`, `recompilations`: what torch.compile made of it until then; None where it made nothing.
    """

    event: Literal["built"] = "built"
    process: int
    case: int
    build_s: float
    first_call_s: float
    compiled_cold: bool | None = None
    graphs: int | None = None
    graph_breaks: int | None = None
    recompilations: int | None = None


class Verified(Frozen):
    """A case's outputs and gradients were held against the float64 oracle.

    `max_relative_error`: per tensor, the largest |error| / max |oracle|.
    `share_of_tolerance`: per tensor, the largest |error| / tolerance; above 1 the case is wrong. `repeats`: two
    backward runs on the same inputs agreed to the bit.
    """

    event: Literal["verified"] = "verified"
    process: int
    case: int
    moment: Literal["before", "after"]
    max_relative_error: Mapping[str, float]
    share_of_tolerance: Mapping[str, float]
    repeats: bool | None = None
    seconds: float = 0.0


class HardInputs(Frozen):
    """How a case does on inputs that are hard to normalize: per input and tensor, the largest |error| / max |oracle|.

    They were judged in `dtype`, which for 16-bit cases is wider than their own, because there they judge the formula.
    """

    event: Literal["hard_inputs"] = "hard_inputs"
    process: int
    case: int
    dtype: str
    max_relative_error: Mapping[str, Mapping[str, float]]


class Turn(Frozen):
    """One case's samples in one round: seconds per call, by clock and phase; on the wall clock also `disposal`.

    `started_s`: seconds since the workload's first turn. `calls`: timed calls per sample, by "inference" and "step".
    `uncounted`: the turn's calls before counting began. `faults`: page faults per timed call, by the same two.
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
    faults: Mapping[str, float] = Field(default_factory=dict)

    @field_validator("faults", mode="before")
    @classmethod
    def _of_all_calls(cls, found: object) -> object:
        """Before version 3 there was one figure for all calls of a turn, or none."""
        if isinstance(found, int | float):
            return {"inference": found, "step": found}
        return found or {}


PROBE_CASE = -1
"""The case number of the probe's turns."""


class WorkloadFinished(Frozen):
    """A process is done with a workload, judging and all: why the rounds stopped, and where the time went.

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


class Ended(Frozen):
    """A case ended otherwise than ok, at a stage, for a reason; later processes leave it out."""

    event: Literal["ended"] = "ended"
    process: int
    case: int
    status: Status
    stage: Stage
    reason: str
    detail: str = ""


class Noticed(Frozen):
    """A notice about a case, a workload (case None), or the run (both None)."""

    event: Literal["noticed"] = "noticed"
    notice: Notice
    workload: int | None = None
    case: int | None = None


class Condensed(Frozen):
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


class Confirming(Frozen):
    """From this process on, only rows that looked slower are measured again, to be judged by that alone."""

    event: Literal["confirming"] = "confirming"
    first_process: int
    cases: tuple[int, ...]


class Resumed(Frozen):
    """An interrupted run goes on from here. `differences`: what had changed since, and was told to be no obstacle."""

    event: Literal["resumed"] = "resumed"
    at: str
    differences: tuple[str, ...] = ()


class RunFinished(Frozen):
    """The last line of a run that was not killed; of one that was resumed, the last line of each part."""

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
    | HardInputs
    | MemoryUse
    | DeviceMemory
    | EnergyUse
    | Conditions
    | Condensed
    | Confirming
    | Resumed
    | RunFinished
)
Event = Annotated[AnyEvent, Field(discriminator="event")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads one line of a journal, or of a worker's pipe, into its event."""
