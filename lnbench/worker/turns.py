"""Who takes a turn when: shuffled, counterbalanced rounds in which what is compared stands close in time."""

from collections.abc import Mapping, Sequence
from random import Random

MOST_BETWEEN_REFERENCES_S = 0.1
"""The longest that others take turns before the reference takes another one. Over longer stretches the machine's speed
drifts by more than a comparison should carry."""


class TurnOrder:
    """The order of each round. Every second round is the round before, reversed, so that drift cancels in pairs.

    `references`: the case that each other one is compared with. A reference and all that are compared with it are a
    family: families are shuffled, and the members within each, so that what is compared stands side by side.
    """

    def __init__(self, cases: Sequence[int], *, references: Mapping[int, int], seed: int) -> None:
        self._cases = list(cases)
        self._references = {case: of for case, of in references.items() if case in self._cases and of in self._cases}
        self._random = Random(seed)
        self._last: list[int] | None = None

    def drop(self, case: int) -> None:
        """Leave a case out from now on; those that were compared with it stand for themselves."""
        self._cases.remove(case)
        self._references = {it: of for it, of in self._references.items() if case not in (it, of)}
        self._last = None

    def next_round(self, expected_s: Mapping[int, float]) -> list[int]:
        """The case numbers in turn; a reference stands in it several times when its family takes long.

        `expected_s`: how long each case's turn takes.
        """
        if self._last is not None:
            order, self._last = self._last[::-1], None
        else:
            order = [case for family in self._shuffled_families() for case in family]
            self._last = order
        return self._with_more_references(order, expected_s)

    def _shuffled_families(self) -> list[list[int]]:
        families: dict[int, list[int]] = {}
        for case in self._cases:
            families.setdefault(self._references.get(case, case), []).append(case)
        drawn = [self._random.sample(family, len(family)) for family in families.values()]
        return self._random.sample(drawn, len(drawn))

    def _with_more_references(self, order: list[int], expected_s: Mapping[int, float]) -> list[int]:
        placed: list[int] = []
        since, last_reference = 0.0, None
        for case in order:
            reference = self._references.get(case)
            turn = expected_s.get(case, 0.0)
            room = max(MOST_BETWEEN_REFERENCES_S, 3 * expected_s.get(reference, 0.0)) if reference is not None else 0.0
            family = case if reference is None else reference
            if family != last_reference:
                since, last_reference = 0.0, family
            if reference is None:
                since = 0.0
            elif since > 0 and since + turn > room:
                placed.append(reference)
                since = turn
            else:
                since += turn
            if not (reference is None and placed and placed[-1] == case):
                placed.append(case)
        return placed
