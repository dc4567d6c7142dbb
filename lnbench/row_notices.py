"""Notices that follow from a row's own numbers, and so are derived when reading."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lnbench.busyness import host_text
from lnbench.costs import LIMIT_SHARE, shows_bandwidth
from lnbench.events import L2_HOT
from lnbench.evidence import Evidence
from lnbench.planned import Notice, PlannedCase
from lnbench.ratios import Share, host_over_device, log_ratio
from lnbench.stats import Bounds, Interval
from lnbench.traffic import Traffic
from lnbench.units import format_percent, format_seconds, format_significant
from lnbench.workload import Cache, Clock, Phase

DISPOSAL_SHOWN = 0.03
"""The share of forward_backward above which releasing its results is worth a notice (design, section 4.2)."""

BEATS_COPY_PERCENT = 115
"""Percent of the copy's bandwidth beyond which a row is noticed. A store reads its cache line first, so a copy moves
three bytes for each two that count, and a backward four for each three: 112.5 is still honest, the rest is noise."""

BEATS_COLD_COPY_PERCENT = 105
"""The same where caches are cold: there nothing but noise is left to explain it."""

LAUNCH_BOUND = 2.0
"""Host time over device time from which launching, and not the work, decides how long the host takes."""

SHORT_ON_DEVICE_S = 10e-6
"""On the device's clock a call holds its own launch and drain, 1 to 3 us on today's cards: a tenth and more of this."""

_BOUND_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "ideal": "bytes: the ideal bound, with the whole tensor held in cache between the two passes",
        "practical": "bytes: the practical bound, which",
    }
)
_BECAUSE: Mapping[str, str] = MappingProxyType(
    {
        "second read": "reads a second time what the last-level cache can't hold",
        "transposed dy": "reads and writes dy once more to make it contiguous",
        "expanded dy": "writes out dy, one element with stride 0, before it is read",
    }
)
"""Why the practical bound is more than the minimum."""

SMALL_CALL_S = 50e-6
"""A module's call adds a few microseconds: beside longer functions it can't be told from where memory lies."""

_FUNCTIONAL: Mapping[str, str] = MappingProxyType({"module": "fused"})
"""The functional form of what an implementation calls through a module."""

ROUNDED_UP_B = 64 * 512
"""CUDA's caching allocator hands out multiples of 512 bytes."""

GRAPH_CODES = frozenset({L2_HOT})
"""The codes of notices that concern the rows of the graph clock alone."""

BYTES_CODES = frozenset(f"{bound}-bytes" for bound in _BOUND_TEXTS)
"""The codes of notices that concern the bytes alone: they have no place where no column shows bytes."""


CROWDED_SHARE = 0.8
"""The share of undisturbed samples below which a row says that the machine was busy."""


def crowding_notices(share: float | None, *, is_unstable: bool) -> list[Notice]:
    """That a good part of the samples was disturbed; an unstable row says so in its reason."""
    if share is None or share >= CROWDED_SHARE or is_unstable:
        return []
    text = (
        f"busy machine: threads waited for a core in {format_percent(1 - share)} of the samples; figures use the "
        "other samples only"
    )
    return [Notice(code="disturbed-samples", text=text)]


def function_notices(case: PlannedCase, reference: PlannedCase) -> list[Notice]:
    """That a row computes something else than the reference, which its speedup then compares with."""
    if case.function == reference.function or not (case.function and reference.function):
        return []
    text = f"computes {case.function}, the reference {reference.function}"
    return [Notice(code="another-function", text=text)]


def module_notices(
    case: PlannedCase, reference: PlannedCase, phase: Phase, *, median_s: float, speedup: Interval | None
) -> list[Notice]:
    """What the call through a module adds to the functional form, where that is the reference and the two differ.

    The difference follows from the paired ratio, so that it holds where the two medians drifted apart.
    """
    if _FUNCTIONAL.get(case.use) != reference.use or phase not in {Phase.INFERENCE, Phase.FORWARD} or speedup is None:
        return []
    ratio = speedup.exp()
    added_s, least_s, most_s = (median_s * (1 - it) for it in (ratio.value, ratio.high, ratio.low))
    if least_s <= 0 or median_s > SMALL_CALL_S:
        return []
    added, least, most, function = (
        format_seconds(it, digits=2) for it in (added_s, least_s, most_s, median_s * ratio.value)
    )
    text = f"the call through the module adds {added} ({least} to {most}) to the function's {function} of {phase}"
    return [Notice(code="module-call", text=text)]


def bound_notices(traffic: Traffic | None) -> list[Notice]:
    """Which bound the bytes use, where not every tensor is simply touched once."""
    if traffic is None or traffic.bound not in _BOUND_TEXTS:
        return []
    reasons = " and ".join(_BECAUSE[reason] for reason in traffic.because)
    return [Notice(code=f"{traffic.bound}-bytes", text=f"{_BOUND_TEXTS[traffic.bound]} {reasons}".rstrip())]


