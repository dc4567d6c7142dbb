"""The turns of one case on one workload, out of the columns of all: series by process, of undisturbed samples alone."""

from collections.abc import Mapping, Set
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lnbench.amounts import LEAST_SEEN_S, SHORTEST_S
from lnbench.pairing import Turns
from lnbench.turn_disturbances import Disturbances
from lnbench.turns import Floats, Ints, TurnColumns
from lnbench.undisturbed import DEFAULT_WAKEUP_S, QUIET_SHARE, Looks, Means, Undisturbed, undisturbed
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
        self._unseen_share = cache(self._find_unseen_share)
        self.undisturbed = cache(self._find_undisturbed)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> Ints:
        """Their numbers in the columns."""
        return self._numbers

    def series(self, name: str, *, clock: Clock, share: float = 1.0) -> Series:
        """One value a turn: the mean of its undisturbed samples, times `share`.

        Samples that are no time (a clock's correction can reach zero) count as not taken; see `unseen_share`. On a
        device's clock every sample counts, whatever the host's threads waited for.
        """
        return self._series(name, clock, share)

    def faults(self, kind: str) -> Floats:
        """The page faults per call of each turn that counted them."""
        column = self._columns.faults.get(kind)
        if column is None:
            return np.empty(0)
        found = column[self._numbers]
        return found[~np.isnan(found)]

    def calls(self, phase: str, *, clock: Clock) -> Ints:
        """How many calls each turn's sample of a phase is the mean of; a step's parts have its calls."""
        kind, seconds = self.kind(phase), self._columns.samples[clock].get(phase)
        column = self._columns.clock_calls[clock].get(kind, self._columns.calls.get(kind))
        if column is None or seconds is None:
            return NO_NUMBERS
        found = column[self._numbers]
        return found[(found > 0) & ~np.isnan(seconds[self._numbers])]

    def kind(self, name: str) -> str:
        """The kind of call by which the time of a phase, or the disposal, was sampled."""
        columns = self._columns.calls
        return next((it for it in kinds_of(name) if it in columns and (columns[it][self._numbers] > 0).any()), STEP)

    def cpu_s(self, name: str) -> float | None:
        """The median CPU time of a call of the process, over undisturbed samples; None where it was not taken."""
        kind = self.kind(name)
        found = (self._usage(kind, "cpu_s") / self._counted(kind))[self.undisturbed(kind).kept]
        found = found[~np.isnan(found)]
        return float(np.median(found)) if len(found) else None

    def kept_seconds(self, name: str, *, clock: Clock) -> Floats:
        """Every undisturbed sample, in the order in which they were taken."""
        column = self._columns.samples[clock].get(name)
        if column is None:
            return np.empty(0)
        found = column[self._numbers]
        return found[self._counts(name, clock) & (found >= _shortest_s(name))]

    def unseen_share(self, name: str, *, clock: Clock) -> float:
        """The share of samples in whose place the clock saw no time; 0 where there are none."""
        return self._unseen_share(name, clock)

    def undisturbed_share(self, name: str) -> float | None:
        """The share of samples that were undisturbed; None where nothing was looked at."""
        kind = self.kind(name)
        found, sampled = self.undisturbed(kind), ~np.isnan(self._counted(kind))
        # A kind of long calls takes fewer samples a turn than the others.
        return float(found.kept[sampled].mean()) if found.means and sampled.any() else None

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
        numbers = self._numbers[(column[self._numbers] >= _shortest_s(name)) & self._counts(name, clock)]
        return {
            process: self._one_a_turn(found, share * column[found])
            for process, found in self._by_process(numbers).items()
        }

    def _find_unseen_share(self, name: str, clock: Clock) -> float:
        column = self._columns.samples[clock].get(name)
        if column is None:
            return 0.0
        found = column[self._numbers]
        found = found[self._counts(name, clock) & ~np.isnan(found)]
        return float((found < LEAST_SEEN_S).mean()) if len(found) else 0.0

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
        numbers, calls = self._numbers, self._counted(kind)
        wakeups = (self._disturbances.wakeup_s.get(int(it), DEFAULT_WAKEUP_S) for it in self._columns.process[numbers])
        found = undisturbed(
            Looks(
                wall_s=self._whole_s(kind) * calls,
                calls=calls,
                delay_s=self._usage(kind, "delay_s"),
                wakeups=self._usage(kind, "wakeups"),
                involuntary=self._usage(kind, "involuntary"),
                cpu_s=self._usage(kind, "cpu_s"),
                wakeup_s=np.fromiter(wakeups, np.float64, len(numbers)),
                has_pool=self._has_pool,
            )
        )
        if not found.means:
            return found
        kept, means = found.kept & ~self._disturbances.reached[numbers], found.means
        alone = self._alone()
        sampled = alone & ~np.isnan(calls)
        # Its threads waited for each other, which is its own time.
        if sampled.any() and kept[sampled].mean() < QUIET_SHARE:
            kept, means = kept | alone, Means.ALONE if alone.all() else means
        return Undisturbed(kept & ~self._disturbances.stolen[numbers], means)

    def _counted(self, kind: str) -> Floats:
        """The calls of each turn's sample of a kind; NaN where it has none."""
        column = self._columns.calls.get(kind)
        if column is None:
            return np.full(len(self._numbers), np.nan)
        found = column[self._numbers]
        return np.where(found > 0, found, np.nan)

    def _usage(self, kind: str, part: str) -> Floats:
        """What the scheduler did during each turn's sample of a kind; NaN where it has none or was not looked at."""
        column = self._columns.usage[part].get(kind)
        calls = self._counted(kind)
        return (
            np.full(len(calls), np.nan) if column is None else np.where(np.isnan(calls), np.nan, column[self._numbers])
        )

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


def _shortest_s(name: str) -> float:
    """The shortest sample that is a time. Releasing results may cost nothing."""
    return SHORTEST_S if name == "disposal" else LEAST_SEEN_S
