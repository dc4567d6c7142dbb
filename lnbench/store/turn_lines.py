"""Turns from lines as a worker writes them, many at a time; whatever looks otherwise is left to the model itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from lnbench.amounts import LONGEST_S, MOST, MOST_FAULTS
from lnbench.events import PROBE_CASE, PROBED, SAMPLED, Turn
from lnbench.planned import PlannedCase
from lnbench.store.lines import FIRST_EVENT, Line
from lnbench.turns import COUNTS, REAL, USAGE, WHOLE, Block, Layout
from lnbench.workload import Clock

TURN_START = b'{"event":"turn",'
"""How the line of a turn begins."""

_KNOWN = frozenset((*SAMPLED, *PROBED))
_MAPS = Layout._fields
_FIELDS = ("event", *WHOLE, *REAL, *_MAPS)
_values = itemgetter(*_FIELDS)
assert set(_FIELDS) == set(Turn.model_fields)

_ADDED: Mapping[int, tuple[str, ...]] = {
    7: (*USAGE, "sample", "steal_s", "reach_s"),
    8: ("device_calls", "batch_s", "batch_calls", "graph_s", "graph_calls"),
}
"""What versions of the journal added to the line of a turn."""


def _defaults() -> Iterator[tuple[int, Mapping[str, Any]]]:
    """How many fields the lines of an older version have, and the values of those that they lack."""
    lacking: dict[str, Any] = {}
    for version in sorted(_ADDED, reverse=True):
        fields = Turn.model_fields
        lacking = lacking | {name: fields[name].get_default(call_default_factory=True) for name in _ADDED[version]}
        yield len(_FIELDS) - len(lacking), lacking


_DEFAULTS = dict(_defaults())


class PlainTurns:
    """Reads turns by the chunk. The same is refused as by the model: names at once, numbers when a chunk is judged.

    One by one through the model they take three times as long as parsing them, which a million of them make felt.
    """

    def __init__(self, cases: Sequence[PlannedCase], *, workloads: int) -> None:
        # The last entry stands for the probe, whose case is -1.
        self._workloads_of = np.array([*(case.workload for case in cases), PROBE_CASE], dtype=np.int64)
        self._workloads = workloads

    def read(self, lines: Iterable[Line]) -> tuple[dict[Layout, Block], list[Line]] | None:
        """The turns among so many lines in blocks, at their lines' numbers, and the lines that are read otherwise.

        None where a number is not what it must be.
        """
        chunk: dict[tuple[tuple[str, ...], ...], tuple[list[int], list[tuple[Any, ...]]]] = {}
        odd: list[Line] = []
        for number, line in lines:
            if line.startswith(TURN_START):
                try:
                    turn = from_json(line)
                    if len(turn) in _DEFAULTS:
                        turn = _DEFAULTS[len(turn)] | turn
                    values = _values(turn)
                    maps = values[-len(_MAPS) :]
                    key = tuple(map(tuple, maps))
                    rows = chunk.get(key)
                    if rows is None and _KNOWN.issuperset(chain.from_iterable(maps)):
                        rows = chunk[key] = [], []
                    # A key that stands twice could have made it another event, or hidden that one is missing.
                    if rows is not None and values[0] == "turn" and len(turn) == len(_FIELDS):
                        rows[0].append(number - FIRST_EVENT)
                        rows[1].append(values)
                        continue
                except (ValueError, KeyError, TypeError):
                    pass
            odd.append((number, line))
        try:
            blocks = {_layout(rows[0]): _block(places, rows) for places, rows in chunk.values() if rows}
        except (TypeError, ValueError):  # numpy raises the latter for a list among numbers
            return None
        return (blocks, odd) if all(map(self._is_sound, blocks.values())) else None

    def _is_sound(self, block: Block) -> bool:
        columns = dict(zip(WHOLE, block.whole.T, strict=True))
        case, workload = columns.pop("case"), columns.pop("workload")
        counts = (getattr(block, part) for part in COUNTS)
        if not all(_within(column, 0, MOST) for column in (*columns.values(), *counts)):
            return False
        if not (_within(workload, 0, self._workloads - 1) and _within(case, PROBE_CASE, len(self._workloads_of) - 2)):
            return False
        if not np.all((case == PROBE_CASE) | (self._workloads_of[case] == workload)):
            return False
        times = (block.real, block.delay_s, block.cpu_s, *(getattr(block, clock.field) for clock in Clock))
        return all(_within(found, 0.0, LONGEST_S) for found in times) and _within(block.faults, 0.0, MOST_FAULTS)


def _layout(row: tuple[Any, ...]) -> Layout:
    return Layout(*(tuple(part) for part in row[-len(_MAPS) :]))


def _block(places: Sequence[int], rows: Sequence[tuple[Any, ...]]) -> Block:
    """Turns of one layout. Raises TypeError for what is no number of its kind, or too large for one."""
    columns = list(zip(*rows, strict=True))[1:]  # the first is the event's name
    whole, real, maps = columns[: len(WHOLE)], columns[len(WHOLE) : -len(_MAPS)], columns[-len(_MAPS) :]
    return Block(
        places=np.array(places),
        whole=_checked(np.array(whole), "i", shape=(len(whole), len(rows))).T,
        real=_checked(np.array(real), "if", shape=(len(real), len(rows))).T,
        **{
            part: _checked(
                np.array(list(chain.from_iterable(map(dict.values, found)))),
                "i" if part in COUNTS else "if",
                shape=(len(rows) * len(found[0]),),
            ).reshape(len(rows), -1)
            for part, found in zip(_MAPS, maps, strict=True)
        },
    )


def _checked(values: NDArray[Any], kinds: str, *, shape: tuple[int, ...]) -> NDArray[Any]:
    """The values, if numpy found them to be of one of these kinds. It makes text of a mixture of numbers and text.

    Lists in the place of numbers give another shape than one number each.
    """
    if values.shape != shape or (values.size and values.dtype.kind not in kinds):
        raise TypeError(f"{values.dtype} of {values.shape} is not {shape} of {kinds}")
    return values.astype(np.int64 if kinds == "i" else np.float64, copy=False)


def _within(values: Any, low: float, high: float) -> bool:
    """True when all lie between the bounds, which no NaN does."""
    return bool(np.all((values >= low) & (values <= high)))
