"""What one turn gave: its samples of every kind, side by side, and the events that report them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

from lnbench.events import Turn
from lnbench.undisturbed import waited
from lnbench.worker.calls import Block
from lnbench.worker.wakeups import WakeupCosts
from lnbench.workload import Clock


@dataclass
class Samples:
    """One sample of each kind from a turn, as a `Turn` keeps it.

    `whole_s`: what each took in all, by kind. `looked_s`: when the looks before and after it were taken.
    """

    calls: dict[str, int] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)
    device_s: dict[str, float] = field(default_factory=dict)
    batch_s: dict[str, float] = field(default_factory=dict)
    graph_s: dict[str, float] = field(default_factory=dict)
    faults: dict[str, float] = field(default_factory=dict)
    delay_s: dict[str, float] = field(default_factory=dict)
    wakeups: dict[str, int] = field(default_factory=dict)
    involuntary: dict[str, int] = field(default_factory=dict)
    voluntary: dict[str, int] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    device_calls: dict[str, int] = field(default_factory=dict)
    batch_calls: dict[str, int] = field(default_factory=dict)
    graph_calls: dict[str, int] = field(default_factory=dict)
    whole_s: dict[str, float] = field(default_factory=dict)
    looked_s: dict[str, tuple[float, float]] = field(default_factory=dict)

    def disturbed(self, costs: WakeupCosts, *, wakeup_s: float) -> set[str]:
        """The kinds in which threads waited for a core. `wakeup_s`: what a wake-up costs on this machine."""
        return {
            kind
            for kind, involuntary in self.involuntary.items()
            if waited(
                self.delay_s.get(kind),
                self.whole_s[kind],
                wakeups=self.wakeups.get(kind, 0),
                involuntary=involuntary,
                wakeup_s=wakeup_s,
                own_s=costs.least_s(kind),
            )
        }


@dataclass
class TurnSamples:
    """What one turn gave that began at `begun_s`.

    `reach_s`: how long before it a thread had waited that first ran in it.
    """

    samples: list[Samples]
    begun_s: float
    uncounted: int = 0
    reach_s: float = 0.0
    steal_s: float = 0.0

    @classmethod
    def empty(cls, samples: int, *, now: Callable[[], float] = perf_counter) -> "TurnSamples":
        """With room for so many samples of each kind; a kind of long calls may take fewer."""
        return cls([Samples() for _ in range(samples)], now())

    def add(self, kind: str, block: Block, *, calls: int) -> None:
        """Take the samples of a kind. A wait that reaches back beyond a look disturbs the samples before it, too."""
        self.uncounted += block.uncounted
        if block.waiting_since_s is not None:
            self._reach_back(block.waiting_since_s)
        for into, taken in zip(self.samples, block.taken, strict=False):
            into.calls[kind] = calls
            for clock in Clock:
                seconds = getattr(taken.sample, clock.field)
                getattr(into, clock.field).update(seconds)
                if seconds and clock is not Clock.WALL:
                    getattr(into, clock.calls_field)[kind] = getattr(taken.sample, clock.calls_field)
            into.faults[kind] = taken.faults / calls
            if taken.usage is not None:
                if taken.usage.delay_s is not None:
                    into.delay_s[kind] = taken.usage.delay_s
                    into.wakeups[kind] = taken.usage.wakeups
                into.involuntary[kind] = taken.usage.involuntary
                into.voluntary[kind] = taken.usage.voluntary
                into.cpu_s[kind] = max(taken.cpu_s, 0.0)
                if taken.usage.reach_s > 0:
                    self._reach_back(taken.looked_s[0] - taken.usage.reach_s)
            into.whole_s[kind] = (taken.call_s or 0.0) * calls
            into.looked_s[kind] = taken.looked_s

    def _reach_back(self, since_s: float) -> None:
        """Some thread had been waiting since then: the samples of this turn that ended later were disturbed, too."""
        for sample in self.samples:
            for kind, (before, after) in sample.looked_s.items():
                if after > since_s and kind in sample.delay_s:
                    sample.delay_s[kind] += after - max(before, since_s)
        self.reach_s = max(self.reach_s, self.begun_s - since_s)

    def events(
        self, *, process: int, workload: int, number: int, case: int, started_s: float, with_faults: bool
    ) -> Iterator[Turn]:
        """An event for each sample; what belongs to the whole turn stands in the first."""
        for place, taken in enumerate(it for it in self.samples if it.calls):
            yield Turn(
                process=process,
                workload=workload,
                round=number,
                case=case,
                started_s=started_s,
                sample=place,
                uncounted=0 if place else self.uncounted,
                **{field: getattr(taken, field) for clock in Clock for field in (clock.field, clock.calls_field)},
                faults=taken.faults if with_faults else {},
                delay_s=taken.delay_s,
                wakeups=taken.wakeups,
                involuntary=taken.involuntary,
                voluntary=taken.voluntary,
                cpu_s=taken.cpu_s,
                steal_s=self.steal_s,
                reach_s=0.0 if place else self.reach_s,
            )
