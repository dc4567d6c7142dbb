"""The events of a run, in order, with the turns among them kept as columns."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

import numpy as np

from lnbench.events import AnyEvent, Turn
from lnbench.turns import TurnBlocks, TurnColumns


class EventLog(Sequence[AnyEvent]):
    """A sequence of events that makes turns anew when they are asked for one by one.

    `turns`: all turns. `others`: all that is no turn.
    """

    def __init__(self, turns: TurnColumns, others: Iterable[AnyEvent]) -> None:
        self.turns = turns
        self.others = tuple(others)

    @classmethod
    def of(cls, events: Iterable[AnyEvent]) -> "EventLog":
        """Events as a log; one that is a log already stays as it is."""
        if isinstance(events, EventLog):
            return events
        turns = TurnBlocks()
        others: list[AnyEvent] = []
        for place, event in enumerate(events):
            if isinstance(event, Turn):
                turns.add(event, place=place)
            else:
                others.append(event)
        return cls(turns.columns(), others)

    def __len__(self) -> int:
        return len(self.turns) + len(self.others)

    def __iter__(self) -> Iterator[AnyEvent]:
        others = iter(self.others)
        next_place = 0
        for number, place in enumerate(self.turns.places.tolist()):
            yield from islice(others, place - next_place)
            yield self.turns.turn(number)
            next_place = place + 1
        yield from others

    @overload
    def __getitem__(self, place: int) -> AnyEvent: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[AnyEvent]: ...

    def __getitem__(self, place: int | slice) -> AnyEvent | Sequence[AnyEvent]:
        if isinstance(place, slice):
            return tuple(self[number] for number in range(*place.indices(len(self))))
        place = range(len(self))[place]
        before = int(self.turns.places.searchsorted(place))
        if before < len(self.turns) and self.turns.places[before] == place:
            return self.turns.turn(before)
        return self.others[place - before]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # compared by value

    def chosen(self, processes: Container[int], *, keep: Callable[[AnyEvent], bool]) -> "EventLog":
        """The turns of these processes, and what else is to be kept."""
        kept = np.array([keep(event) for event in self.others], dtype=bool)
        known = np.unique(self.turns.process)
        wanted = known[[number in processes for number in known.tolist()]]
        numbers = np.flatnonzero(np.isin(self.turns.process, wanted))
        before = np.concatenate([[0], np.cumsum(kept)])[self.turns.places[numbers] - numbers]
        turns = self.turns.taken(numbers, places=before + np.arange(len(numbers)))
        return EventLog(turns, (event for event, is_kept in zip(self.others, kept, strict=True) if is_kept))
