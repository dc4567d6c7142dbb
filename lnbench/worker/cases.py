"""The cases of one workload inside a worker: built, judged, ready to take turns, or ended with a reason."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import sqrt
from time import perf_counter

import torch

from lnbench.errors import Unsupported
from lnbench.functions import FUNCTIONS, Function
from lnbench.implementations.contract import WrongResultError, build
from lnbench.implementations.registry import Registry
from lnbench.implementations.torch_adapter import (
    TorchPrepared,
    compilations,
    compile_cache_misses,
    graph_breaks,
    is_out_of_memory,
    poisons_device,
    restored_threads,
)
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.record import Built, Ended, Notice, Noticed, PlannedCase, Stage, Status, Verified
from lnbench.worker.protocol import WorkerChannel
from lnbench.worker.verify import (
    HARD_INPUTS,
    JUDGED_ROWS,
    LEAST_EPS,
    ROUNDED_MEAN,
    Fill,
    Judgement,
    accuracy_notices,
    explain,
    hard_input_notice,
    judged_workloads,
)
from lnbench.workload import Workload


class PoisonedDeviceError(Exception):
    """The device can't be used any more by this process; a fresh one must go on."""


@dataclass(frozen=True, slots=True)
class LiveCase:
    """A case that is built and has not failed."""

    number: int
    planned: PlannedCase
    function: Function
    workload: Workload
    prepared: TorchPrepared


