"""When the rounds of a workload may stop: every speedup, and every time that is compared with nothing, is known."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lnbench.pairing import Turns, pair_nearest
from lnbench.stats import FloatArray, is_precise
from lnbench.workload import Phase


@dataclass
class _Kept:
    """What the turns of one case gave so far, in the phases that it has."""

    phases: tuple[Phase, ...]
    rounds: list[int] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    times: dict[Phase, list[float]] = field(default_factory=lambda: defaultdict(list))

    def turns(self, phase: Phase) -> Turns:
        return Turns(self.rounds, self.started_s, self.times[phase])


class StoppingRule:
    """Keeps the times of the cases that decide, and says when they are known to `precision`.

    `cases`: the phases that each of them has. `references`: the case that each other one is compared with, if both are
    among the cases.
    """

    def __init__(
        self, cases: Mapping[int, tuple[Phase, ...]], *, references: Mapping[int, int], precision: float
    ) -> None:
        self._kept = {case: _Kept(phases) for case, phases in cases.items()}
        self._references = references
        self._precision = precision

    def keep(self, case: int, number: int, *, started_s: float, seconds: Mapping[str, float]) -> None:
        """Take the samples of a turn in a round; a turn that lacks one says nothing."""
        kept = self._kept.get(case)
        if kept is None or not all(phase in seconds for phase in kept.phases):
            return
        kept.rounds.append(number)
        kept.started_s.append(started_s)
        for phase in kept.phases:
            kept.times[phase].append(seconds[phase])

    def forget_rounds(self, spoiled: range) -> None:
        """Leave spoiled rounds out; the journal keeps them, and readers drop them too."""
        if not spoiled:
            return
        for kept in self._kept.values():
            places = [place for place, number in enumerate(kept.rounds) if number not in spoiled]
            kept.rounds = [kept.rounds[place] for place in places]
            kept.started_s = [kept.started_s[place] for place in places]
            for phase, times in kept.times.items():
                kept.times[phase] = [times[place] for place in places]

    def drop(self, case: int) -> None:
        """Leave a case out from now on; those that were compared with it stand for themselves."""
        self._kept.pop(case, None)

    def is_precise(self) -> bool:
        """True when every interval is narrow enough."""
        if not self._kept or not all(kept.rounds for kept in self._kept.values()):
            return False
        series: list[FloatArray] = []
        for phase in Phase:
            turns = {case: kept.turns(phase) for case, kept in self._kept.items() if phase in kept.phases}
            compared = {case: of for case, of in self._references.items() if case in turns and of in turns}
            alone = turns.keys() - compared.keys() - set(compared.values())
            series.extend(pair_nearest(turns[case], turns[of]) for case, of in compared.items())
            series.extend(np.log(turns[case].seconds) for case in alone)
        return is_precise(series, precision=self._precision)
