"""What other benchmark tools tell of a series of samples: plain statistics, in the definitions of pytest-benchmark."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lnbench.stats import at_least_one


class SampleStatistics(NamedTuple):
    """Statistics of a series, in its unit (`ops` in one over it); nothing here corrects for what samples share.

    `stddev`: of the sample, 0 for a single value. `stddev_outliers`: values further than that from the mean;
    `iqr_outliers`: values more than 1.5 iqr beyond the quartiles. `ld15iqr`, `hd15iqr`: the lowest and the highest
    value that are none of the latter.
    """

    min: float
    max: float
    mean: float
    stddev: float
    rounds: int
    median: float
    iqr: float
    q1: float
    q3: float
    iqr_outliers: int
    stddev_outliers: int
    outliers: str
    ld15iqr: float
    hd15iqr: float
    ops: float
    total: float


def sample_statistics(values: ArrayLike) -> SampleStatistics:
    """The statistics of at least one finite value, by the names that pytest-benchmark's files give them.

    Quartiles are Hazen's, which is what pytest-benchmark's rules for odd and even counts come to.
    Raises TooFewError without values, ValueError when one is not finite.
    """
    series = at_least_one(values)
    total, mean = float(series.sum()), float(series.mean())
    stddev = float(series.std(ddof=1)) if len(series) > 1 else 0.0
    q1, median, q3 = map(float, np.percentile(series, [25, 50, 75], method="hazen"))
    far = 1.5 * (q3 - q1)
    within = series[(series >= q1 - far) & (series <= q3 + far)]
    iqr_outliers = len(series) - len(within)
    stddev_outliers = int((np.abs(series - mean) > stddev).sum()) if stddev else 0
    return SampleStatistics(
        min=float(series.min()),
        max=float(series.max()),
        mean=mean,
        stddev=stddev,
        rounds=len(series),
        median=median,
        iqr=q3 - q1,
        q1=q1,
        q3=q3,
        iqr_outliers=iqr_outliers,
        stddev_outliers=stddev_outliers,
        outliers=f"{stddev_outliers};{iqr_outliers}",
        ld15iqr=float(within.min()),
        hd15iqr=float(within.max()),
        ops=len(series) / total if total else 0.0,
        total=total,
    )