class Cases:
    """Builds and judges the cases of one workload; whatever goes wrong ends one case and is reported."""

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
    ) -> None:
        self._channel = channel
        self._registry = registry
        self._process = process
        self._number = workload_number
        self._workload = workload
        self._planned = planned
        self._seed = seed
        self._errors: dict[int, dict[str, float]] = {}
        self._fresh = 0
        self._threads = torch.get_num_threads()
        self.arrays = TorchArrays(workload, seed=seed, pairs=pairs)
        self.live: dict[int, LiveCase] = {}
        self.compiling_s = 0.0

    def build_all(self) -> None:
        """Build every case and call it once; report how long both took, and whether something was compiled anew."""
        for number, planned in self._planned.items():
            with self.attempt(number, Stage.BUILD):
                started = perf_counter()
                case = self._bind(number, planned, self._workload, self.arrays)
                build_s = perf_counter() - started
                misses, frames, breaks = compile_cache_misses(), compilations(), graph_breaks()
                self._channel.announce(number, Stage.WARM_UP)
                started = perf_counter()
                call_once(case.prepared)
                first_call_s = perf_counter() - started
                compiled = compilations() > frames
                self.compiling_s += build_s + first_call_s if compiled else 0.0
                self._channel.send(
                    Built(
                        process=self._process,
                        case=number,
                        build_s=build_s,
                        first_call_s=first_call_s,
                        compiled_cold=compile_cache_misses() > misses if compiled else None,
                    )
                )
                if graph_breaks() > breaks:
                    self.notice(
                        number,
                        "graph-break",
                        "torch.compile broke the graph into parts; fullgraph=True names the operation that does it",
                    )
                self.live[number] = case

    def judge_all(self, judged: set[tuple[str, Workload]]) -> None:
        """Judge every case before it is timed; wrong ones end.

        On the workload itself twice, on different values in the same memory, which unmasks cached results; the formula
        in float32 at the same shape and at few rows, unless `judged` holds that already; then the hard inputs, which
        give notices only.
        """
        for derived in judged_workloads(self._workload):
            self._judge_formula(derived, judged)
        for _ in range(2):
            self._judge_fill("before")
        if self._workload == self._workload.with_rows(JUDGED_ROWS) and self._workload.dtype in {"float32", "float64"}:
            for number, case in list(self.live.items()):
                with self.attempt(number, Stage.VERIFY):
                    self._judge_eps(case, self.arrays)
                    self._judge_hard_inputs(case, self.arrays)
        judged |= {(_builder(case), replace(case.workload, cache="hot")) for case in self.live.values()}
        self._judge_rounded_mean()

    def judge_again(self) -> None:
        """Judge every case after it was timed, on fresh values; and see that nobody wrote into the inputs meanwhile."""
        changed = Fill(self.arrays)
        self.arrays.restore()
        if changed.changed_buffers():
            for number in list(self.live):
                self.end(number, Status.ERROR, Stage.VERIFY, "the shared inputs changed while this workload was timed")
        self._judge_fill("after")

    def end(self, number: int, status: Status, stage: Stage, reason: str, detail: str = "") -> None:
        """Take a case out, and say why."""
        case = self.live.pop(number, None)
        if case is not None:
            case.prepared.close()
        self._channel.send(
            Ended(process=self._process, case=number, status=status, stage=stage, reason=reason, detail=detail)
        )

    def notice(self, number: int | None, code: str, text: str) -> None:
        """Report a notice about a case, or about the workload."""
        self._channel.send(Noticed(notice=Notice(code=code, text=text), workload=self._number, case=number))

    @contextmanager
    def attempt(self, number: int, stage: Stage) -> Iterator[None]:
        """Announce what a case is about to do; if that fails, the case ends with a status and a reason."""
        self._channel.announce(number, stage)
        try:
            yield
            found = restored_threads(self._threads)
            if found != self._threads:
                raise RuntimeError(f"it set the number of threads to {found}; all cases share {self._threads}")
        except Unsupported as error:
            self.end(number, Status.UNSUPPORTED, stage, str(error) or "the builder raised Unsupported")
        except WrongResultError as error:
            self.end(number, Status.WRONG, stage, str(error))
        except PoisonedDeviceError:
            raise
        # An implementation may raise anything, SystemExit too: that is its outcome, and no reason to stop the others.
        except BaseException as error:
            status = Status.OOM if is_out_of_memory(error) else Status.ERROR
            self.end(number, status, stage, describe(error))
            if self._workload.is_cuda and poisons_device(error):
                raise PoisonedDeviceError(describe(error)) from error
        finally:
            restored_threads(self._threads)

    def _bind(self, number: int, planned: PlannedCase, workload: Workload, arrays: TorchArrays) -> LiveCase:
        """Build a case on a workload, with the case's own norm mode and groups."""
        own = replace(workload, norm_mode=planned.norm_mode, groups=planned.groups)
        function = FUNCTIONS[planned.function]
        built = build(self._registry.load(planned.use), own, planned.options)
        return LiveCase(number, planned, function, own, TorchPrepared(built, function, own, arrays))

    def _judge_fill(self, moment: str) -> None:
        """Judge every live case on fresh values in the shared memory."""
        self._fresh += 1
        self.arrays.refill(self._seed + self._fresh)
        fill = Fill(self.arrays)
        for number, case in list(self.live.items()):
            with self.attempt(number, Stage.VERIFY):
                started = perf_counter()
                judgement = self._judged(fill, case)
                self._channel.send(
                    Verified.model_validate(
                        {
                            "process": self._process,
                            "case": number,
                            "moment": moment,
                            "max_relative_error": judgement.relative,
                            "share_of_tolerance": judgement.share,
                            "seconds": perf_counter() - started,
                        }
                    )
                )
                for notice in accuracy_notices(judgement, case.workload):
                    self.notice(number, notice.code, notice.text)

    def _judge_formula(self, derived: Workload, judged: set[tuple[str, Workload]]) -> None:
        """Judge every live case on a derived workload, built anew by the same builder."""
        few_rows = derived == derived.with_rows(JUDGED_ROWS)
        arrays = fill = None
        for number, case in list(self.live.items()):
            own = replace(derived, norm_mode=case.workload.norm_mode, groups=case.workload.groups)
            if (_builder(case), own) in judged:
                continue
            with self.attempt(number, Stage.VERIFY):
                arrays = arrays or TorchArrays(derived, seed=self._seed)
                twin = self._bind_twin(number, case, derived, arrays)
                if twin is None:
                    continue
                fill = fill or Fill(arrays)
                self._judged(fill, twin)
                if few_rows:
                    self._judge_eps(twin, arrays)
                    self._judge_hard_inputs(twin, arrays)
                judged.add((_builder(case), own))

    def _bind_twin(self, number: int, case: LiveCase, derived: Workload, arrays: TorchArrays) -> LiveCase | None:
        """The case on a derived workload; None when the builder does not do that one."""
        frames, started = compilations(), perf_counter()
        try:
            twin = self._bind(number, case.planned, derived, arrays)
        except Unsupported:
            return None
        call_once(twin.prepared)
        if compilations() > frames:
            self.compiling_s += perf_counter() - started
        return twin

    def _judge_eps(self, twin: LiveCase, arrays: TorchArrays) -> None:
        """Raise WrongResultError for an eps that is not the workload's, or not under the root.

        On x with a variance of 1 it stays within the tolerance, so it is judged on x with a variance of eps.
        """
        eps = twin.workload.eps
        if eps < LEAST_EPS:
            return
        arrays.scale_x(sqrt(eps), 0.0)
        try:
            self._judged(Fill(arrays), twin)
        except WrongResultError as error:
            text = f"{error}, where the variance of x is about eps: is {eps:g} added to the variance, under the root?"
            raise WrongResultError(text) from error
        finally:
            arrays.restore()

    def _judge_hard_inputs(self, twin: LiveCase, arrays: TorchArrays) -> None:
        failures = {}
        for hard in HARD_INPUTS:
            arrays.scale_x(hard.factor, hard.offset)
            judgement = Fill(arrays).judge(twin.prepared, twin.function, twin.workload, twin.prepared.inputs())
            if not judgement.is_right:
                failures[hard.name] = judgement.share[judgement.worst]
            arrays.restore()
        notice = hard_input_notice(failures)
        if notice:
            self.notice(twin.number, notice.code, notice.text)

    def _judge_rounded_mean(self) -> None:
        """Tell the cases that keep a 16-bit mean from those with float32 statistics; a notice, not a status."""
        if self._workload.dtype not in {"float16", "bfloat16"}:
            return
        self.arrays.scale_x(ROUNDED_MEAN.factor, ROUNDED_MEAN.offset)
        fill = Fill(self.arrays, exact_mean=True)
        for number, case in list(self.live.items()):
            with self.attempt(number, Stage.VERIFY):
                judgement = fill.judge(case.prepared, case.function, case.workload, case.prepared.inputs())
                if not judgement.is_right:
                    self.notice(
                        number,
                        "rounded-statistics",
                        f"off on {ROUNDED_MEAN.name} ({judgement.worst} by {judgement.share[judgement.worst]:.2g} "
                        "times the tolerance of float32 statistics); a mean kept in x's dtype does that",
                    )
        self.arrays.restore()

    def _judged(self, fill: Fill, case: LiveCase) -> Judgement:
        """The judgement of a case; raises WrongResultError when it is outside its tolerance."""
        judgement = fill.judge(case.prepared, case.function, case.workload, case.prepared.inputs())
        if not judgement.is_right:
            raise WrongResultError(explain(judgement, case.workload))
        return judgement


def _builder(case: LiveCase) -> str:
    """What was built, whatever name it is shown under."""
    return f"{case.planned.use} {sorted(case.planned.options.items())}"


def call_once(prepared: TorchPrepared) -> None:
    """One inference and one step, to their end. Raises WrongResultError where a result that is none made them fail."""
    try:
        with prepared.without_gradients():
            prepared.inference()
        prepared.backward(prepared.forward())
        prepared.wait()
    except Exception:
        prepared.outputs()  # says in plain words what PyTorch says in its own
        raise


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
