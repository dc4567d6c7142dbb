"""Turns as columns: a million of them do not fit as objects, and no statistic looks at one alone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnbench.events import Turn
from lnbench.workload import Clock

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WHOLE = ("process", "workload", "round", "case", "uncounted", "sample")
"""The whole numbers that every turn has."""

REAL = ("started_s", "steal_s", "reach_s")
"""The seconds that every turn has, beside its samples."""

_MOST_SINGLE = 4096
"""So many turns of a layout stay objects until they are made columns."""

_NO_CALLS = -1
"""Stands for a count that a turn does not have."""


class Layout(NamedTuple):
    """What a turn has samples of; turns of one layout have the same numbers in the same order."""

    calls: tuple[str, ...]
    wall_s: tuple[str, ...]
    device_s: tuple[str, ...]
    faults: tuple[str, ...]
    delay_s: tuple[str, ...] = ()
    wakeups: tuple[str, ...] = ()
    involuntary: tuple[str, ...] = ()
    voluntary: tuple[str, ...] = ()
    cpu_s: tuple[str, ...] = ()
    device_calls: tuple[str, ...] = ()
    batch_s: tuple[str, ...] = ()
    batch_calls: tuple[str, ...] = ()
    graph_s: tuple[str, ...] = ()
    graph_calls: tuple[str, ...] = ()


COUNTS = frozenset({"wakeups", "involuntary", "voluntary", *(clock.calls_field for clock in Clock)})
"""The parts of a layout whose values are whole numbers."""

USAGE = ("delay_s", "wakeups", "involuntary", "voluntary", "cpu_s")
"""The parts of a layout that record what the scheduler did during a sample."""


class Block(NamedTuple):
    """Turns of one layout: a value, or a row of values, for each. `places`: their numbers among all events."""

    places: Ints
    whole: Ints
    real: Floats
    calls: Ints
    wall_s: Floats
    device_s: Floats
    faults: Floats
    delay_s: Floats
    wakeups: Ints
    involuntary: Ints
    voluntary: Ints
    cpu_s: Floats
    device_calls: Ints
    batch_s: Floats
    batch_calls: Ints
    graph_s: Floats
    graph_calls: Ints


def block_of(turns: Sequence[tuple[int, Turn]]) -> Block:
    """Turns of one layout, each with its place, as a block."""

    def rows(values: Iterable[Iterable[float]], dtype: type) -> NDArray[Any]:
        return np.array([list(row) for row in values], dtype=dtype).reshape(len(turns), -1)

    return Block(
        places=np.array([place for place, _ in turns], dtype=np.int64),
        whole=rows(([getattr(turn, name) for name in WHOLE] for _, turn in turns), np.int64),
        real=rows(([getattr(turn, name) for name in REAL] for _, turn in turns), np.float64),
        **{
            part: rows((getattr(turn, part).values() for _, turn in turns), np.int64 if part in COUNTS else np.float64)
            for part in Layout._fields
        },
    )


class TurnBlocks:
    """Turns on their way into columns."""

    def __init__(self) -> None:
        self._blocks: dict[Layout, list[Block]] = defaultdict(list)
        self._single: dict[Layout, list[tuple[int, Turn]]] = defaultdict(list)

    def add(self, turn: Turn, *, place: int) -> None:
        """Take one turn."""
        layout = Layout(*(tuple(getattr(turn, part)) for part in Layout._fields))
        self._single[layout].append((place, turn))
        if len(self._single[layout]) >= _MOST_SINGLE:
            self._blocks[layout].append(block_of(self._single.pop(layout)))

    def add_block(self, layout: Layout, block: Block) -> None:
        """Take many turns of one layout."""
        self._blocks[layout].append(block)

    def columns(self) -> "TurnColumns":
        """All that were taken."""
        for layout, turns in self._single.items():
            self._blocks[layout].append(block_of(turns))
        self._single.clear()
        blocks = {
            layout: Block(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
            for layout, found in self._blocks.items()
        }
        return TurnColumns(blocks)


class TurnColumns:
    """The turns of a run in the order in which they were taken; one value a turn in every column.

    `places`: their numbers among all events. Where a turn has none, in `calls` and `clock_calls` -1, and in samples,
    `faults` and `usage` NaN. A turn of several samples stands here once for each of them.
    """

    def __init__(self, blocks: Mapping[Layout, Block]) -> None:
        places = _joined(block.places for block in blocks.values())
        order = np.argsort(places, kind="stable")
        self.places = places[order]
        self.process, self.workload, self.round, self.case, self.uncounted, self.sample = (
            _joined(block.whole[:, column] for block in blocks.values())[order] for column in range(len(WHOLE))
        )
        self.started_s, self.steal_s, self.reach_s = (
            _joined(block.real[:, column] for block in blocks.values())[order] for column in range(len(REAL))
        )
        self.clock_calls: Mapping[Clock, Mapping[str, Ints]] = {
            clock: dict(_columns(blocks, clock.calls_field, order, missing=_NO_CALLS)) for clock in Clock
        }
        self.calls = self.clock_calls[Clock.WALL]
        self.samples: Mapping[Clock, Mapping[str, Floats]] = {
            clock: dict(_columns(blocks, clock.field, order)) for clock in Clock
        }
        self.faults: Mapping[str, Floats] = dict(_columns(blocks, "faults", order))
        self.usage: Mapping[str, Mapping[str, Floats]] = {
            part: {
                name: np.where(column == _NO_CALLS, np.nan, column) if part in COUNTS else column
                for name, column in _columns(blocks, part, order, missing=_NO_CALLS if part in COUNTS else np.nan)
            }
            for part in USAGE
        }

    def __len__(self) -> int:
        return len(self.places)

    def taken(self, numbers: Ints, *, places: Ints) -> "TurnColumns":
        """These turns alone, at other places."""
        found = copy(self)
        found.places = places
        for name in (*WHOLE, *REAL):
            setattr(found, name, getattr(self, name)[numbers])
        found.clock_calls = {
            clock: {name: column[numbers] for name, column in columns.items()}
            for clock, columns in self.clock_calls.items()
        }
        found.calls = found.clock_calls[Clock.WALL]
        found.faults = {name: column[numbers] for name, column in self.faults.items()}
        found.samples = {
            clock: {name: column[numbers] for name, column in samples.items()}
            for clock, samples in self.samples.items()
        }
        found.usage = {
            part: {name: column[numbers] for name, column in columns.items()} for part, columns in self.usage.items()
        }
        return found

    def turn(self, number: int) -> Turn:
        """One of them as the event that it was."""
        usage: dict[str, Any] = {
            part: {name: int(value) if part in COUNTS else value for name, value in _present(columns, number).items()}
            for part, columns in self.usage.items()
        }
        times: dict[str, Any] = {clock.field: _present(self.samples[clock], number) for clock in Clock}
        calls: dict[str, Any] = {clock.calls_field: _counted(self.clock_calls[clock], number) for clock in Clock}
        return Turn.model_construct(
            process=int(self.process[number]),
            workload=int(self.workload[number]),
            round=int(self.round[number]),
            case=int(self.case[number]),
            sample=int(self.sample[number]),
            started_s=float(self.started_s[number]),
            steal_s=float(self.steal_s[number]),
            reach_s=float(self.reach_s[number]),
            **calls,
            uncounted=int(self.uncounted[number]),
            **times,
            faults=_present(self.faults, number),
            **usage,
        )

    def by_case(self) -> dict[tuple[int, int], Ints]:
        """The numbers of the turns of each (workload, case), in order."""
        if not len(self):
            return {}
        order = np.lexsort((self.case, self.workload))  # it is stable: each group stays in order
        workload, case = self.workload[order], self.case[order]
        starts = np.flatnonzero((workload[1:] != workload[:-1]) | (case[1:] != case[:-1])) + 1
        return {(int(self.workload[found[0]]), int(self.case[found[0]])): found for found in np.split(order, starts)}


def _joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    found = list(parts)
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _columns(
    blocks: Mapping[Layout, Block], part: str, order: Ints, *, missing: float = np.nan
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each sample of one part of the turns by its name."""
    found: Sequence[tuple[tuple[str, ...], NDArray[Any]]] = [
        (getattr(layout, part), getattr(block, part)) for layout, block in blocks.items()
    ]
    for name in dict.fromkeys(name for names, _ in found for name in names):
        columns = (
            rows[:, names.index(name)] if name in names else np.full(len(rows), missing, rows.dtype)
            for names, rows in found
        )
        yield name, _joined(columns)[order]


def _counted(columns: Mapping[str, Ints], number: int) -> dict[str, int]:
    return {name: int(column[number]) for name, column in columns.items() if column[number] != _NO_CALLS}


def _present(columns: Mapping[str, Floats], number: int) -> dict[str, float]:
    return {name: float(column[number]) for name, column in columns.items() if not np.isnan(column[number])}
