"""What a busy machine left of a row: the turns that count, and why the row is unstable where they are too few."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from lnbench.case_turns import CaseTurns, Series
from lnbench.undisturbed import LEAST_SHARE, MOST_TILT, MOST_TILT_APART, pairs_needed, tilt
from lnbench.units import format_percent
from lnbench.workload import Clock, Phase


class CrowdedRow(NamedTuple):
    """The turns of a case, and the phase that is judged."""

    turns: CaseTurns
    phase: Phase

    @property
    def share(self) -> float:
        """Of the samples, those that were undisturbed."""
        share = self.turns.undisturbed_share(self.phase)
        return 1.0 if share is None else share

    @property
    def tilt(self) -> float:
        """How far leaving samples out shifts the log mean."""
        return tilt(self.turns.kept_seconds(self.phase, clock=Clock.WALL), share=self.share)

    def series(self) -> Series:
        """The undisturbed turns by process."""
        return self.turns.series(self.phase, clock=Clock.WALL)


class ProcessesLeft(NamedTuple):
    """How many of a row's processes count. Both 0: nothing was looked at, and all of them do."""

    counting: int = 0
    measured: int = 0

    @property
    def share(self) -> float:
        """Of the processes, those that count."""
        return self.counting / self.measured if self.measured else 1.0


ALL_LEFT = ProcessesLeft()


@dataclass(frozen=True, slots=True)
class Crowding:
    """What is left of a row. `unstable`: why it has no speedup; empty where it has one.

    `series`: the undisturbed turns of the processes that count. Of an unstable row all undisturbed turns, so that a
    check still reads whether it got slower.
    """

    series: Series = field(default_factory=lambda: MappingProxyType({}))
    unstable: str = ""
    left: ProcessesLeft = ALL_LEFT


def crowding(row: CrowdedRow, base: CrowdedRow, *, threads: int, cores: int, load: float | None) -> Crowding:
    """Judge a row beside what it is compared with; beside itself where there is nothing.

    A process counts when enough rounds are left in which both were undisturbed. A row is unstable when at most half of
    its processes count, when under 10 % of its samples or of the reference's are undisturbed, or when leaving samples
    out tilts it, its reference or their ratio by too much.
    """
    own, other = row.series(), base.series()
    taken_by, base_taken_by = row.turns.rounds(), base.turns.rounds()
    counting, pairs, taken = [], 0, 0
    for process, rounds in taken_by.items():
        both = rounds & base_taken_by.get(process, set())
        left = _rounds(own, process) & _rounds(other, process)
        pairs, taken = pairs + len(left), taken + len(both or rounds)
        if not both or len(left) >= pairs_needed(len(both)):
            counting.append(process)
    left_of_all = ProcessesLeft(len(counting), len(taken_by))
    if 2 * len(counting) <= len(taken_by):
        seen, effect = f"{pairs} of {taken} rounds undisturbed", ""
    else:
        seen, effect = _too_selective(row, base)
    if seen:
        text = f"{seen} ({_circumstances(threads, cores, load)}){effect}: {_what_helps(threads, cores)}"
        return Crowding(own, text, left_of_all)
    return Crowding({process: turns for process, turns in own.items() if process in counting}, left=left_of_all)


def _too_selective(row: CrowdedRow, base: CrowdedRow) -> tuple[str, str]:
    """What was seen where too much was left out, and what that does to the figures; empty where it does not matter."""
    (share, whose) = min((row.share, "its"), (base.share, "the reference's"), key=lambda it: it[0])
    if share < LEAST_SHARE:
        return f"only {format_percent(share)} of {whose} samples undisturbed", ""
    tilts = abs(row.tilt), abs(base.tilt)
    if max(tilts) <= MOST_TILT and abs(tilts[0] - tilts[1]) <= MOST_TILT_APART:
        return "", ""
    share, whose = (row.share, "its") if tilts[0] >= tilts[1] else (base.share, "the reference's")
    effect = f", which favors short ones by about {format_percent(max(tilts))}"
    return f"{format_percent(share)} of {whose} samples undisturbed", effect


def _rounds(series: Series, process: int) -> set[int]:
    return set(np.asarray(series[process].rounds).tolist()) if process in series else set()


def _circumstances(threads: int, cores: int, load: float | None) -> str:
    parts = [f"{threads} thread{'s' if threads != 1 else ''}", f"{cores} core{'s' if cores != 1 else ''}"]
    return ", ".join(parts if load is None else [*parts, f"load {load:.1f}"])


def _what_helps(threads: int, cores: int) -> str:
    if threads > cores:
        return f"use threads: {cores}"
    return "free a core, or use threads: 1" if threads > 1 else "free a core"
