"""The turns of one case on one workload, out of the columns of all: series by process, of undisturbed samples alone."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnbench.amounts import SHORTEST_S
from lnbench.pairing import Turns
from lnbench.turns import Floats, Ints, TurnColumns
from lnbench.undisturbed import (
    DEFAULT_WAKEUP_S,
    LEAST_REACH_S,
    QUIET_SHARE,
    Looks,
    Means,
    Undisturbed,
    undisturbed,
)
from lnbench.workload import Clock, Phase

Series = Mapping[int, Turns]
"""The turns of one case, phase and clock, by process."""

NO_NUMBERS: Final[Ints] = np.empty(0, dtype=np.int64)


STEP = "step"
"""The kind of call that a step's parts are sampled by."""


def kinds_of(name: str) -> tuple[str, str]:
    """The kinds of call that can sample a phase, or the disposal; the first one that a case has does."""
    # What releasing costs is that of the step in one piece, where there is one.
    return (Phase.FORWARD_BACKWARD.value if name == "disposal" else name, STEP)


@dataclass(frozen=True, slots=True)
class Disturbances:
    """What disturbed turns beside what was seen during their own samples.

    `wakeup_s`: what a wake-up costs, by process. `reached`: for each turn of the run, that a thread was found later to
    have waited during it. `stolen`: that a hypervisor took cores away. `alone`: the (process, workload) beside which no
    other process ran.
    """

    reached: NDArray[np.bool_]
    stolen: NDArray[np.bool_]
    wakeup_s: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    alone: Set[tuple[int, int]] = frozenset()

    @classmethod
    def of(
        cls, turns: TurnColumns, wakeup_s: Mapping[int, float], alone: Set[tuple[int, int]] = frozenset()
    ) -> "Disturbances":
        """Those of all turns of a run."""
        return cls(_reached(turns), turns.steal_s > 0, wakeup_s, alone)


