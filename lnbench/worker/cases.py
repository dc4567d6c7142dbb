"""The cases of one workload inside a worker: built, ready to be judged and to take turns, or ended with a reason."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from time import perf_counter

from lnbench.errors import PluginError, TerminatedError, Unsupported, text_of
from lnbench.events import AnyEvent, Ended, Noticed
from lnbench.functions import FUNCTIONS, Function
from lnbench.implementations.contract import Prepared, WrongResultError
from lnbench.implementations.operators import replaced_operators
from lnbench.implementations.preparing import prepare
from lnbench.implementations.registry import Registry
from lnbench.implementations.torch_adapter import is_out_of_memory
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.implementations.torch_compiling import begin_compiling_afresh, counted_compiling
from lnbench.measure.cuda import lost_device
from lnbench.measure.stillness import PATIENCE_S
from lnbench.planned import Notice, PlannedCase, Stage, Status
from lnbench.worker.company import Company, Left
from lnbench.worker.first_calls import FirstCalls, call_once
from lnbench.worker.guard import Guard
from lnbench.worker.protocol import WorkerChannel
from lnbench.workload import Clock, Phase, Workload


class SpoiledProcessError(Exception):
    """Nothing can be measured any more in this process, for what a case left behind; a fresh one must go on."""


SHORT_PATIENCE_S = 0.5
"""For what was started while cases were timed, when nothing is compiled any more."""


@dataclass(frozen=True, slots=True)
class LiveCase:
    """A case that is built and has not failed."""

    number: int
    planned: PlannedCase
    function: Function
    workload: Workload
    prepared: Prepared


class Cases:
    """Builds the cases of one workload and guards what they do; what goes wrong ends one case and is reported."""

    def __init__(
        self,
        channel: WorkerChannel,
        registry: Registry,
        *,
        process: int,
        workload_number: int,
        workload: Workload,
        planned: Mapping[int, PlannedCase],
        seed: int,
        pairs: int,
        phases: Collection[Phase] = tuple(Phase),
        company: Company | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`clock`: what ends here concerns the rows of this clock alone; None: the whole case."""
        self._channel = channel
        self._registry = registry
        self.process = process
        self._number = workload_number
        self.workload = workload
        self._planned = planned
        self._phases = phases
        self._clock = clock
        self.seed = seed
        self._guard = Guard()
        self._company = company or Company()
        self._python_threads = threading.active_count()
        begin_compiling_afresh()
        self.arrays = TorchArrays(workload, seed=seed, pairs=pairs)
        self.live: dict[int, LiveCase] = {}
        self.ended: set[int] = set()
        self.compiling_s = 0.0

    def build_all(self) -> None:
        """Build every case and call it once; report how long both took, and whether something was compiled anew.

        In an order that differs from process to process: what is built first finds other memory than what comes later.
        """
        in_plan = list(self._planned.items())
        draw = Random(f"{self.seed} {self.process} {self._number}")
        for number, planned in draw.sample(in_plan, len(in_plan)):
            with self.attempt(number, Stage.IMPORT):
                self._registry.load(planned.use)
            if number in self.ended:
                continue
            with self.attempt(number, Stage.BUILD):
                started = perf_counter()
                with counted_compiling() as compiling:
                    case = self.bind(number, planned, self.workload, self.arrays)
                    build_s = perf_counter() - started
                    self._channel.announce(number, Stage.WARM_UP)
                    started = perf_counter()
                    call_once(case.prepared)
                    first_call_s = perf_counter() - started
                first = FirstCalls(case.prepared, compiling, build_s, first_call_s)
                self.compiling_s += first.compiling_s
                self._channel.send(first.event(process=self.process, case=number))
                if case.prepared.no_step and Phase.INFERENCE not in self._phases:
                    raise Unsupported(case.prepared.no_step)
                for notice in first.notices():
                    self.notice(number, notice.code, notice.text)
                self.live[number] = case
                self._refuse_left_running(number, Stage.WARM_UP, patience_s=PATIENCE_S)

    def end(self, number: int, status: Status, stage: Stage, reason: str, detail: str = "") -> None:
        """Take a case out, and say why."""
        self.ended.add(number)
        self._channel.send(
            Ended(
                process=self.process,
                case=number,
                status=status,
                stage=stage,
                reason=reason,
                detail=detail,
                clock=self._clock,
            )
        )
        self._close(number)

    def close_all(self) -> None:
        """Release what the cases hold, when all that was measured is told."""
        for number in list(self.live):
            self._close(number)

    def _close(self, number: int) -> None:
        """Let a case release what it holds; that it can't takes nothing from what it measured."""
        case = self.live.pop(number, None)
        if case is None:
            return
        self._channel.announce(number, Stage.CLOSE)
        try:
            case.prepared.close()
        except TerminatedError:
            raise
        # An implementation may raise anything, SystemExit too.
        except BaseException as error:
            self.notice(number, "close-failed", f"its close() failed: {describe(error)}")

    def report(self, event: AnyEvent) -> None:
        """Put an event in line for the conductor."""
        self._channel.send(event)

    def notice(self, number: int | None, code: str, text: str) -> None:
        """Report a notice about a case, or about the workload."""
        self._channel.send(Noticed(notice=Notice(code=code, text=text), workload=self._number, case=number))

    @contextmanager
    def attempt(self, number: int, stage: Stage) -> Iterator[None]:
        """Announce what a case is about to do; if that fails, the case ends with a status and a reason.

        Raises SpoiledProcessError where nothing can be measured any more in this process after it.
        """
        self._channel.announce(number, stage)
        try:
            try:
                yield
            finally:
                changed = self._guard.set_back()
                if changed.harmless:
                    text = f"it set {', '.join(changed.harmless)} and left that so, for all others; it was set back"
                    self.notice(number, "changed-settings", text)
            if changed.harmful:
                raise RuntimeError(f"it set {', '.join(changed.harmful)}, which all cases share")
            if threading.active_count() > self._python_threads or self._company.has_forked():
                self._refuse_left_running(number, stage, patience_s=SHORT_PATIENCE_S)
                self._python_threads = threading.active_count()
        except Unsupported as error:
            self.end(number, Status.UNSUPPORTED, stage, text_of(error) or "the builder raised Unsupported")
        except WrongResultError as error:
            self.end(number, Status.WRONG, stage, text_of(error))
        except PluginError as error:
            self.end(number, Status.ERROR, stage, error.in_words)
        except (SpoiledProcessError, TerminatedError):
            raise
        # An implementation may raise anything, SystemExit too: that is its outcome, and no reason to stop the others.
        except BaseException as error:
            status = Status.OOM if is_out_of_memory(error) else Status.ERROR
            reason, mixed_up = describe(error), self.mixed_up(number)
            if mixed_up is not None:  # its operator was taken away under it, and may fail in any way
                status, reason = Status.ERROR, mixed_up.in_words
            self.end(number, status, stage, reason)
            if self._guard.is_beyond_repair:
                raise SpoiledProcessError(describe(error)) from error
        self._leave_lost_device(number, stage)

    def _leave_lost_device(self, number: int, stage: Stage) -> None:
        """Raise where the case has left a device on which nothing runs any more; nobody after it is blamed for that."""
        lost = lost_device(self.workload.device)
        if lost:
            if number not in self.ended:
                self.end(number, Status.ERROR, stage, f"the device was lost after its calls: {lost}")
            raise SpoiledProcessError(lost)

    def mixed_up(self, number: int) -> PluginError | None:
        """What is wrong with a case whose operator another plug-in has registered too; None where nothing is."""
        use = self._planned[number].use
        return next((it.error() for it in replaced_operators() if self._registry.package(use) in it.packages), None)

    def keep_settings(self) -> None:
        """From now on settings are set back to what they are now."""
        self._guard = Guard()

    def end_who_left_running(self, *, stage: Stage) -> bool:
        """Look once more, after all cases were timed; True where something goes on that one of them brought."""
        left = self._company.left_running(patience_s=SHORT_PATIENCE_S)
        if left is not None:
            self._end_owner(left, stage)
            text = f"{left.owner} left something running while others were timed; their times may hold that"
            self.notice(None, "left-running", text)
        return left is not None

    def _refuse_left_running(self, number: int, stage: Stage, *, patience_s: float) -> None:
        """End the case whose threads or processes go on using the cores that the others are measured on."""
        self._company.put_down_to(self._planned[number].implementation)
        left = self._company.left_running(
            patience_s=patience_s, while_waiting=lambda: self._channel.announce(number, stage)
        )
        if left is not None:
            self._end_owner(left, stage)
            raise SpoiledProcessError(str(left))

    def _end_owner(self, left: Left, stage: Stage) -> None:
        """It may have brought that at another workload, and not take part in this one."""
        for number, planned in self._planned.items():
            if planned.implementation == left.owner and number not in self.ended:
                self.end(number, Status.ERROR, stage, str(left))

    def bind(self, number: int, planned: PlannedCase, workload: Workload, arrays: TorchArrays) -> LiveCase:
        """Build a case on a workload, with the case's own norm mode and groups.

        Operators are looked at before: those that the case before this one registered are then known as its own.
        """
        replaced_operators()
        own = replace(workload, norm_mode=planned.norm_mode, groups=planned.groups)
        function = FUNCTIONS[planned.function]
        prepared = prepare(self._registry.load(planned.use), own, planned.options, arrays)
        return LiveCase(number, planned, function, own, prepared)


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(text_of(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
