"""How often the tool is right, from runs in which the truth is known: the same judging as a check's, counted."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from lnbench.analysis.power import power_of
from lnbench.analysis.rates import Rate
from lnbench.compared import ComparedRow
from lnbench.comparison import judge_contrasts
from lnbench.contrasts import Contrast, contrast_runs, contrast_sides, spreads_of
from lnbench.record import Run
from lnbench.reference_groups import groups_of
from lnbench.settling import settle
from lnbench.sides import Side
from lnbench.stages import judge_in_two_stages
from lnbench.verdict import LEAST_PROCESSES, Verdict

STAGE = LEAST_PROCESSES
"""Processes per stage: the first so many of a repetition screen, the others confirm."""

TWIN = "twin"
"""The case that does the same work as its reference."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was counted. `detected`, `covered`: by the case's extra share, 0.05 for 5 %.

    `smallest`: the slowdown that the median row catches in 80 % of checks, and that the worst one does; None where it
    is beyond measure. `against_earlier`: the same work held against the repetition before it as a baseline.
    """

    repetitions: int
    looked_slower: Rate
    false_alarms: Rate
    false_checks: Rate
    detected: Mapping[float, Rate]
    covered: Mapping[float, Rate]
    smallest: tuple[float | None, float | None]
    against_earlier: Rate
    checks_against_earlier: Rate


def judge_repetitions(runs: Sequence[Run], shares: Mapping[str, float]) -> SelfTest:
    """Judge repetitions of planted work, each in two stages as a check is.

    `shares`: the extra work of each implementation beside `twin`, which has none. A slowed row is judged in the place
    of its twin's, as the one slow row among identical ones.
    """
    looked, alarms, checks = Rate(0, 0), Rate(0, 0), Rate(0, 0)
    detected: dict[float, Rate] = defaultdict(lambda: Rate(0, 0))
    covered: dict[float, Rate] = defaultdict(lambda: Rate(0, 0))
    smallest: list[float] = []
    for run in runs:
        before, again = (_by_implementation(contrast_sides(Side(it), margin=None)) for it in _stages(run))
        screened, judged = _two_stages(before[TWIN], again[TWIN], shares_base=False)
        looked += Rate(sum(row.verdict is Verdict.SLOWER for row in screened), len(screened))
        red = sum(row.verdict is Verdict.SLOWER for row in judged)
        alarms += Rate(red, len(judged))
        checks += Rate(int(red > 0), 1)
        smallest += [it.smallest or math.inf for it in power_of(before[TWIN], processes=STAGE)]
        covered[0.0] += _coverage(before[TWIN], 0.0)
        for name, share in shares.items():
            covered[share] += _coverage(before[name], share)
            for one, two in zip(before[name], again[name], strict=True):
                key = one.key._replace(implementation=TWIN)
                _, rows = _two_stages(_swapped(before[TWIN], one), _swapped(again[TWIN], two), shares_base=False)
                caught = next(row.verdict is Verdict.SLOWER for row in rows if row.key == key)
                detected[share] += Rate(int(caught), 1)
    earlier = [_against_earlier(base, head) for base, head in pairwise(runs)]
    return SelfTest(
        repetitions=len(runs),
        looked_slower=looked,
        false_alarms=alarms,
        false_checks=checks,
        detected=dict(detected),
        covered=dict(covered),
        smallest=(_finite(median(smallest)), _finite(max(smallest))) if smallest else (None, None),
        against_earlier=sum((rate for rate, _ in earlier), Rate(0, 0)),
        checks_against_earlier=sum((rate for _, rate in earlier), Rate(0, 0)),
    )


def _stages(run: Run) -> Iterator[Run]:
    yield run.among(range(STAGE))
    yield run.among(range(STAGE, 2 * STAGE))


def _by_implementation(contrasts: Iterable[Contrast]) -> dict[str, list[Contrast]]:
    found: dict[str, list[Contrast]] = defaultdict(list)
    for contrast in contrasts:
        found[contrast.key.implementation].append(contrast)
    return found


def _two_stages(
    before: Sequence[Contrast], again: Sequence[Contrast], *, shares_base: bool
) -> tuple[list[ComparedRow], list[ComparedRow]]:
    """The rows as screened, and as they stand after fresh processes were asked about those that looked slower."""
    screened = judge_contrasts(before)
    return screened, judge_in_two_stages(screened, before, again, shares_base=shares_base)


def _against_earlier(earlier: Run, run: Run) -> tuple[Rate, Rate]:
    """False alarms, by row and by check, of a repetition against the screening half of the one before it."""
    base = Side(next(_stages(earlier)))
    heads = [Side(it) for it in _stages(run)]
    before, again = (contrast_runs(base, it, margin=None, different=frozenset()) for it in heads)
    _, confirmed = _two_stages(before, again, shares_base=True)
    groups = (
        groups_of(base, head, them, judge_contrasts(them)) for head, them in zip(heads, (before, again), strict=True)
    )
    judged = settle(confirmed, *groups).rows
    red = sum(row.verdict is Verdict.SLOWER for row in judged)
    return Rate(red, len(judged)), Rate(int(red > 0), 1)


def _coverage(contrasts: Sequence[Contrast], share: float) -> Rate:
    """How many of the screening intervals hold the true extra share."""
    spreads, truth = spreads_of(contrasts), math.log1p(share)
    intervals = [it.difference(spreads).interval() for it in contrasts if it.finding is None]
    return Rate(sum(it.low <= truth <= it.high for it in intervals), len(intervals))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _swapped(twins: Sequence[Contrast], slowed: Contrast) -> list[Contrast]:
    """The twins, with the slowed row in the place of the one of its workload and phase."""
    key = slowed.key._replace(implementation=TWIN)
    return [replace(slowed, key=key) if twin.key == key else twin for twin in twins]
