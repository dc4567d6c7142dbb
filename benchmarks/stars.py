"""How often does an equally fast rival miss its star? Simulated tables through the real rules.

    python benchmarks/stars.py --tables 1000

Log speedups vary between processes: 30 % of their variance is that of the reference, which all rivals share, and one
process in twenty is five times further off. `earlier`: the spread that one run of three processes and four workloads
shows, drawn anew for each table.
"""

import argparse
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from lnbench.across import Spread, across_processes
from lnbench.fastest import decide
from lnbench.planned import ProcessSpread, Status
from lnbench.stats import interval_within

SHARED = 0.3
ROUNDS, ROUND_SD = 60, 0.05
EARLIER_WORKLOADS, EARLIER_PROCESSES = 4, 3


def locations(
    draw: np.random.Generator, true: Sequence[float], processes: int, deviation: float
) -> NDArray[np.float64]:
    """Log speedups by rival and process."""

    def far(*shape: int) -> NDArray[np.float64]:
        return draw.standard_normal(shape) * deviation * np.where(draw.random(shape) < 0.05, 5, 1)

    shared, own = far(processes), far(len(true), processes)
    return np.array(true)[:, None] + math.sqrt(SHARED) * shared + math.sqrt(1 - SHARED) * own


def table(draw: np.random.Generator, true: Sequence[float], processes: int, deviation: float) -> list[SimpleNamespace]:
    """The rows of a table: the reference, then rivals of these true log speedups."""
    found = locations(draw, true, processes, deviation)
    if processes == 1:
        intervals = [interval_within(it[0] + ROUND_SD * draw.standard_normal(ROUNDS)) for it in found]
    else:
        found = found + 1.2533 * ROUND_SD / math.sqrt(ROUNDS) * draw.standard_normal(found.shape)
        spread = Spread()
        for number, it in enumerate(found):
            spread.add(None, number, it)
        intervals = [across_processes(it, pooled=spread.without(None, number)) for number, it in enumerate(found)]
    bounds = [(1.0, 1.0, 1.0), *(tuple(it.exp()) for it in intervals)]
    return [
        SimpleNamespace(
            case=number,
            status=Status.OK,
            speedup=value,
            speedup_low=low,
            speedup_high=high,
            speedup_processes=processes if number else None,
        )
        for number, (value, low, high) in enumerate(bounds)
    ]


def earlier_spread(draw: np.random.Generator, rivals: int, deviation: float) -> ProcessSpread:
    """What an earlier run shows of the spread between processes."""
    rows = [
        row for _ in range(EARLIER_WORKLOADS) for row in locations(draw, [0.0] * rivals, EARLIER_PROCESSES, deviation)
    ]
    pooled = math.sqrt(float(np.mean(np.var(rows, axis=1, ddof=1))))
    freedom = EARLIER_WORKLOADS * (EARLIER_PROCESSES - 1)
    return ProcessSpread(device_name="", deviation=pooled, freedom=freedom, runs=1)


def share(
    draw: np.random.Generator,
    true: Sequence[float],
    processes: int,
    deviation: float,
    *,
    tables: int,
    with_earlier: bool,
) -> tuple[float, float]:
    """Percent of tables in which one of the truly fastest has no star though another row has; and a lone star."""
    every = [0.0, *true]
    best = {number for number, it in enumerate(every) if it == max(every)}
    missed = alone = 0
    for _ in range(tables):
        spread = earlier_spread(draw, len(true), deviation) if with_earlier else None
        marked = {row.case for row in decide(table(draw, true, processes, deviation), spread=spread).fastest}
        missed += bool(marked) and not best <= marked
        alone += len(marked) == 1
    return 100 * missed / tables, 100 * alone / tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    draw = np.random.default_rng(asked.seed)
    scenarios = {
        "reference and 1 equal": [0.0],
        "reference and 3 equal": [0.0] * 3,
        "reference and 11 equal": [0.0] * 11,
        "one 5 % faster of 4": [0.05, 0.0, 0.0],
        "one 20 % faster of 4": [0.2, 0.0, 0.0],
    }
    print(f"{'':24}{'processes':>10}{'earlier':>9}{'sd':>6}{'a fastest one misses':>23}{'one star alone':>16}")
    for name, true in scenarios.items():
        for processes, with_earlier in ((1, False), (1, True), (3, False)):
            for deviation in (0.01, 0.02, 0.04):
                missed, alone = share(draw, true, processes, deviation, tables=asked.tables, with_earlier=with_earlier)
                earlier = "run" if with_earlier else "none"
                print(
                    f"{name:24}{processes:>10}{earlier:>9}{100 * deviation:>4.0f} %{missed:>21.1f} %{alone:>14.1f} %",
                    flush=True,
                )


if __name__ == "__main__":
    main()
