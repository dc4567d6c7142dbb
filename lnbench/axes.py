"""The axes of a suite's entry multiplied out into workloads, and what this machine can't do of them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from lnbench.planned import CacheSizes, SetAside, Status
from lnbench.suite_entries import WorkloadEntry
from lnbench.workload import Cache, Layout, Workload

MAX_BUFFERS = 131_072
"""Pairs of x and dy that cold rotates through; more are slow to make, and small tensors would need millions."""

MEMORY_SHARE = 0.25
"""The share of memory that those pairs may take, beside what all the cases allocate."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the plan must know of the machine.

    threads: the physical cores that this process may use. logical_cores: the logical ones.
    devices: every device looked for ("cpu", "cuda", "cuda:0", ...) with the reason why it is absent, "" when present;
    a device that is not a key is absent too.
    """

    threads: int
    logical_cores: int
    caches: CacheSizes
    memory_b: int
    devices: Mapping[str, str] = field(default_factory=lambda: {"cpu": ""})


def count_workloads(entry: WorkloadEntry) -> int:
    """How many workloads an entry multiplies out to."""
    axes = (entry.shapes, entry.norm_dims, entry.dtypes, entry.param_dtypes or ("",), entry.devices)
    more = (entry.threads or (0,), entry.cache, entry.allocators, entry.layouts, entry.affine, entry.eps)
    return math.prod(len(axis) for axis in (*axes, *more))


def multiply_out(entry: WorkloadEntry, *, default_threads: int) -> Iterator[tuple[int, Workload]]:
    """Every workload of an entry with the number of its shape; the first axis written here turns slowest.

    Where more axes are to be normalized than the shape has, it is taken with leading ones.
    """
    for number, item in enumerate(entry.shapes):
        rank = len(item.shape)
        for dims, dtype, param_dtype, device, threads, cache, allocator, layout, affine, eps in product(
            entry.norm_dims,
            entry.dtypes,
            entry.param_dtypes or ("",),
            entry.devices,
            entry.threads or (default_threads,),
            entry.cache,
            entry.allocators,
            entry.layouts,
            entry.affine,
            entry.eps,
        ):
            yield (
                number,
                Workload(
                    shape=item.shape,
                    normalized_shape=(1,) * (dims - rank) + item.shape[-dims:],
                    dtype=dtype,
                    param_dtype=param_dtype or dtype,
                    device=device,
                    layout=layout,
                    threads=threads,
                    cache=cache,
                    allocator=allocator,
                    affine=affine,
                    eps=eps,
                    label=item.label,
                ),
            )


def rotation_buffers(workload: Workload, caches: CacheSizes, memory_b: int) -> int:
    """How many pairs of x and dy the calls go round on the CPU, so that no call finds its own in a cache; 1 when hot.

    Cold takes twice the last-level cache in total, displaced twice L2. 0 where that can't be had: the size of the cache
    is unknown, or the pairs are more than MAX_BUFFERS or take more than MEMORY_SHARE of memory.
    On CUDA it is 1: there L2 is displaced before each call.
    """
    if workload.cache == Cache.HOT or workload.is_cuda:
        return 1
    cache_b = caches.last_level_b if workload.cache == Cache.COLD else caches.l2_b
    if not cache_b:
        return 0
    pair_b = 2 * workload.x_bytes
    pairs = math.ceil(2 * cache_b / pair_b)
    fits = pairs <= MAX_BUFFERS and pairs * pair_b <= MEMORY_SHARE * memory_b
    return pairs if fits or pairs == 1 else 0


def settle_cache(workload: Workload, machine: Machine) -> Workload:
    """The workload with `displaced` in place of a `cold` that this machine can't have, where it can have that."""
    if workload.cache == Cache.COLD and not rotation_buffers(workload, machine.caches, machine.memory_b):
        displaced = replace(workload, cache=Cache.DISPLACED.value)
        if rotation_buffers(displaced, machine.caches, machine.memory_b):
            return displaced
    return workload


def find_obstacle(workload: Workload, machine: Machine) -> tuple[SetAside, str] | None:
    """Why no case of a workload can be measured here; None when nothing stands in the way."""
    rank, dims = len(workload.shape), len(workload.normalized_shape)
    if dims > rank:
        return Status.UNSUPPORTED, f"norm_dims {dims} is more than the shape's {rank} axes"
    if workload.layout == Layout.CHANNELS_LAST and rank != 4:
        return Status.SKIPPED, "channels_last needs a shape of 4 axes, as in (N, C, H, W)"
    absence = machine.devices.get(workload.device, f"this machine has no {workload.device}")
    if absence:
        return Status.SKIPPED, absence
    if workload.threads > machine.logical_cores:
        cores = machine.logical_cores
        return Status.SKIPPED, f"{workload.threads} threads on {cores} logical cores that this process may use"
    if not rotation_buffers(workload, machine.caches, machine.memory_b):
        return Status.SKIPPED, _why_not_cold(machine)
    return None


def _why_not_cold(machine: Machine) -> str:
    if not machine.caches.last_level_b and not machine.caches.l2_b:
        return "cold needs the sizes of the caches, which this system does not tell"
    return "cold needs more buffers or memory than there is: twice the cache in pairs of x and dy"
