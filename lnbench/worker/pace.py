"""How long samples are, and how many a turn takes: fewer calls a sample while other processes want the cores."""

from dataclasses import dataclass

WANTED_SHARE = 0.8
"""Of the samples that should be undisturbed. The chance of no delay falls with duration, so the fewer are kept, the
more what is kept is tilted to short ones."""

EASY_SHARE = 0.95
"""From which share on samples become longer again: of twice the length about its square is undisturbed."""

SHORTEST_SAMPLE_S = 250e-6
"""Below it the call after a look, which finds caches colder, and the look itself (30 us in a worker) begin to count."""

MOST_SAMPLES = 8
"""In one turn, of each kind; so many of the shortest take as long as one of the longest."""

WINDOW = 24
"""Samples that are looked at before the pace changes: the share is then known to about 8 in 100."""

LEAST_WINDOW = 6
LONGEST_WINDOW_S = 0.2
"""Fewer are enough to shorten them where they take so long: on a busy machine one sample may take 100 ms."""

CROWDED_SAMPLES = 4
"""A turn takes from the start where other processes are known to want the cores."""


@dataclass(slots=True)
class Pace:
    """The length of samples, the same for all cases of a workload; it changes between rounds only.

    `full_s`: their length on a quiet machine, where a turn takes one of each kind. While fewer than WANTED_SHARE of the
    samples are undisturbed the length is halved and their number doubled, so that a turn counts about as many calls.
    `is_crowded`: other processes want the cores; a sample may then be a single call.
    """

    full_s: float
    sample_s: float = 0.0
    samples: int = 1
    is_crowded: bool = False
    _taken: int = 0
    _kept: int = 0
    _seconds: float = 0.0

    def __post_init__(self) -> None:
        self.sample_s = self.sample_s or self.full_s

    def samples_of(self, seconds: float) -> int:
        """How many samples of this length a turn takes: about as many as fit, for long calls fewer."""
        return min(max(round(self.full_s / max(seconds, 1e-9)), 1), self.samples)

    def begin_crowded(self) -> None:
        """Start with shorter samples, where other processes are known to want the cores."""
        self.is_crowded = True
        self._set(max(self.full_s / CROWDED_SAMPLES, min(SHORTEST_SAMPLE_S, self.full_s)))

    def note(self, *, taken: int, kept: int, seconds: float = 0.0) -> None:
        """Count the samples of a round that took `seconds`, and the undisturbed ones; then choose the next length."""
        self._taken += taken
        self._kept += kept
        self._seconds += seconds
        takes_long = self._taken >= LEAST_WINDOW and self._seconds >= LONGEST_WINDOW_S
        if self._taken < WINDOW and not (takes_long and self._kept < WANTED_SHARE * self._taken):
            return
        share = self._kept / self._taken
        if share < WANTED_SHARE:
            self.is_crowded = True
            self._set(max(self.sample_s / 2, min(SHORTEST_SAMPLE_S, self.full_s)))
        elif share > EASY_SHARE:
            self.is_crowded = self.is_crowded and self.sample_s < self.full_s
            self._set(min(2 * self.sample_s, self.full_s))
        self._taken = self._kept = 0
        self._seconds = 0.0

    def _set(self, sample_s: float) -> None:
        self.sample_s = sample_s
        self.samples = min(max(round(self.full_s / sample_s), 1), MOST_SAMPLES)
