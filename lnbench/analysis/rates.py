"""Counts as rates, with the bounds that so few trials allow."""

from dataclasses import dataclass
from typing import NamedTuple

from lnbench.stats import LEVEL


class RateBounds(NamedTuple):
    """The bounds of a rate."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened: `hits` of `trials`."""

    hits: int
    trials: int

    @property
    def value(self) -> float | None:
        """The share of hits; None without trials."""
        return self.hits / self.trials if self.trials else None

    def bounds(self, *, level: float = LEVEL) -> RateBounds:
        """The exact interval of Clopper and Pearson (1934, Biometrika 26:404); 0 to 1 without trials."""
        from scipy.stats import binomtest

        if not self.trials:
            return RateBounds(0.0, 1.0)
        found = binomtest(self.hits, self.trials).proportion_ci(level, method="exact")
        return RateBounds(float(found.low), float(found.high))

    def __add__(self, other: "Rate") -> "Rate":
        return Rate(self.hits + other.hits, self.trials + other.trials)
