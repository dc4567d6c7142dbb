"""After how many calls compiling has paid for itself, against the reference and against eager."""

import math
from collections.abc import Sequence

from lnbench.events import Built
from lnbench.evidence import Evidence
from lnbench.planned import Status
from lnbench.speedups import Speedups
from lnbench.stats import Interval
from lnbench.workload import Clock, Phase

_NOTHING = Interval(0.0, 0.0, 0.0, "round", 0)
"""The log speedup of the reference over itself."""


def break_even_columns(
    evidence: Evidence, speedups: Speedups, number: int, phase: Phase, *, clock: Clock, median_s: float
) -> dict[str, float | None]:
    """The calls of a phase after which a compiled case has paid for its first call, by what it is compared with.

    Empty for what is not compiled, and where the interval of what a call saves holds 0: nothing is known to be saved or
    lost. That of the difference from eager is the widest that both speedups' intervals allow.
    """
    if all(event.graphs is None for event in evidence.built[number]):
        return {}
    own = _known(evidence, speedups, number, phase, clock)
    if own is None:
        return {}
    found: dict[str, float | None] = {}
    reference = evidence.reference(number)
    if reference is not None and reference != number and (own.low > 0 or own.high < 0):
        found["break_even_calls"] = _calls(evidence, number, reference, saved_s=median_s * math.expm1(own.estimate))
    eager = next((other for other in evidence.neighbours(number) if evidence.case(other).use == "eager"), None)
    if eager is not None:
        against = _NOTHING if eager == reference else _known(evidence, speedups, eager, phase, clock)
        if against is not None and (own.low > against.high or own.high < against.low):
            saved_s = median_s * math.expm1(own.estimate - against.estimate)
            found["break_even_calls_eager"] = _calls(evidence, number, eager, saved_s=saved_s)
    return found


def _known(evidence: Evidence, speedups: Speedups, number: int, phase: Phase, clock: Clock) -> Interval | None:
    """The speedup of a row that is stable, as its reference is."""
    rows = (number, evidence.reference(number))
    if any(it is not None and evidence.row(it, phase, clock=clock).status is Status.UNSTABLE for it in rows):
        return None
    return speedups.interval(number, phase, clock=clock)


def _calls(evidence: Evidence, number: int, other: int, *, saved_s: float) -> float | None:
    own, others = _first_call_s(evidence.built[number]), _first_call_s(evidence.built[other])
    return None if own is None or others is None else calls_to_pay(extra_s=own - others, saved_s=saved_s)


def calls_to_pay(*, extra_s: float, saved_s: float) -> float:
    """After how many calls, each saving so much, an extra cost is paid: none, so many, or never (infinity)."""
    if extra_s <= 0:
        return 0.0
    return float(math.ceil(extra_s / saved_s)) if saved_s > 0 else math.inf


def _first_call_s(built: Sequence[Built]) -> float | None:
    """What a case costs before its second call: building it and the first call, cold where that was seen."""
    totals = [(event.build_s + event.first_call_s, event.compiled_cold) for event in built]
    cold = [seconds for seconds, was_cold in totals if was_cold]
    return next(iter(cold), totals[0][0] if totals else None)
