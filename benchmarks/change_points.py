"""How often a history tells of a change that is none, and how often it tells of one that is there.

Simulated series of log ratios: noise between runs, one run in thirty far off (10 %), neighbours that resemble each
other or do not. Prints tables; `--against otava` adds apache-otava where it is installed (it pins NumPy and SciPy, and
brings BigQuery, PostgreSQL and Slack clients, so it is no dependency).

    python benchmarks/change_points.py [--series 400]
"""

import argparse
import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from lnbench.analysis.change_points import LEAST_BETWEEN, find_steps
from lnbench.multiplicity import false_discovery

MARGIN = 0.03
FAMILY = 100
Finder = Callable[[np.ndarray, np.ndarray], list[tuple[int, float, int, int]]]


def ours(values: np.ndarray, errors: np.ndarray) -> list[tuple[int, float, int, int]]:
    """First value after, p value, and the places that are as likely."""
    steps = find_steps(values, errors, margin=MARGIN)
    return [(step.first, step.p, step.earliest, step.latest) for step in steps]


def otava(values: np.ndarray, _: np.ndarray) -> list[tuple[int, float, int, int]]:
    """The same by apache-otava as it is set by itself, changes below the margin left out."""
    from otava.analysis import compute_change_points

    found = compute_change_points(list(np.exp(values)), window_len=50, max_pvalue=0.001, min_magnitude=0.0)[0]
    large = [it for it in found if abs(math.log(it.stats.mean_2 / it.stats.mean_1)) > math.log1p(MARGIN)]
    return [(it.index, it.stats.pvalue, it.index, it.index) for it in large]


def series(draw: np.random.Generator, count: int, *, noise: float, step: float, alike: float) -> Iterator:
    """Log ratios that change by `step` at a place of their own, their standard errors, and that place."""
    own = noise * draw.uniform(0.2, 0.8, count)  # how well each run knows its ratio, in what it is off altogether
    values = draw.normal(0, 1, count)
    for number in range(1, count):
        values[number] = alike * values[number - 1] + math.sqrt(1 - alike**2) * values[number]
    values = values * np.sqrt(noise**2 - np.mean(own**2)) + draw.normal(0, own)
    values += (draw.random(count) < 1 / 30) * draw.normal(0, 0.1, count)
    at = int(draw.integers(LEAST_BETWEEN, count - LEAST_BETWEEN + 1))
    values[at:] += math.log1p(step)
    return values, own, at


def one_by_one(find: Finder, *, count: int, noise: float, step: float, alike: float, repeats: int) -> str:
    """The share of series with a change told; of real ones at most one run from its place."""
    draw = np.random.default_rng([count, round(1e4 * noise), round(1e4 * step), round(10 * alike)])
    told = held = 0
    for _ in range(repeats):
        values, errors, at = series(draw, count, noise=noise, step=step, alike=alike)
        near = [found for found in find(values, errors) if step == 0 or abs(found[0] - at) <= 1]
        told += bool(near)
        held += any(earliest <= at <= latest for _, _, earliest, latest in near)
    place = f" ({100 * held / told:3.0f})" if step and told else ""
    return f"{100 * told / repeats:5.1f}{place}"


def families(find: Finder, *, count: int, noise: float, alike: float, repeats: int) -> str:
    """Histories of 100 series in which nothing changed, with false-discovery control over all of them."""
    draw = np.random.default_rng([7, count, round(1e4 * noise), round(10 * alike)])
    histories = told = 0
    for _ in range(repeats):
        p_values: list[float] = []
        for _ in range(FAMILY):
            values, errors, _ = series(draw, count, noise=noise, step=0, alike=alike)
            p_values += [p for _, p, *_ in find(values, errors)] or [1.0]
        chosen = sum(false_discovery(p_values))
        told, histories = told + chosen, histories + bool(chosen)
    return f"{histories} of {repeats} histories tell of any; {1000 * told / repeats / FAMILY:.1f} per 1000 series"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=400, help="simulated series a figure")
    parser.add_argument("--against", choices=["otava"])
    chosen = parser.parse_args()
    finders = {"lnbench": ours} | ({"otava": otava} if chosen.against else {})
    for name, find in finders.items():
        for alike in (0.0, 0.4):
            print(f"\n{name}, neighbours alike {alike:g}: % of series with a change told (% of places held)")
            print(f"{'runs':>5} {'noise':>6} {'none':>6} {'+3 %':>12} {'+5 %':>12} {'+10 %':>12}")
            for count, noise in product((6, 10, 20, 40, 100), (0.005, 0.01, 0.02, 0.03)):
                cells = [
                    one_by_one(find, count=count, noise=noise, step=step, alike=alike, repeats=chosen.series)
                    for step in (0, 0.03, 0.05, 0.1)
                ]
                print(f"{count:5} {100 * noise:4.1f} % {cells[0]:>6} " + " ".join(f"{cell:>12}" for cell in cells[1:]))
        for noise, alike in product((0.01, 0.03), (0.0, 0.4)):
            told = families(find, count=30, noise=noise, alike=alike, repeats=max(chosen.series // 10, 1))
            print(f"{name}, {FAMILY} series of 30 runs, noise {100 * noise:g} %, alike {alike:g}, no change: {told}")


if __name__ == "__main__":
    main()
