"""How much memory a workload takes in a worker, asked by plan and worker before anything of it is allocated."""

from lnbench.twins import judged_workloads
from lnbench.units import format_significant
from lnbench.workload import Workload

PART_ELEMENTS = 1 << 22
"""Results are verified in parts of about so many elements (of more where more share statistics)."""

PART_B_PER_ELEMENT = 200
"""Verifying a part holds float64 copies of x, dy, y and every gradient with their tolerances and errors."""

HELD_RESULTS = 6
"""Tensors of x's size and dtype that verifying holds at once: y of an inference, y of two forwards and a copy of one,
dx of two backwards."""

HELD_RESULTS_WITH_RESIDUAL = 10
"""The same where each output comes with a new residual."""


def footprint_b(workload: Workload, *, pairs: int, has_residual: bool = False) -> int:
    """About the least bytes that measuring a case on a workload takes, verifying included.

    `pairs`: so many x and dy are kept. `has_residual`: with each pair a residual and its upstream gradient is kept too.
    What an implementation itself saves for backward comes on top: it is not known beforehand.
    """
    kept_b = _kept_b(workload, pairs=pairs, has_residual=has_residual)
    twins_b = (_verified_b(twin, pairs=1, has_residual=has_residual) for twin in judged_workloads(workload))
    return max(
        _verified_b(workload, pairs=pairs, has_residual=has_residual), *(kept_b + twin_b for twin_b in twins_b), 0
    )


def memory_shortage(workload: Workload, *, free_b: int, pairs: int, has_residual: bool = False) -> str:
    """Why a workload is left out: `needs about 41 GB, 23 GB free`; "" where there is room."""
    needed_b = footprint_b(workload, pairs=pairs, has_residual=has_residual)
    if needed_b <= free_b:
        return ""
    where = f" on {workload.device}" if workload.is_cuda else ""
    needed, free = (format_significant(size / 1e9, 2) for size in (needed_b, free_b))
    return f"needs about {needed} GB{where} to be measured and checked, {free} GB free"


def _verified_b(workload: Workload, *, pairs: int, has_residual: bool) -> int:
    """Inputs, the copies that show whether one was written into, results, and a part in float64."""
    results = HELD_RESULTS_WITH_RESIDUAL if has_residual else HELD_RESULTS
    part_b = PART_B_PER_ELEMENT * min(workload.elements, PART_ELEMENTS)
    return 2 * _kept_b(workload, pairs=pairs, has_residual=has_residual) + results * workload.x_bytes + part_b


def _kept_b(workload: Workload, *, pairs: int, has_residual: bool) -> int:
    """The bytes of all shared inputs."""
    return (2 if has_residual else 1) * pairs * (workload.x_memory_bytes + workload.dy_bytes)
