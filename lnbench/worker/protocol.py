"""What conductor and worker say to each other: JSON lines over two inherited pipes, never over stdout."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lnbench.events import AnyEvent, Turn
from lnbench.planned import PlannedCase, PlannedWorkload, Source, Stage

LEFT_EXIT = 3
"""The exit status of a worker that has said that it leaves."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setup(_Frozen):
    """The first order: what this process is. Threads and allocator are fixed for its whole life.

    `plugins`: the files given on the command line, the old version of one, and the installed packages that are named,
    by number. `worker` counts the processes started in the run.
    """

    order: Literal["setup"] = "setup"
    process: int
    worker: int
    device: str
    threads: int
    allocator: str
    plugins: dict[int, Source] = {}


class Measure(_Frozen):
    """Measure these cases (by their number in the plan) on one workload.

    `pairs`: how many (x, dy) to rotate through. `budget_s`, `first_round`: less and later when a process before this
    one died on the way. `extra_s`: what may be spent beyond the budget where a busy machine leaves a row too few
    undisturbed samples. `energy`: measure that too. `on_graph`: capture the cases into CUDA graphs, and time those
    alone; `launches`: how many kernels a call of each case launches at most, by its number, where that is known.
    """

    order: Literal["measure"] = "measure"
    index: int
    workload: PlannedWorkload
    cases: dict[int, PlannedCase]
    precision: float
    budget_s: float
    extra_s: float = 0.0
    first_round: int = 0
    seed: int
    pairs: int = 1
    energy: bool = False
    on_graph: bool = False
    launches: dict[int, float] = {}


Order = Annotated[Setup | Measure, Field(discriminator="order")]
ORDER: TypeAdapter[Order] = TypeAdapter(Order)


class Importing(_Frozen):
    """The plug-in with this number is about to run: what a death or a hang is put down to."""

    event: Literal["importing"] = "importing"
    plugin: int


class ImportFailed(_Frozen):
    """The plug-in with this number could not be loaded; the worker goes on without it."""

    event: Literal["import_failed"] = "import_failed"
    plugin: int
    reason: str


class Leaving(_Frozen):
    """This process ends itself, since nothing can be measured in it any more; that is nobody's death."""

    event: Literal["leaving"] = "leaving"


class Announce(_Frozen):
    """Who is about to run, at which stage: what a death or a hang is put down to. The probe's number means nobody."""

    event: Literal["announce"] = "announce"
    case: int
    stage: Stage


class Progress(_Frozen):
    """How far the rounds of the current workload are."""

    event: Literal["progress"] = "progress"
    share: float


class Idle(_Frozen):
    """The worker has done what it was told and waits for an order."""

    event: Literal["idle"] = "idle"


MESSAGE: TypeAdapter[Any] = TypeAdapter(
    Annotated[AnyEvent | Importing | ImportFailed | Leaving | Announce | Progress | Idle, Field(discriminator="event")]
)
"""Reads one line from a worker: an event for the journal, or an announcement."""


class WorkerChannel:
    """The worker's end of the pipes. Messages wait until `flush`, so that one write wakes the conductor once.

    Turns also go into a file of the run, behind `turns_fd`, before the next turn starts: what waits in a pipe is lost
    when its reader is killed. The descriptors are kept from programs that a plug-in starts; a copy of this process, as
    a plug-in's fork makes one, ends where it would speak in the worker's name.
    """

    def __init__(self, orders_fd: int, messages_fd: int, turns_fd: int) -> None:
        for descriptor in (orders_fd, messages_fd, turns_fd):
            os.set_inheritable(descriptor, False)
        self._orders = os.fdopen(orders_fd, "r", encoding="utf-8")
        self._messages_fd = messages_fd
        self._turns_fd = turns_fd
        self._process = os.getpid()
        self._waiting: list[str] = []
        self._turns: list[str] = []
        self._announcements: dict[tuple[int, Stage], str] = {}

    def orders(self) -> Iterator[Setup | Measure]:
        """The conductor's orders until it closes its end."""
        for line in self._orders:
            yield ORDER.validate_json(line)

    def send(self, message: BaseModel) -> None:
        """Put a message in line."""
        line = message.model_dump_json() + "\n"
        self._waiting.append(line)
        if isinstance(message, Turn):
            self._turns.append(line)

    def announce(self, case: int, stage: Stage) -> None:
        """Say who is about to run, and hand over everything that waited.

        This stands before every turn, so the lines are kept: the worker makes each once, and the conductor knows them
        again without reading them.
        """
        key = (case, stage)
        if key not in self._announcements:
            self._announcements[key] = Announce(case=case, stage=stage).model_dump_json() + "\n"
        self._waiting.append(self._announcements[key])
        self.flush()

    def idle(self) -> None:
        """Say that the next order may come."""
        self.send(Idle())
        self.flush()

    def leave(self) -> NoReturn:
        """Hand everything over, and end this process."""
        self.send(Leaving())
        self.flush()
        os._exit(LEFT_EXIT)

    def flush(self) -> None:
        """Hand everything over."""
        if os.getpid() != self._process:
            os._exit(0)
        if self._turns:
            with suppress(OSError):  # on a full disk the conductor finds out too, and what it was told is kept
                os.write(self._turns_fd, "".join(self._turns).encode())
            self._turns.clear()
        data = "".join(self._waiting).encode()
        self._waiting.clear()
        while data:
            data = data[os.write(self._messages_fd, data) :]
