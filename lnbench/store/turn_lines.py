"""Turns from lines as a worker writes them, many at a time; whatever looks otherwise is left to the model itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic_core import from_json

from lnbench.amounts import LONGEST_S, MOST, MOST_FAULTS
from lnbench.events import PROBE_CASE, PROBED, SAMPLED, Turn
from lnbench.planned import PlannedCase
from lnbench.turns import WHOLE, Block, Layout

TURN_START = b'{"event":"turn",'
"""How the line of a turn begins."""

_FIELDS = tuple(Turn.model_fields)
_KNOWN = frozenset((*SAMPLED, *PROBED))
_PARTS = ("whole", "calls", "started_s", "wall_s", "device_s", "faults")


class _Pending:
    """Turns of one layout whose numbers are not yet judged, row by row."""

    __slots__ = ("calls", "device_s", "faults", "places", "started_s", "wall_s", "whole")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.whole: list[Any] = []
        self.calls: list[Any] = []
        self.started_s: list[Any] = []
        self.wall_s: list[Any] = []
        self.device_s: list[Any] = []
        self.faults: list[Any] = []


class PlainTurns:
    """A chunk of turns on the way into columns.

    One by one through the model they take three times as long as parsing them, which a million of them make felt. The
    same is refused: names at once, numbers and places in the plan when the chunk is judged.
    """

    def __init__(self, cases: Sequence[PlannedCase], *, workloads: int) -> None:
        # The last entry stands for the probe, whose case is -1.
        self._workloads_of = np.array([*(case.workload for case in cases), -1], dtype=np.int64)
        self._workloads = workloads
        self._pending: dict[tuple[Any, ...], _Pending] = {}

    def add(self, line: bytes, *, place: int) -> bool:
        """Take a line's numbers; False for what is not written like a turn of this version."""
        try:
            turn = from_json(line)
            calls, wall_s, device_s, faults = turn["calls"], turn["wall_s"], turn["device_s"], turn["faults"]
            key = (tuple(turn), tuple(calls), tuple(wall_s), tuple(device_s), tuple(faults))
            pending = self._pending.get(key)
            if pending is None:
                if key[0] != _FIELDS or not _KNOWN.issuperset(name for part in key[1:] for name in part):
                    return False
                pending = self._pending[key] = _Pending()
            values = calls.values(), wall_s.values(), device_s.values(), faults.values()
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        if turn["event"] != "turn":  # a key that stands twice
            return False
        pending.places.append(place)
        pending.whole += (turn["process"], turn["workload"], turn["round"], turn["case"], turn["uncounted"])
        pending.started_s.append(turn["started_s"])
        pending.calls += values[0]
        pending.wall_s += values[1]
        pending.device_s += values[2]
        pending.faults += values[3]
        return True

    def judged(self) -> dict[Layout, Block] | None:
        """The chunk as blocks, and an empty chunk in its place; None where a number is not what it must be."""
        pending, self._pending = self._pending, {}
        found: dict[Layout, Block] = {}
        for (_, *names), rows in pending.items():
            block = found[Layout(*names)] = Block()
            try:
                block.places.extend(rows.places)
                for part in _PARTS:
                    getattr(block, part).extend(getattr(rows, part))
            except (TypeError, OverflowError):
                return None
            if not self._is_sound(block):
                return None
        return found

    def _is_sound(self, block: Block) -> bool:
        counts, calls = block.rows("whole"), block.rows("calls")
        workload, case = (counts[:, WHOLE.index(name)] for name in ("workload", "case"))
        others = np.delete(counts, WHOLE.index("case"), axis=1)
        if not (_within(others, 0, MOST) and _within(calls, 0, MOST)):
            return False
        if not (_within(workload, 0, self._workloads - 1) and _within(case, PROBE_CASE, len(self._workloads_of) - 2)):
            return False
        if not np.all((case == PROBE_CASE) | (self._workloads_of[case] == workload)):
            return False
        times = (block.rows(part) for part in ("started_s", "wall_s", "device_s"))
        return all(_within(found, 0.0, LONGEST_S) for found in times) and _within(
            block.rows("faults"), 0.0, MOST_FAULTS
        )


def _within(values: Any, low: float, high: float) -> bool:
    """True when all lie between the bounds, which no NaN does."""
    return bool(np.all((values >= low) & (values <= high)))
