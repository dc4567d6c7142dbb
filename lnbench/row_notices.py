"""Notices that follow from a row's own numbers, and so are derived when reading."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from lnbench.evidence import Evidence, Series
from lnbench.planned import Notice, PlannedCase
from lnbench.traffic import Traffic
from lnbench.units import format_percent, format_significant
from lnbench.workload import Clock, Phase

DISPOSAL_SHOWN = 0.03
"""The share of forward_backward above which releasing its results is worth a notice (design, section 4.2)."""

BEATS_COPY_PERCENT = 115
"""Percent of the copy's bandwidth above which a row is noticed. A store reads its cache line first, so a copy moves
three bytes for each two that count, and a backward four for each three: 112.5 is still honest, the rest is noise."""

LAUNCH_BOUND = 2.0
"""Host time over device time from which launching, and not the work, decides how long the host takes."""

_BOUND_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "ideal": "bytes: the ideal bound, with the whole tensor held in cache between the two passes",
        "practical": "bytes: the practical bound, which reads a second time what the last-level cache can't hold",
    }
)

BYTES_CODES = frozenset(f"{bound}-bytes" for bound in _BOUND_TEXTS)
"""The codes of notices that concern the bytes alone: they have no place where no column shows bytes."""


def function_notices(case: PlannedCase, reference: PlannedCase) -> list[Notice]:
    """That a row computes something else than the reference, which its speedup then compares with."""
    if case.function == reference.function:
        return []
    text = f"computes {case.function}, the reference {reference.function}"
    return [Notice(code="another-function", text=text)]


def bound_notices(traffic: Traffic | None) -> list[Notice]:
    """Which bound the bytes use, where not every tensor is simply touched once."""
    if traffic is None or traffic.bound not in _BOUND_TEXTS:
        return []
    return [Notice(code=f"{traffic.bound}-bytes", text=_BOUND_TEXTS[traffic.bound])]


def copy_notices(percent_of_copy: float | None) -> list[Notice]:
    """That a row seems to move its bytes faster than a plain copy does."""
    if percent_of_copy is None or percent_of_copy <= BEATS_COPY_PERCENT:
        return []
    text = (
        f"{percent_of_copy:.0f} % of the copy's bandwidth: more than this machine moves, so part of the bytes stayed "
        "in cache; larger shapes or a cold cache show the memory's speed"
    )
    return [Notice(code="beats-copy", text=text)]


def disposal_notices(evidence: Evidence, case: int) -> list[Notice]:
    """That releasing a step's results costs a good part of the step, though no phase contains it."""
    disposal = _median_s(evidence.series(case, "disposal", clock=Clock.WALL))
    step = _median_s(evidence.series(case, Phase.FORWARD_BACKWARD, clock=Clock.WALL))
    if disposal is None or step is None or disposal <= DISPOSAL_SHOWN * step:
        return []
    text = (
        f"releasing y and the gradients takes another {format_percent(disposal / step)} of forward_backward; "
        "a training loop pays it, the phases leave it out"
    )
    return [Notice(code="disposal", text=text)]


def launch_notices(evidence: Evidence, case: int, phase: Phase) -> list[Notice]:
    """That the host takes far longer than the device, on a workload that has both clocks."""
    wall = _median_s(evidence.series(case, phase, clock=Clock.WALL))
    device = _median_s(evidence.series(case, phase, clock=Clock.DEVICE))
    if wall is None or device is None or wall < LAUNCH_BOUND * device:
        return []
    text = (
        f"launch-bound: the host takes {format_significant(wall / device, 2)}x the device's time, so launching decides "
        "what a caller sees; larger shapes or CUDA graphs hide it"
    )
    return [Notice(code="launch-bound", text=text)]


def _median_s(series: Series) -> float | None:
    if not series:
        return None
    return float(np.median(np.concatenate([np.asarray(turns.seconds, dtype=np.float64) for turns in series.values()])))
