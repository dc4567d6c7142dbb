"""Is there memory for a workload? Asked before anything is allocated: running out takes minutes, or the machine."""

from lnbench.footprint import memory_shortage
from lnbench.measure.cuda import free_device_b
from lnbench.measure.heap import unused_heap_b
from lnbench.measure.host_memory import available_b
from lnbench.workload import Workload


def shortage_here(workload: Workload, *, pairs: int, has_residual: bool = False) -> str:
    """Why a workload is left out in this process; "" where there is room. The plan has asked the same,
    without the pairs that a cold graph adds."""
    free_b = free_device_b(workload.device) if workload.is_cuda else available_b() + unused_heap_b()
    return memory_shortage(workload, free_b=free_b, pairs=pairs, has_residual=has_residual)
