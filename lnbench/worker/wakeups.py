"""What a wake-up costs a row in run-queue delay, as far as its samples have shown."""

from collections import defaultdict, deque

LEAST_SAMPLES = 10
"""Fewer have no least tenth."""

_MOST_SAMPLES = 100


class WakeupCosts:
    """The delay per wake-up of a case's last samples, by kind of call."""

    def __init__(self) -> None:
        self._found: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_MOST_SAMPLES))

    def note(self, kind: str, *, delay_s: float, wakeups: int) -> None:
        """Take a sample into account."""
        if wakeups:
            self._found[kind].append(delay_s / wakeups)

    def least_s(self, kind: str) -> float | None:
        """The cost in the least delayed tenth of samples; None before there are enough."""
        found = sorted(self._found[kind])
        return found[len(found) // 10] if len(found) >= LEAST_SAMPLES else None
