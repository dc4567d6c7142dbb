"""Many tests at once: which of them still say something. P values in, one answer per test out, in the same order."""

from collections.abc import Callable, Sequence

import numpy as np

from lnbench.stats import finite_values

FALSE_DISCOVERIES = 0.05
"""The share of rows called slower (and of those called faster) that may be so by chance."""

FAMILY_ERROR = 0.025
"""The chance that a check confirms any slowdown that is none: one side of the 95 % intervals."""

Correction = Callable[[Sequence[float]], list[bool]]


def false_discovery(p_values: Sequence[float], *, rate: float = FALSE_DISCOVERIES) -> list[bool]:
    """Benjamini and Hochberg's step-up: of the tests chosen, on average at most `rate` are true hypotheses.

    Source: Benjamini, Hochberg 1995, Journal of the Royal Statistical Society B 57:289.
    Raises ValueError for a p value outside 0 to 1.
    """
    from scipy.stats import false_discovery_control

    found = _checked(p_values)
    if not len(found):
        return []
    return [bool(chosen) for chosen in false_discovery_control(found, method="bh") <= rate]


def holm(p_values: Sequence[float], *, level: float = FAMILY_ERROR, among: int | None = None) -> list[bool]:
    """Holm's step-down: the chance that any of the tests chosen is a true hypothesis is at most `level`.

    `among`: how many tests these were selected from, where the selection saw part of the same samples.
    Source: Holm 1979, Scandinavian Journal of Statistics 6:65.
    Raises ValueError for a p value outside 0 to 1, or when `among` is fewer than the tests.
    """
    found = _checked(p_values)
    count = len(found) if among is None else among
    if count < len(found):
        raise ValueError(f"{len(found)} tests can't be selected from {count}")
    chosen = [False] * len(found)
    for rank, number in enumerate(np.argsort(found, kind="stable").tolist()):
        if found[number] > level / (count - rank):
            break
        chosen[number] = True
    return chosen


def _checked(p_values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = finite_values(p_values)
    if len(found) and not (found.min() >= 0 and found.max() <= 1):
        raise ValueError(f"a p value of {found.min() if found.min() < 0 else found.max():g}: they lie between 0 and 1")
    return found.reshape(-1)