def copy_notices(percent_of_copy: Bounds | None, call_share: Share, *, cache: str) -> list[Notice]:
    """That a row moves its bytes faster than a plain copy does, beyond what their times vary by.

    None where much of the copy is its own call (`call_share`): it then shows no bandwidth that could be exceeded.
    """
    most = BEATS_COPY_PERCENT if cache == Cache.HOT else BEATS_COLD_COPY_PERCENT
    if percent_of_copy is None or percent_of_copy.low <= most or not shows_bandwidth(call_share):
        return []
    text = (
        f"{percent_of_copy.value:.0f} % of the copy's bandwidth: more than this machine moves, so part of the bytes "
        "stayed in cache; larger shapes or a cold cache show the memory's speed"
    )
    return [Notice(code="beats-copy", text=text)]


def disposal_notices(evidence: Evidence, case: int) -> list[Notice]:
    """That releasing a step's results costs a good part of the step, though no phase contains it."""
    disposal = evidence.series(case, "disposal", clock=Clock.WALL)
    step = evidence.series(case, Phase.FORWARD_BACKWARD, clock=Clock.WALL)
    found = log_ratio(disposal, step)
    if found is None or found.exp().low <= DISPOSAL_SHOWN:
        return []
    text = (
        f"releasing y and the gradients takes another {format_percent(found.exp().value)} of forward_backward; "
        "a training loop pays it, the phases leave it out"
    )
    return [Notice(code="disposal", text=text)]


def drain_notices(clock: Clock, *, median_s: float) -> list[Notice]:
    """That a good part of a short time on the device's clock is no work: events can't leave it out."""
    if clock is not Clock.DEVICE or median_s >= SHORT_ON_DEVICE_S:
        return []
    text = (
        "below 10 µs: 1 to 3 µs of this time are the launch and drain of each call, the same for every implementation, "
        "so kernels are shorter and further apart than shown"
    )
    return [Notice(code="launch-and-drain", text=text)]


def of_clock(notices: Iterable[Notice], clock: Clock) -> list[Notice]:
    """Those of a case's notices that concern a row of this clock."""
    return [notice for notice in notices if clock is Clock.GRAPH or notice.code not in GRAPH_CODES]


def launch_notices(evidence: Evidence, case: int, phase: Phase, *, clock: Clock) -> list[Notice]:
    """That the host takes far longer than the device, on a workload that has both clocks."""
    if clock not in {Clock.WALL, Clock.DEVICE}:
        return []
    found = host_over_device(evidence, case, phase)
    if found is None or found.exp().low < LAUNCH_BOUND:
        return []
    text = (
        f"launch-bound: the host takes {format_significant(found.exp().value, 2)}x the device's time, so launching "
        "decides what a caller sees; larger shapes or CUDA graphs hide it"
    )
    return [Notice(code="launch-bound", text=text)]


def busy_host_notices(evidence: Evidence, case: int, *, clock: Clock) -> list[Notice]:
    """That other processes used the host's cores, where a GPU's work was timed by the host's clock."""
    planned = evidence.case(case)
    look = evidence.busy_look(planned.workload)
    if look is None or clock is not Clock.WALL or not evidence.planned_workload(case).workload.is_cuda:
        return []
    return [Notice(code="busy-host", text=host_text(look))]


def fault_notices(share: float, least: float, faults: float | None, phase: Phase) -> list[Notice]:
    """That a good part of a row's time goes into page faults. `least`: the share of the upper bound of its time."""
    if least < LIMIT_SHARE or faults is None:
        return []
    kind = "inference" if phase is Phase.INFERENCE else "step"
    text = (
        f"page-fault-bound: {faults:,.0f} page faults {'an' if kind == 'inference' else 'a'} {kind} are about "
        f"{format_percent(min(share, 1.0))} of the time; a heap that keeps its memory (allocator: retained) saves them"
    )
    return [Notice(code="page-fault-bound", text=text)]


def memory_notices(evidence: Evidence, case: int) -> list[Notice]:
    """That the allocator saw more kept for backward than autograd knows of, or less."""
    found = [event for event in evidence.memory[case] if event.saved_b is not None and event.kept_b is not None]
    if evidence.planned_workload(case).workload.is_cuda:  # its allocator rounds every block up
        found = [event for event in found if abs(event.kept_b or 0) > (event.saved_b or 0) * 1.1 + ROUNDED_UP_B]
    odd = next((event for event in found if event.saved_b != event.kept_b), None)
    if odd is None:
        return []
    text = (
        f"autograd saves {odd.saved_b:,} bytes for backward, the allocator saw {odd.kept_b:,} kept after forward "
        "beside y; memory that is kept elsewhere, or a saved part of a larger block, does that"
    )
    return [Notice(code="kept-memory", text=text)]


def energy_notices(evidence: Evidence, case: int) -> list[Notice]:
    """Why a case's energy is not shown, though it was measured."""
    why = next((event.unusable for event in evidence.energy[case] if event.unusable), "")
    return [Notice(code="no-energy", text=f"no energy: {why}")] if why else []
