"""What disturbed turns beside what was seen during their own samples."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lnbench.turns import TurnColumns
from lnbench.undisturbed import LEAST_REACH_S


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
