"""What a check can tell apart before it runs, from how far processes lay apart in a baseline or in a short pilot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtr, stdtrit

from lnbench.across import PooledVariance, Spread, moderated
from lnbench.contrasts import Contrast
from lnbench.multiplicity import FALSE_DISCOVERIES, FAMILY_ERROR
from lnbench.sides import RowKey
from lnbench.stats import LEVEL, finite_values

WANTED_CHANCE = 0.8
"""A slowdown counts as caught when it is confirmed at least so often."""

CLEAR_SHARE = 5 / 3
"""The slowdown that has to be caught, as a share of the margin: 5 % at a margin of 3 %."""

MOST_PROCESSES = 100
_LARGEST_SLOWDOWN = 10.0


@dataclass(frozen=True, slots=True)
class Power:
    """What a check is expected to tell about one row. Widths and slowdowns are relative: 0.05 reads 5 %.

    `deviation`: from process to process, moderated as in a verdict. `half_width`: of the slowdown's 95 % interval.
    `resolves`: identical work can be called the same, and work slower by 5/3 of the margin is confirmed in at least
    80 % of checks. `chance_5`, `chance_10`: of confirming +5 and +10 %. `smallest`: the least slowdown confirmed in
    80 % of checks; None above 10x. `processes`: how many a side it takes to resolve; None where 100 do not suffice.
    """

    key: RowKey
    margin: float
    deviation: float
    half_width: float
    resolves: bool
    chance_5: float
    chance_10: float
    smallest: float | None
    processes: int | None


@dataclass(frozen=True, slots=True)
class _Design:
    """One row's variances, and what it is up against: `rivals` other rows among which it is judged."""

    own: float
    own_freedom: int
    pooled: PooledVariance | None
    margin: float
    rows: int
    is_paired: bool

    def resolves(self, base: int, head: int) -> bool:
        return (
            self.half_width(base, head) <= math.log1p(self.margin)
            and self.chance(CLEAR_SHARE * self.margin, base, head) >= WANTED_CHANCE
        )

    def half_width(self, base: int, head: int) -> float:
        error, freedom = self._error(base, head)
        return error * float(stdtrit(freedom, (1 + LEVEL) / 2))

    def chance(self, slowdown: float, base: int, head: int) -> float:
        """That a row slower by this, alone among all, is screened and then confirmed.

        The standard error is taken as known in the bounds that the estimate has to pass, and the stages as independent;
        a shared baseline makes the second agree with the first more often than that.
        """
        error, freedom = self._error(base, head)
        truth, bound = math.log1p(slowdown), math.log1p(self.margin)
        if error == 0:
            return float(truth > bound)
        chance = 1.0
        # Both stages also ask for a 95 % interval wholly above 1.
        confirming = FAMILY_ERROR if self.is_paired else FAMILY_ERROR / self.rows
        for level in (min(FALSE_DISCOVERIES / self.rows, (1 - LEVEL) / 2), confirming):
            needed = max(bound, error * float(stdtrit(freedom, 1 - level)))
            chance *= float(stdtr(freedom, (truth - needed) / error))
        return chance

    def _grown(self, count: int) -> int:
        """The pooled variance's degrees of freedom with so many processes instead of those that were measured."""
        assert self.pooled is not None  # asked only where there is one
        return max(self.pooled.degrees_of_freedom * (count - 1) // self.own_freedom, 1)

    def _error(self, base: int, head: int) -> tuple[float, float]:
        """The slowdown's standard error and its degrees of freedom, with so many processes on either side."""
        parts: list[tuple[float, float]] = []
        for count in (head,) if self.is_paired else (base, head):
            pooled = self.pooled and replace(self.pooled, degrees_of_freedom=self._grown(count))
            variance, freedom = moderated(self.own, count - 1, pooled)
            parts.append((variance / count, freedom))
        variance = math.fsum(part for part, _ in parts)
        squares = math.fsum(part**2 / freedom for part, freedom in parts)
        return math.sqrt(variance), variance**2 / squares if squares else float(parts[0][1])


def power_of(contrasts: Sequence[Contrast], *, processes: int) -> list[Power]:
    """The power of each row that can be judged, with `processes` on the side that is going to be measured.

    A contrast between two runs is known by its base alone, and head is expected to lie as far apart.
    """
    open_ones = [contrast for contrast in contrasts if contrast.finding is None]
    spread = Spread()
    for contrast in open_ones:
        spread.add(contrast.kind, contrast.key, _known(contrast))
    return [
        _power(contrast, spread, processes, rows=len(open_ones)) for contrast in open_ones if len(_known(contrast)) > 1
    ]


def _known(contrast: Contrast) -> list[float]:
    """The locations that tell how far processes lie apart."""
    return list((contrast.base or contrast.head).values())


def _power(contrast: Contrast, spread: Spread, processes: int, *, rows: int) -> Power:
    known = finite_values(_known(contrast))
    pooled = spread.without(contrast.kind, contrast.key)
    design = _Design(
        own=float(known.var(ddof=1)),
        own_freedom=len(known) - 1,
        pooled=pooled,
        margin=contrast.margin,
        rows=rows,
        is_paired=contrast.is_paired,
    )
    base = len(known)
    variance, _ = moderated(design.own, design.own_freedom, pooled)
    enough = (count for count in range(3, MOST_PROCESSES + 1) if design.resolves(count, count))
    return Power(
        key=contrast.key,
        margin=contrast.margin,
        deviation=math.expm1(math.sqrt(variance)),
        half_width=math.expm1(design.half_width(base, processes)),
        resolves=design.resolves(base, processes),
        chance_5=design.chance(0.05, base, processes),
        chance_10=design.chance(0.10, base, processes),
        smallest=_smallest(design, base, processes),
        processes=next(enough, None),
    )


def _smallest(design: _Design, base: int, head: int) -> float | None:
    """The least slowdown that is confirmed with the wanted chance, to a tenth of a percent."""
    low, high = 0.0, _LARGEST_SLOWDOWN
    if design.chance(high, base, head) < WANTED_CHANCE:
        return None
    while high - low > 5e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if design.chance(middle, base, head) >= WANTED_CHANCE else (middle, high)
    return high
