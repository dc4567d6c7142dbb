"""How many calls a CUDA graph holds, on how many pairs of x and dy, so that L2 is as hot or as cold as asked."""

import math
from dataclasses import dataclass

from lnbench.workload import Cache, Workload

MOST_NODES = 1_000
"""Kernels of a graph: a replay of more takes milliseconds, and launching it shows no more."""

UNKNOWN_NODES = 20
"""Kernels of a call, where they were not counted: an eager backward has about as many."""

MOST_HOT_CALLS = 100
"""Calls of a graph with hot caches; what a replay itself costs, a few microseconds, is then spread over so many."""

HOT_SHARE = 0.5
"""The share of L2 that x, y, dy and dx of all calls of a hot graph may fill."""

LEAST_HOT_CALLS = 8
LEAST_HOT_B = 256 << 20
"""Where so little does not fit into L2 a hot graph holds so many calls all the same, as far as their x have so many
bytes: calls on more take so long that what a replay costs does not count."""

COLD_TIMES = 2
"""So many times L2 the x of a cold graph's calls must fill, so that none finds its own there."""


@dataclass(frozen=True, slots=True)
class GraphSize:
    """The size of a case's graphs. `keeps_results`: each call writes results of its own, as cold calls do.

    `is_l2_hot`: the buffers should exceed L2 by COLD_TIMES, and do not.
    """

    calls: int
    pairs: int
    keeps_results: bool
    is_l2_hot: bool


def graph_size(workload: Workload, *, l2_b: int, nodes: float | None) -> GraphSize:
    """The size of the graphs of a case. `nodes`: the kernels of its longest call; None where they are not known."""
    most = max(int(MOST_NODES / max(nodes or UNKNOWN_NODES, 1.0)), 1)
    if workload.cache == Cache.HOT:
        fitting = int(HOT_SHARE * l2_b / (4 * workload.x_bytes))
        least = min(LEAST_HOT_CALLS, LEAST_HOT_B // workload.x_bytes)
        calls = max(min(max(fitting, least), MOST_HOT_CALLS, most), 1)
        return GraphSize(calls, 1, keeps_results=False, is_l2_hot=False)
    calls = min(cold_pairs(workload, l2_b=l2_b), most)
    is_hot = calls * workload.x_bytes < COLD_TIMES * l2_b
    return GraphSize(calls, calls, keeps_results=True, is_l2_hot=is_hot)


def cold_pairs(workload: Workload, *, l2_b: int) -> int:
    """How many pairs of x and dy all cases of a workload share on the graph clock; 1 where caches are hot."""
    if workload.cache == Cache.HOT:
        return 1
    return max(min(math.ceil(COLD_TIMES * l2_b / workload.x_bytes), MOST_NODES), 1)
