"""Listening to a worker: what it says is passed on, and who is at work is known when it dies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lnbench.conductor.interrupts import Interrupts, StoppedError
from lnbench.conductor.processes import WorkerProcess
from lnbench.events import PROBE_CASE, AnyEvent, Event
from lnbench.observed import MachineLook
from lnbench.planned import Stage
from lnbench.worker.protocol import Announce, Idle, ImportFailed, Importing, Leaving, Progress

LEAST_START_S = 120.0
"""A worker may take this long to start and to fill its buffers, however short the time limit of a case is; importing
torch from a slow disk takes half a minute."""


class Observer(Protocol):
    """Who watches a run: the progress bar."""

    def workload_began(self, process: int, workload: int) -> None: ...

    def announced(self, case: int, stage: Stage) -> None: ...

    def progressed(self, share: float) -> None: ...

    def waited(self) -> None: ...

    def stopping(self) -> None: ...

    def more_to_do(self, workloads: int) -> None: ...

    def looked(self, look: MachineLook) -> None: ...

    def happened(self, event: Event) -> None: ...


@dataclass
class AtWork:
    """Who is at work in a worker, as far as it said so: a plug-in that is imported, or a case at a stage.

    `is_leaving`: the worker has said that it ends itself.
    """

    plugin: int | None = None
    case: int | None = None
    stage: Stage = Stage.START
    is_leaving: bool = False

    @property
    def is_anybody(self) -> bool:
        """False while the worker does what is nobody's."""
        return self.plugin is not None or self.case is not None


class Listener:
    """Takes the messages of one worker after another. `at_work` is what the present one said last.

    `meanwhile` is called at every message, and four times a second where none comes.
    """

    def __init__(
        self,
        observer: Observer,
        interrupts: Interrupts,
        *,
        timeout_s: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        self.at_work = AtWork()
        self._observer = observer
        self._interrupts = interrupts
        self._timeout_s = timeout_s
        self._meanwhile = meanwhile
        self._is_told = False

    def until_idle(self, worker: WorkerProcess, take: Callable[[AnyEvent | ImportFailed], None]) -> None:
        """Pass every event on until the worker waits for an order.

        Raises StoppedError when the user asked for an end: after the turn under way, or at once where there is none.
        WorkerDiedError and WorkerHungError pass through.
        """
        self.at_work = AtWork()
        while True:
            timeout_s = self._timeout_s if self.at_work.is_anybody else max(self._timeout_s, LEAST_START_S)
            message: Any = worker.receive(timeout_s=timeout_s, while_waiting=self._wait)
            self._meanwhile()
            match message:
                case Idle():
                    self.at_work = AtWork()
                    self._stop_if_asked()
                    return
                case Importing(plugin=plugin):
                    self.at_work = AtWork(plugin=plugin, stage=Stage.IMPORT)
                case Leaving():
                    self.at_work = AtWork(is_leaving=True)
                case Announce(case=case, stage=stage):
                    self._stop_if_asked()
                    is_probe = case == PROBE_CASE
                    self.at_work = AtWork(case=None if is_probe else case, stage=stage)
                    if not is_probe:
                        self._observer.announced(case, stage)
                case ImportFailed():
                    self.at_work = AtWork()
                    take(message)
                case Progress(share=share):
                    self._observer.progressed(share)
                case _:
                    take(message)

    def _wait(self) -> None:
        self._meanwhile()
        self._observer.waited()
        if self._interrupts.asked:
            if self.at_work.stage is not Stage.TIMING:
                raise StoppedError
            self._tell()

    def _stop_if_asked(self) -> None:
        if self._interrupts.asked:
            self._tell()
            raise StoppedError

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._observer.stopping()
