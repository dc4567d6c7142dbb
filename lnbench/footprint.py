"""How much memory a workload takes in a worker, before anything of it is allocated."""

from lnbench.workload import Workload

CHECKING_B_PER_ELEMENT = 200
"""Checking holds float64 copies of x, y and every gradient with their tolerances and errors. Of fused, eager and
batch_norm in float32, bfloat16 and float64, at (4096, 4096) and (64, 262144) on the CPU, the peak of the whole process
rose by 210 to 327 bytes an element: less is said than any took, so that nothing that fits is left out."""


def footprint_b(workload: Workload, *, pairs: int, has_residual: bool = False) -> int:
    """The least bytes that measuring a case on a workload takes, checking included; `pairs` of x and dy are kept.

    `has_residual`: with each pair a residual and its upstream gradient is kept too.
    """
    pair_b = workload.x_memory_bytes + workload.dy_bytes
    return workload.elements * CHECKING_B_PER_ELEMENT + ((2 if has_residual else 1) * pairs - 1) * pair_b
