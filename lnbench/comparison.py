"""Two sides compared: every row judged among all, groups of rows, what differs between the sides, what moved."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lnbench.across import Mean, mean_of
from lnbench.arbitration import Group, Mover
from lnbench.compared import ComparedRow, Comparison, GroupMean
from lnbench.conditions import environment_differences
from lnbench.contrasts import Contrast, Spreads, contrast_runs, contrast_sides, spreads_of
from lnbench.evidence import Evidence
from lnbench.multiplicity import Correction, false_discovery
from lnbench.record import Run
from lnbench.reference_groups import groups_of
from lnbench.shifts import new_rows, reference_moves
from lnbench.sides import RowKey, Side
from lnbench.verdict import LEAST_PROCESSES, Finding, Verdict, judge


def compare_runs(
    base: Run, head: Run, *, margin: float | None = None, different: Iterable[str] = (), only_planned: bool = False
) -> Comparison:
    """Two runs, by times relative to each run's own reference.

    `margin` None: each row's own. `different`: conditions that need not match. `only_planned`: rows that head never
    planned are no concern. Rows that got slower together keep their verdicts, and a note says who moved.
    """
    old, new = Side(base), Side(head)
    contrasts = contrast_runs(old, new, margin=margin, different=frozenset(different), only_planned=only_planned)
    found = compare_between(old, new, contrasts)
    moves = _who_moved(groups_of(old, new, contrasts, found.rows))
    return replace(found, notes=(*moves, *found.notes))


def compare_between(base: Side, head: Side, contrasts: Sequence[Contrast]) -> Comparison:
    """The rows of two runs that were brought together, each with its verdict."""
    return Comparison(
        base=base.run.header.run_id,
        head=head.run.header.run_id,
        rows=tuple(judge_contrasts(contrasts)),
        groups=_groups(contrasts),
        differences=tuple(environment_differences(base.run.header, head.run.header)),
        notes=(*reference_moves(base, head), *new_rows(base, head)),
        busy=busy_lines(base.evidence, head.evidence),
    )


def compare_sides(run: Run, *, margin: float | None = None) -> Comparison:
    """The new version of each implementation against the old one, which took turns with it in the same rounds."""
    side = Side(run)
    return compare_within(side, contrast_sides(side, margin=margin))


def compare_within(side: Side, contrasts: Sequence[Contrast]) -> Comparison:
    """The rows of two versions that took turns, each with its verdict."""
    return Comparison(
        base="the old version, in the same rounds",
        head=side.run.header.run_id,
        rows=tuple(judge_contrasts(contrasts)),
        groups=_groups(contrasts),
        differences=(),
        notes=(),
        busy=busy_lines(None, side.evidence),
    )


def busy_lines(base: Evidence | None, head: Evidence) -> tuple[str, ...]:
    """A line for each run during which other processes kept its machine busy; `base` None: there is one run."""
    if base is None:
        return (head.busy_line,) if head.busy_line else ()
    return tuple(f"{name}: {side.busy_line}" for name, side in (("base", base), ("head", head)) if side.busy_line)


def _who_moved(groups: Mapping[RowKey, Group]) -> Iterator[str]:
    """Where all rows of a reference got slower together, or faster: a sentence about who moved."""
    for group in {group.place: group for group in groups.values()}.values():
        verdicts = {row.verdict for row in group.rows}
        if verdicts == {Verdict.SLOWER}:
            ruled: dict[Mover, list[ComparedRow]] = defaultdict(list)
            for row in group.rows:
                ruled[group.mover(row)].append(row)
            yield from (group.explain(mover, found) for mover, found in ruled.items())
        elif group.slower_reference:
            yield group.slower_reference


def judge_contrasts(
    contrasts: Sequence[Contrast], *, correction: Correction = false_discovery, spreads: Spreads | None = None
) -> list[ComparedRow]:
    """Every contrast with its verdict among all of them.

    `spreads`: what moderates their variances; by default that of the contrasts themselves.
    """
    open_ones = [contrast for contrast in contrasts if contrast.finding is None]
    moderating = spreads or spreads_of(open_ones)
    read = [contrast for contrast in contrasts if contrast.finding is None or contrast.is_unstable]
    differences = {contrast.key: contrast.difference(moderating) for contrast in read}
    findings: dict[RowKey, Finding] = {}
    # Rows with too few processes are no tests, and must not make others stricter.
    for is_tested in (True, False):
        group = [it for it in open_ones if (differences[it.key].count >= LEAST_PROCESSES) is is_tested]
        means, margins = [differences[it.key] for it in group], [it.margin for it in group]
        findings.update(zip((it.key for it in group), judge(means, margins, correction=correction), strict=True))
    return [_row(it, it.finding or findings[it.key], differences.get(it.key)) for it in contrasts]


def _row(contrast: Contrast, finding: Finding, difference: Mean | None) -> ComparedRow:
    base, head = contrast.base_row, contrast.head_row
    either = head or base
    assert either is not None  # a contrast has at least one side
    columns: dict[str, Any] = {}
    if difference is not None:
        interval = difference.interval()
        bounds = interval.exp()
        columns = {
            "slowdown": bounds.value,
            "slowdown_low": bounds.low if interval.is_bounded else None,
            "slowdown_high": bounds.high if interval.is_bounded else None,
            "p_slower": difference.p_above_zero(),
            "p_faster": (-difference).p_above_zero(),
        }
    elif finding.verdict is Verdict.SAME:  # a run against itself
        columns = {"slowdown": 1.0, "slowdown_low": 1.0, "slowdown_high": 1.0}
    return ComparedRow(
        workload=contrast.key.workload,
        label=either.label,
        implementation=contrast.key.implementation,
        norm_mode=contrast.key.norm_mode,
        device=either.device,
        phase=contrast.key.phase,
        clock=contrast.key.clock,
        margin=contrast.margin,
        verdict=finding.verdict,
        reason=finding.reason,
        base_processes=base.processes if base else 0,
        head_processes=head.processes if head else 0,
        base_median_s=base.median_s if base else None,
        head_median_s=head.median_s if head else None,
        base_speedup=base.speedup if base else None,
        head_speedup=head.speedup if head else None,
        **columns,
    )


def _groups(contrasts: Iterable[Contrast]) -> tuple[GroupMean, ...]:
    """Per kind of row the mean log slowdown: per process over the workloads, then over the processes.

    Workloads of one process share its luck, so the process is the unit here too.
    """
    kinds: dict[tuple[str, ...], list[Contrast]] = defaultdict(list)
    for contrast in contrasts:
        if contrast.finding is None:
            kinds[contrast.kind].append(contrast)
    found = []
    for kind, group in kinds.items():
        head = _over_workloads([contrast.head for contrast in group])
        base = _over_workloads([contrast.base for contrast in group])
        if len(group) < 2 or not head or not (base or group[0].is_paired):
            continue
        difference = -mean_of(head) if group[0].is_paired else mean_of(base) - mean_of(head)
        interval = difference.interval()
        value, low, high = interval.exp()
        implementation, norm_mode, phase, clock, device = kind
        found.append(
            GroupMean(
                title=f"{implementation} ({norm_mode})" if norm_mode else implementation,
                device=device,
                phase=phase,
                clock=clock,
                rows=len(group),
                slowdown=value,
                slowdown_low=low if interval.is_bounded else None,
                slowdown_high=high if interval.is_bounded else None,
            )
        )
    return tuple(found)


def _over_workloads(locations: Sequence[Mapping[int, float]]) -> list[float]:
    """The mean over the rows in each process that has them all."""
    shared = set.intersection(*(set(found) for found in locations))
    return [math.fsum(found[process] for found in locations) / len(locations) for process in sorted(shared)]
