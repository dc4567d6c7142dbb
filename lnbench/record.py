"""What a run leaves behind: one header, then one event per thing that happened. A journal is these as JSON lines."""

from collections.abc import Container, Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from lnbench.events import Confirming, Event, Noticed, Resumed, RunFinished, Turn
from lnbench.planned import Environment, Frozen, PlannedCase, PlannedWorkload, SamplingRecord

SCHEMA_VERSION = 4
"""Raised whenever an event changes; readers refuse what they do not know."""

READABLE_VERSIONS = (1, 2, 3, 4)
"""2 added what a check needs: margins, a case's own reference, the baseline, condensed samples. 3 added what cases cost
beside time, and parted page faults by kind of call. 4 added resumed runs and the stage of imports, and lets a workload
be finished only when nothing of it is left to do. All have defaults; older ones are read as far as they went."""


class Header(Frozen):
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


class Baseline(Frozen):
    """An earlier run that this one is held against: what was planned there, and its condensed samples and ends.

    `digest`: SHA-256 of the file that it was read from.
    """

    digest: str
    header: Header
    events: tuple[Event, ...]


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

    `beside`: the last turns of a run that was killed, which were found beside its journal; they are among the events.
    """

    model_config = ConfigDict(frozen=True)

    header: Header
    events: tuple[Event, ...]
    torn: bool = False
    beside: tuple[Turn, ...] = ()

    def key(self, case: PlannedCase) -> CaseKey:
        """The key that joins a case between runs."""
        return CaseKey(self.header.workloads[case.workload].id, case.implementation, case.norm_mode)

    def among(self, processes: Container[int]) -> "Run":
        """The run as if only these processes had been; what belongs to no process stays."""
        kept = tuple(
            event
            for event in self.events
            if isinstance(event, Noticed | Confirming | Resumed | RunFinished) or event.process in processes
        )
        return self.model_copy(update={"events": kept})

    def cases_of(self, workload: int) -> Iterator[tuple[int, PlannedCase]]:
        """The cases of a workload with their numbers, in plan order."""
        return ((number, case) for number, case in enumerate(self.header.cases) if case.workload == workload)
