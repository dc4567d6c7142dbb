"""Turns that are compared: each of an implementation's with the one of the reference that stands nearest to it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnbench.stats import FloatArray, finite_values, positive_times


class Turns(NamedTuple):
    """The turns of one case on one workload and clock: round numbers, start times and seconds per call."""

    rounds: ArrayLike
    started_s: ArrayLike
    seconds: ArrayLike


def pair_nearest(implementation: Turns, reference: Turns) -> FloatArray:
    """log(reference) - log(implementation) for every turn of the implementation, in time order.

    Each is paired with the reference's turn that starts nearest within the same round; equally near ones count as
    their mean in log. Turns in rounds without the reference are dropped.
    Raises ValueError for a time that is not positive and finite.
    """
    rounds, started, log_times = _in_time_order(implementation)
    ref_rounds, ref_started, ref_log_times = _in_time_order(reference)
    first, end = np.searchsorted(ref_rounds, rounds, "left"), np.searchsorted(ref_rounds, rounds, "right")
    paired = end > first
    # One column for each turn that the reference takes in a round: few, so that memory grows with the turns alone.
    candidates = first[paired, None] + np.arange((end - first).max(initial=0))
    is_partner = candidates < end[paired, None]
    candidates = np.where(is_partner, candidates, 0)
    distance = np.where(is_partner, np.abs(ref_started[candidates] - started[paired, None]), np.inf)
    is_nearest = distance == distance.min(axis=1, initial=np.inf, keepdims=True)
    nearest = np.where(is_nearest, ref_log_times[candidates], 0.0).sum(axis=1) / is_nearest.sum(axis=1)
    return np.asarray(nearest - log_times[paired], dtype=np.float64)


def _in_time_order(turns: Turns) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Round numbers, start times and log times, sorted by round and then by start."""
    rounds, started = np.asarray(turns.rounds, dtype=np.int64), finite_values(turns.started_s)
    order = np.lexsort((started, rounds))
    return rounds[order], started[order], np.log(positive_times(turns.seconds))[order]
