"""The turns of one case on one workload, out of the columns of all: series by process, without spoiled rounds."""

from collections.abc import Mapping, Set
from functools import cache
from typing import Final

import numpy as np

from lnbench.amounts import SHORTEST_S
from lnbench.pairing import Turns
from lnbench.turns import Floats, Ints, TurnColumns
from lnbench.workload import Clock

Series = Mapping[int, Turns]
"""The turns of one case, phase and clock, by process."""

NO_NUMBERS: Final[Ints] = np.empty(0, dtype=np.int64)


class CaseTurns:
    """Turns by their numbers in the columns, in the order in which they were taken."""

    def __init__(self, columns: TurnColumns, numbers: Ints) -> None:
        self._columns = columns
        self._numbers = numbers
        self._series = cache(self._find_series)
        self.median_s = cache(self._find_median_s)

    def __len__(self) -> int:
        return len(self._numbers)

    def series(self, name: str, *, clock: Clock, share: float = 1.0) -> Series:
        """Samples times `share`; those that are no time (a clock's correction can reach zero) count as not taken."""
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
        columns = self._columns.calls
        found = [columns[name][self._numbers] for name in (phase, "step") if name in columns]
        own = next((column[column > 0] for column in found if (column > 0).any()), None)
        return NO_NUMBERS if own is None else own

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
        return CaseTurns(self._columns, np.sort(np.concatenate(kept)))

    def _find_median_s(self, name: str, clock: Clock) -> float | None:
        """The median of all samples of a name; None without any. Asked for again by every row of a workload."""
        series = self.series(name, clock=clock)
        if not series:
            return None
        return float(np.median(np.concatenate([np.asarray(turns.seconds) for turns in series.values()])))

    def _find_series(self, name: str, clock: Clock, share: float) -> Series:
        column = self._columns.samples[clock].get(name)
        if column is None:
            return {}
        seconds = column[self._numbers]
        numbers = self._numbers[seconds >= SHORTEST_S]  # false where there is no sample
        return {
            process: Turns(self._columns.round[found], self._columns.started_s[found], share * column[found])
            for process, found in self._by_process(numbers).items()
        }

    def _by_process(self, numbers: Ints) -> dict[int, Ints]:
        """Numbers of turns by process, the lowest process first."""
        if not len(numbers):
            return {}
        process = self._columns.process[numbers]
        order = np.argsort(process, kind="stable")
        starts = np.flatnonzero(np.diff(process[order])) + 1
        return {int(process[found[0]]): numbers[found] for found in np.split(order, starts)}
