"""Is there memory for a workload? Asked before anything is allocated: running out takes minutes, or the machine."""

from lnbench.footprint import footprint_b
from lnbench.measure.cuda import free_device_b
from lnbench.measure.heap import unused_heap_b
from lnbench.measure.host_memory import available_b
from lnbench.units import format_significant
from lnbench.workload import Workload


def want_of_room(workload: Workload, *, pairs: int, has_residual: bool = False) -> str:
    """Why a workload is left out: `needs about 41 GB, 23 GB free`; "" where there is room."""
    needed = footprint_b(workload, pairs=pairs, has_residual=has_residual)
    if workload.is_cuda:
        free, where = free_device_b(workload.device), f" on {workload.device}"
    else:
        free, where = available_b() + unused_heap_b(), ""
    if needed <= free:
        return ""
    asked, found = (format_significant(size / 1e9, 2) for size in (needed, free))
    return f"needs about {asked} GB{where} to be measured and checked, {found} GB free"
