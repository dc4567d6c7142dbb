"""When a case is judged, and on what: before and after it is timed, on its own workload and on derived ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import sqrt
from time import perf_counter

from lnbench.errors import Unsupported
from lnbench.events import HardInputs, Verified
from lnbench.footprint import PART_ELEMENTS
from lnbench.implementations.contract import WrongResultError
from lnbench.implementations.torch_arrays import TorchArrays
from lnbench.implementations.torch_compiling import compilations
from lnbench.planned import Notice, Stage, Status
from lnbench.twins import JUDGED_ROWS, judged_workloads
from lnbench.worker.cases import Cases, LiveCase
from lnbench.worker.deviations import Judgement
from lnbench.worker.first_calls import call_once
from lnbench.worker.verify import (
    HARD_INPUTS,
    LEAST_EPS,
    ROUNDED_MEAN,
    Fill,
    accuracy_notices,
    explain,
    hard_input_notice,
)
from lnbench.workload import Workload


@dataclass(frozen=True, slots=True)
class Hard:
    """What hard inputs showed of a formula, judged in a dtype: errors per input and tensor, and what is to be said."""

    dtype: str = ""
    errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notice: Notice | None = None


Judged = dict[tuple[str, Workload], Hard]
"""The builders and workloads whose formula was judged before in this process; kept from workload to workload."""


class Judge:
    """Judges the cases of a workload; the wrong ones end."""

    def __init__(self, cases: Cases, *, judged: Judged, part_elements: int = PART_ELEMENTS) -> None:
        self._cases = cases
        self._judged = judged
        self._part_elements = part_elements
        self._fresh = 0

    def before(self) -> None:
        """Judge every case that is to be timed; wrong ones end.

        On the workload itself twice, on different values in the same memory, which unmasks cached results; the formula
        in float32 at the same shape and at few rows, unless it was judged before in this process; then the hard
        inputs, which give notices only.
        """
        for derived in judged_workloads(self._cases.workload):
            self._judge_formula(derived)
        for _ in range(2):
            self._judge_fill("before")
        if self._cases.workload == self._cases.workload.with_rows(JUDGED_ROWS) and self._cases.workload.dtype in {
            "float32",
            "float64",
        }:
            for number, case in list(self._cases.live.items()):
                with self._cases.attempt(number, Stage.VERIFY):
                    self._judge_eps(case, self._cases.arrays)
                    self._judged[_identity(case, case.workload)] = self._judge_hard_inputs(case, self._cases.arrays)
        for number, case in self._cases.live.items():
            self._judged.setdefault(_identity(case, case.workload), Hard())
            self._tell(number, self._judged[_identity(case, case.workload)])
        self._judge_rounded_mean()
        for case in self._cases.live.values():
            case.prepared.refresh()

    def after(self) -> None:
        """Judge every case after it was timed, on fresh values; and see that nobody wrote into the inputs meanwhile."""
        changed = self._fill(self._cases.arrays)
        self._cases.arrays.restore()
        if changed.changed_buffers():
            for number in list(self._cases.live):
                self._cases.end(
                    number, Status.ERROR, Stage.VERIFY, "the shared inputs changed while this workload was timed"
                )
        del changed  # its copies of all inputs
        self._judge_fill("after")

    def _judge_fill(self, moment: str) -> None:
        """Judge every live case on fresh values in the shared memory."""
        self._fresh += 1
        self._cases.arrays.refill(self._cases.seed + self._fresh)
        fill = self._fill(self._cases.arrays)
        for number, case in list(self._cases.live.items()):
            with self._cases.attempt(number, Stage.VERIFY):
                started = perf_counter()
                judgement = self._require_right(fill, case)
                self._cases.report(
                    Verified.model_validate(
                        {
                            "process": self._cases.process,
                            "case": number,
                            "moment": moment,
                            "max_relative_error": judgement.relative,
                            "share_of_tolerance": judgement.share,
                            "repeats": case.prepared.repeats,
                            "seconds": perf_counter() - started,
                        }
                    )
                )
                for notice in accuracy_notices(judgement, case.workload):
                    self._cases.notice(number, notice.code, notice.text)

    def _judge_formula(self, derived: Workload) -> None:
        """Judge every live case on a derived workload, built anew by the same builder."""
        few_rows = derived == derived.with_rows(JUDGED_ROWS)
        arrays = fill = None
        for number, case in list(self._cases.live.items()):
            identity = _identity(case, derived)
            if identity in self._judged:
                self._tell(number, self._judged[identity])
                continue
            with self._cases.attempt(number, Stage.VERIFY):
                arrays = arrays or TorchArrays(derived, seed=self._cases.seed)
                twin = self._bind_twin(number, case, derived, arrays)
                if twin is None:
                    continue
                arrays.restore()  # a case that writes into its inputs has done so by now, and is not to hurt the next
                fill = fill or self._fill(arrays)
                self._require_right(fill, twin)
                hard = Hard()
                if few_rows:
                    self._judge_eps(twin, arrays)
                    hard = self._judge_hard_inputs(twin, arrays)
                self._judged[identity] = hard
                self._tell(number, hard)

    def _bind_twin(self, number: int, case: LiveCase, derived: Workload, arrays: TorchArrays) -> LiveCase | None:
        """The case on a derived workload; None when the builder does not do that one."""
        frames, started = compilations(), perf_counter()
        try:
            twin = self._cases.bind(number, case.planned, derived, arrays)
        except Unsupported:
            return None
        call_once(twin.prepared)
        if compilations() > frames:
            self._cases.compiling_s += perf_counter() - started
        return twin

    def _judge_eps(self, twin: LiveCase, arrays: TorchArrays) -> None:
        """Raise WrongResultError for an eps that is not the workload's, or not under the root.

        On x with a variance of 1 it stays within the tolerance, so it is judged on x with a variance of eps. A function
        without statistics has no eps.
        """
        eps = twin.workload.eps
        if eps < LEAST_EPS or not twin.function.has_statistics:
            return
        arrays.scale_x(sqrt(eps), 0.0)
        hint = f", where the variance of x is about eps: is {eps:g} added to the variance, under the root?"
        try:
            self._require_right(self._fill(arrays), twin, hint=hint)
        finally:
            arrays.restore()

    def _judge_hard_inputs(self, twin: LiveCase, arrays: TorchArrays) -> Hard:
        """How far a case is off on hard inputs, and what is to be said of it."""
        failures, errors = {}, {}
        for hard in HARD_INPUTS:
            arrays.scale_x(hard.factor, hard.offset)
            judgement = self._fill(arrays).judge(twin.prepared, twin.function, twin.workload, twin.prepared.inputs())
            errors[hard.name] = judgement.relative
            if not judgement.is_right:
                failures[hard.name] = judgement.share[judgement.worst]
            arrays.restore()
        return Hard(twin.workload.dtype, errors, hard_input_notice(failures, twin.function))

    def _tell(self, number: int, hard: Hard) -> None:
        if hard.errors:
            self._cases.report(
                HardInputs(process=self._cases.process, case=number, dtype=hard.dtype, max_relative_error=hard.errors)
            )
        if hard.notice:
            self._cases.notice(number, hard.notice.code, hard.notice.text)

    def _judge_rounded_mean(self) -> None:
        """Tell the cases that keep a 16-bit mean from those with float32 statistics; a notice, not a status."""
        if self._cases.workload.dtype not in {"float16", "bfloat16"}:
            return
        self._cases.arrays.scale_x(ROUNDED_MEAN.factor, ROUNDED_MEAN.offset)
        fill = self._fill(self._cases.arrays, exact_mean=True)
        for number, case in list(self._cases.live.items()):
            if not case.function.has_statistics:
                continue
            with self._cases.attempt(number, Stage.VERIFY):
                judgement = fill.judge(case.prepared, case.function, case.workload, case.prepared.inputs())
                if not judgement.is_right:
                    self._cases.notice(
                        number,
                        "rounded-statistics",
                        f"off on {ROUNDED_MEAN.name} ({judgement.worst} by {judgement.share[judgement.worst]:.2g} "
                        "times the tolerance of float32 statistics); a mean kept in x's dtype does that",
                    )
        self._cases.arrays.restore()

    def _fill(self, arrays: TorchArrays, *, exact_mean: bool = False) -> Fill:
        return Fill(arrays, exact_mean=exact_mean, part_elements=self._part_elements)

    def _require_right(self, fill: Fill, case: LiveCase, *, hint: str = "") -> Judgement:
        """The judgement of a case; raises WrongResultError when it is outside its tolerance. `hint`: see `explain`."""
        judgement = fill.judge(case.prepared, case.function, case.workload, case.prepared.inputs())
        if not judgement.is_right:
            raise WrongResultError(explain(judgement, case.function, case.workload, hint=hint))
        return judgement


def _identity(case: LiveCase, workload: Workload) -> tuple[str, Workload]:
    """What is built on a workload for a case, whatever name it is shown under."""
    own = replace(workload, norm_mode=case.workload.norm_mode, groups=case.workload.groups, cache="hot")
    return f"{case.planned.use} {sorted(case.planned.options.items())}", own