class CaseTurns:
    """Turns by their numbers in the columns, in the order in which they were taken.

    `has_pool`: a call may end without the threads that it woke.
    """

    def __init__(
        self, columns: TurnColumns, numbers: Ints, disturbances: Disturbances, *, has_pool: bool = False
    ) -> None:
        self._columns = columns
        self._numbers = numbers
        self._disturbances = disturbances
        self._has_pool = has_pool
        self._series = cache(self._find_series)
        self.undisturbed = cache(self._find_undisturbed)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> Ints:
        """Their numbers in the columns."""
        return self._numbers

    def series(self, name: str, *, clock: Clock, share: float = 1.0) -> Series:
        """One value a turn: the mean of its undisturbed samples, times `share`.

        Samples that are no time (a clock's correction can reach zero) count as not taken. On a device's clock every
        sample counts, whatever the host's threads waited for.
        """
        return self._series(name, clock, share)

    def faults(self, kind: str) -> Floats:
        """The page faults per call of each turn that counted them."""
        column = self._columns.faults.get(kind)
        if column is None:
            return np.empty(0)
        found = column[self._numbers]
        return found[~np.isnan(found)]

    def calls(self, phase: str) -> Ints:
        """How many calls each turn's sample of a phase is the mean of; a step's parts have its calls."""
        column = self._columns.calls.get(self.kind(phase))
        if column is None:
            return NO_NUMBERS
        found = column[self._numbers]
        return found[found > 0]

    def kind(self, name: str) -> str:
        """The kind of call by which the time of a phase, or the disposal, was sampled."""
        columns = self._columns.calls
        return next((it for it in kinds_of(name) if it in columns and (columns[it][self._numbers] > 0).any()), STEP)

    def cpu_s(self, name: str) -> float | None:
        """The median CPU time of a call of the process, over undisturbed samples; None where it was not taken."""
        kind = self.kind(name)
        column = self._columns.usage["cpu_s"].get(kind)
        if column is None:
            return None
        found = (column[self._numbers] / self._columns.calls[kind][self._numbers])[self.undisturbed(kind).kept]
        found = found[~np.isnan(found)]
        return float(np.median(found)) if len(found) else None

    def kept_seconds(self, name: str, *, clock: Clock) -> Floats:
        """Every undisturbed sample, in the order in which they were taken."""
        column = self._columns.samples[clock].get(name)
        if column is None:
            return np.empty(0)
        found = column[self._numbers]
        return found[self._counts(name, clock) & (found >= SHORTEST_S)]

    def undisturbed_share(self, name: str) -> float | None:
        """The share of samples that were undisturbed; None where nothing was looked at."""
        kind = self.kind(name)
        found, calls = self.undisturbed(kind), self._columns.calls.get(kind)
        if not found.means or calls is None:
            return None
        # A kind of long calls takes fewer samples a turn than the others.
        return float(found.kept[calls[self._numbers] > 0].mean())

    def rounds(self) -> dict[int, set[int]]:
        """The rounds in which there were turns, by process."""
        return {
            process: set(self._columns.round[found].tolist())
            for process, found in self._by_process(self._numbers).items()
        }

    def without(self, dropped: Mapping[int, Set[int]]) -> "CaseTurns":
        """The turns but for those of some rounds, by process."""
        if not any(dropped.values()) or not len(self):
            return self
        kept = [
            found[~np.isin(self._columns.round[found], list(dropped.get(process, ())))]
            for process, found in self._by_process(self._numbers).items()
        ]
        return CaseTurns(self._columns, np.sort(np.concatenate(kept)), self._disturbances, has_pool=self._has_pool)

    def _find_series(self, name: str, clock: Clock, share: float) -> Series:
        column = self._columns.samples[clock].get(name)
        if column is None:
            return {}
        # The comparison is false where there is no sample.
        numbers = self._numbers[(column[self._numbers] >= SHORTEST_S) & self._counts(name, clock)]
        return {
            process: self._one_a_turn(found, share * column[found])
            for process, found in self._by_process(numbers).items()
        }

    def _one_a_turn(self, numbers: Ints, seconds: Floats) -> Turns:
        """The mean of each turn's samples."""
        rounds, started = self._columns.round[numbers], self._columns.started_s[numbers]
        if not self._columns.sample[numbers].any():
            return Turns(rounds, started, seconds)
        begins = np.flatnonzero(np.diff(rounds, prepend=-1) | (np.diff(started, prepend=-1.0) != 0))
        counts = np.diff(begins, append=len(numbers))
        return Turns(rounds[begins], started[begins], np.add.reduceat(seconds, begins) / counts)

    def _counts(self, name: str, clock: Clock) -> NDArray[np.bool_]:
        if clock is not Clock.WALL:
            return np.ones(len(self._numbers), dtype=bool)
        return self.undisturbed(self.kind(name)).kept

    def _find_undisturbed(self, kind: str) -> Undisturbed:
        """Which samples of a kind of call are undisturbed, in the order of the turns, and by which means."""
        numbers, columns = self._numbers, self._columns
        nothing = np.full(len(numbers), np.nan)
        usage = {part: found[kind][numbers] if kind in found else nothing for part, found in columns.usage.items()}
        if not len(numbers) or all(np.isnan(values).all() for values in usage.values()):
            return undisturbed(Looks(nothing, nothing, nothing, nothing, nothing, nothing, nothing))
        wakeups = (self._disturbances.wakeup_s.get(int(it), DEFAULT_WAKEUP_S) for it in columns.process[numbers])
        calls = columns.calls[kind][numbers].astype(np.float64)
        found = undisturbed(
            Looks(
                wall_s=self._whole_s(kind) * calls,
                calls=calls,
                delay_s=usage["delay_s"],
                wakeups=usage["wakeups"],
                involuntary=usage["involuntary"],
                cpu_s=usage["cpu_s"],
                wakeup_s=np.fromiter(wakeups, np.float64, len(numbers)),
                has_pool=self._has_pool,
            )
        )
        kept, means = found.kept & ~self._disturbances.reached[numbers], found.means
        alone = self._alone()
        sampled = alone & (calls > 0)
        # Its threads waited for each other, which is its own time.
        if sampled.any() and kept[sampled].mean() < QUIET_SHARE:
            kept, means = kept | alone, Means.ALONE if alone.all() else means
        return Undisturbed(kept & ~self._disturbances.stolen[numbers], means)

    def _alone(self) -> NDArray[np.bool_]:
        """Which turns are of processes beside which no other ran."""
        columns, numbers = self._columns, self._numbers
        pairs = zip(columns.process[numbers].tolist(), columns.workload[numbers].tolist(), strict=True)
        return np.fromiter((pair in self._disturbances.alone for pair in pairs), np.bool_, len(numbers))

    def _whole_s(self, kind: str) -> Floats:
        """Seconds of a whole call of a kind, on the wall clock."""
        wall, nothing = self._columns.samples[Clock.WALL], np.full(len(self._numbers), np.nan)
        parts = (Phase.FORWARD.value, Phase.BACKWARD.value) if kind == STEP else (kind,)
        columns = [wall[part][self._numbers] if part in wall else nothing for part in parts]
        return np.asarray(np.sum(columns, axis=0), dtype=np.float64)

    def _by_process(self, numbers: Ints) -> dict[int, Ints]:
        """Numbers of turns by process, the lowest process first."""
        if not len(numbers):
            return {}
        process = self._columns.process[numbers]
        order = np.argsort(process, kind="stable")
        starts = np.flatnonzero(np.diff(process[order])) + 1
        return {int(process[found[0]]): numbers[found] for found in np.split(order, starts)}


def _reached(turns: TurnColumns) -> NDArray[np.bool_]:
    """For each turn, that a thread which first ran in a later one had been waiting since then."""
    found = np.zeros(len(turns), dtype=bool)
    reaching = np.flatnonzero(turns.reach_s > LEAST_REACH_S)
    for process, workload in {(turns.process[it], turns.workload[it]) for it in reaching.tolist()}:
        alike = np.flatnonzero((turns.process == process) & (turns.workload == workload))
        starts, place = np.unique(turns.started_s[alike], return_inverse=True)
        late = alike[turns.reach_s[alike] > LEAST_REACH_S]
        last = np.searchsorted(starts, turns.started_s[late])
        # A turn ends where the next one begins.
        first = np.searchsorted(starts[1:], turns.started_s[late] - turns.reach_s[late], side="right")
        changes = np.zeros(len(starts) + 1, dtype=np.int64)
        np.add.at(changes, np.minimum(first, last), 1)
        np.add.at(changes, last, -1)
        found[alike] = (np.cumsum(changes) > 0)[place]
    return found
