"""What a run leaves behind: one header, then one event per thing that happened. A journal is these as JSON lines."""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator

from lnbench.consistency import contradiction, plan_contradiction
from lnbench.event_log import EventLog
from lnbench.events import AnyEvent, Confirming, Event, Noticed, Resumed, RunFinished, Turn
from lnbench.planned import Environment, Frozen, PlannedCase, PlannedWorkload, ProcessSpread, SamplingRecord

SCHEMA_VERSION = 8
"""Raised whenever an event changes; readers refuse what they do not know."""

READABLE_VERSIONS = (1, 2, 3, 4, 5, 6, 7, 8)
"""2 added what a check needs: margins, a case's own reference, the baseline, condensed samples. 3 added what cases cost
beside time, and parted page faults by kind of call. 4 added resumed runs and the stage of imports, and lets a workload
be finished only when nothing of it is left to do. 5 added axes (gradients, autocast, layouts), parts of a step that a
case does not have, and cases whose package could not be loaded. 6 added the commit of the code that was measured. 7
added what the scheduler did during each sample, several samples a turn, the total budget, looks at how busy the machine
was, and how far processes of earlier runs lay apart. 8 added a GPU's batch and graph clocks, how many calls a time on
one of its clocks is the mean of, ends that concern one clock alone, what launching costs, the numbers of processors,
how GPUs are set up, and workloads that normalize another axis than the last. All have defaults; older ones are read as
far as they went."""


SHORT_ID = 10
"""So many digits of a commit id are shown; they are unique in repositories of a hundred thousand commits."""

CommitId = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")]
"""A whole commit id of git, or "" where there is none."""


class Header(Frozen):
    """The first line of a journal: all that is needed to know what was to be measured, and where.

    `commit`: what was checked out around the folder in which the run was started, "" where git told none. `dirty`:
    tracked files differed from it. `process_spread`: how far processes of earlier runs on this machine lay apart, by
    device; empty where no earlier run shows it.
    """

    event: Literal["header"] = "header"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    created: str
    lnbench_version: str
    suite: str
    description: str = ""
    suite_text: str
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    sampling: SamplingRecord
    options: Mapping[str, str] = Field(default_factory=dict)
    plugins: Mapping[str, str] = Field(default_factory=dict)
    commit: CommitId = ""
    dirty: bool = False
    environment: Environment
    process_spread: tuple[ProcessSpread, ...] = ()
    workloads: tuple[PlannedWorkload, ...]
    cases: tuple[PlannedCase, ...]
    check: "Check | None" = None

    @property
    def revision(self) -> str:
        """The commit in short, with a `+` where files differed from it: `1a2b3c4d5e+`; "" where it is not known."""
        return f"{self.commit[:SHORT_ID]}{'+' if self.dirty else ''}" if self.commit else ""

    def spread_on(self, device_name: str | None) -> ProcessSpread | None:
        """How far processes of earlier runs lay apart on a device; None where no earlier run shows it."""
        return next((found for found in self.process_spread if found.device_name == device_name), None)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        found = plan_contradiction(self)
        if found:
            raise ValueError(found)
        return self


class Baseline(Frozen):
    """An earlier run that this one is held against: what was planned there, and its condensed samples and ends.

    `digest`: SHA-256 of the file that it was read from.
    """

    digest: str
    header: Header
    events: tuple[Event, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.header.check is not None:
            raise ValueError("a baseline is a run, and no check of its own")
        for number, event in enumerate(self.events):
            found = contradiction(self.header, event)
            if found:
                raise ValueError(f"events.{number}: {found}")
        return self


class Check(Frozen):
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


for _model in (Baseline, Check, Header):
    _model.model_rebuild()


class CaseKey(NamedTuple):
    """How rows are joined between runs, together with phase and clock."""

    workload: str
    implementation: str
    norm_mode: str


class Run(BaseModel):
    """A whole run as read from its journal; `torn` tells that the last line was incomplete.

    `events`: an EventLog where it was read from a file. `beside`: the last turns of a run that was killed, which were
    found beside its journal; they are among the events.
    """

    model_config = ConfigDict(frozen=True)

    header: Header
    events: SkipValidation[Sequence[AnyEvent]]
    torn: bool = False
    beside: tuple[Turn, ...] = ()

    @property
    def log(self) -> EventLog:
        """The events with the turns as columns; made anew at each call where they are objects."""
        return EventLog.of(self.events)

    def key(self, case: PlannedCase) -> CaseKey:
        """The key that joins a case between runs."""
        return CaseKey(self.header.workloads[case.workload].id, case.implementation, case.norm_mode)

    def among(self, processes: Container[int]) -> "Run":
        """The run as if only these processes had been; what belongs to no process stays."""

        def is_kept(event: AnyEvent) -> bool:
            if isinstance(event, Noticed | Confirming | Resumed | RunFinished) or event.process is None:
                return True
            return event.process in processes

        return self.model_copy(update={"events": self.log.chosen(processes, keep=is_kept)})

    def cases_of(self, workload: int) -> Iterator[tuple[int, PlannedCase]]:
        """The cases of a workload with their numbers, in plan order."""
        return ((number, case) for number, case in enumerate(self.header.cases) if case.workload == workload)
