"""When the rounds of a workload may stop: every speedup, and every time that is compared with nothing, is known."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from lnbench.amounts import LEAST_SEEN_S
from lnbench.pairing import Turns, pair_nearest
from lnbench.stats import FloatArray, is_precise
from lnbench.workload import Phase


@dataclass
class _Kept:
    """The undisturbed turns of one case and phase so far."""

    rounds: list[int] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def turns(self) -> Turns:
        return Turns(self.rounds, self.started_s, self.seconds)

    def without(self, spoiled: range) -> "_Kept":
        places = [place for place, number in enumerate(self.rounds) if number not in spoiled]
        return _Kept(
            [self.rounds[place] for place in places],
            [self.started_s[place] for place in places],
            [self.seconds[place] for place in places],
        )


class StoppingRule:
    """Keeps the times of the cases that decide, and says when they are known to `precision`.

    `cases`: the phases that each of them has. `references`: the case that each other one is compared with, if both are
    among the cases.
    """

    def __init__(
        self, cases: Mapping[int, tuple[Phase, ...]], *, references: Mapping[int, int], precision: float
    ) -> None:
        self._kept = {(case, phase): _Kept() for case, phases in cases.items() for phase in phases}
        self._references = references
        self._precision = precision

    def keep(self, case: int, number: int, *, started_s: float, seconds: Mapping[str, float]) -> None:
        """Take what a turn in a round gave: by phase the mean of its undisturbed samples, where it had any.

        A row in which a clock saw no time is not waited for.
        """
        for phase in Phase:
            kept = self._kept.get((case, phase))
            if kept is not None and seconds.get(phase, LEAST_SEEN_S) < LEAST_SEEN_S:
                self.leave_out(case, [phase])
            elif kept is not None and phase in seconds:
                kept.rounds.append(number)
                kept.started_s.append(started_s)
                kept.seconds.append(seconds[phase])

    def forget_rounds(self, spoiled: range) -> None:
        """Leave spoiled rounds out; the journal keeps them, and readers drop them too."""
        if spoiled:
            self._kept = {key: kept.without(spoiled) for key, kept in self._kept.items()}

    def drop(self, case: int) -> None:
        """Leave a case out from now on; those that were compared with it stand for themselves."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != case}

    def leave_out(self, case: int, phases: Collection[Phase]) -> None:
        """Wait no longer for rows of a case whose clock can't time them."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != case or key[1] not in phases}

    def is_precise(self) -> bool:
        """True when every interval is narrow enough."""
        if not self._kept or not all(kept.rounds for kept in self._kept.values()):
            return False
        return is_precise(self._series(), precision=self._precision)

    def is_settled(self) -> bool:
        """The same of the rows that have a pair: one without any, beside others that have some, is not waited for."""
        return is_precise([pairs for pairs in self._series() if len(pairs)], precision=self._precision)

    def _series(self) -> list[FloatArray]:
        """Of every row its pairs of undisturbed turns, or its own turns where it is compared with nothing."""
        series: list[FloatArray] = []
        for phase in Phase:
            turns = {case: kept.turns() for (case, of), kept in self._kept.items() if of is phase}
            compared = {case: of for case, of in self._references.items() if case in turns and of in turns}
            alone = turns.keys() - compared.keys() - set(compared.values())
            series.extend(pair_nearest(turns[case], turns[of]) for case, of in compared.items())
            series.extend(np.log(turns[case].seconds) for case in alone)
        return series
