"""Who takes a turn when: shuffled, counterbalanced rounds in which what is compared stands close in time."""

from collections.abc import Mapping, Sequence
from random import Random

MOST_BETWEEN_REFERENCES_S = 0.1
"""The longest that others take turns before the reference takes another one. Over longer stretches the machine's speed
drifts by more than a comparison should carry."""


class TurnOrder:
    """The order of each round. Every second round is the round before, reversed, so that drift cancels in pairs."""

    def __init__(self, cases: Sequence[int], *, reference: int | None, seed: int) -> None:
        self._cases = list(cases)
        self._reference = reference
        self._random = Random(seed)
        self._last: list[int] | None = None

    def drop(self, case: int) -> None:
        """Leave a case out from now on."""
        self._cases.remove(case)
        self._last = None

    def next_round(self, expected_s: Mapping[int, float]) -> list[int]:
        """The case numbers in turn; the reference stands in it several times when the round is long.

        `expected_s`: how long each case's turn takes.
        """
        if self._last is not None:
            order, self._last = self._last[::-1], None
        else:
            order = self._random.sample(self._cases, len(self._cases))
            self._last = order
        return self._with_more_references(order, expected_s)

    def _with_more_references(self, order: list[int], expected_s: Mapping[int, float]) -> list[int]:
        reference = self._reference
        if reference is None or reference not in order:
            return list(order)
        room = max(MOST_BETWEEN_REFERENCES_S, 3 * expected_s.get(reference, 0.0))
        placed: list[int] = []
        since = 0.0
        for case in order:
            turn = expected_s.get(case, 0.0)
            if case == reference:
                since = 0.0
            elif since > 0 and since + turn > room:
                placed.append(reference)
                since = turn
            else:
                since += turn
            if not (case == reference and placed and placed[-1] == reference):
                placed.append(case)
        return placed
