"""The axes of a suite's entry multiplied out into workloads, and what this machine can't do of them."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from lnbench.footprint import memory_shortage
from lnbench.planned import CacheSizes, SetAside, Status
from lnbench.suite_entries import WorkloadEntry
from lnbench.workload import NORM_AXES, STEP_PHASES, Autocast, Cache, Gradients, Layout, Phase, Workload

MAX_BUFFERS = 131_072
"""Pairs of x and dy that cold rotates through; more are slow to make, and small tensors would need millions."""

MEMORY_SHARE = 0.25
"""The share of memory that those pairs may take, beside what all the cases allocate."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the plan must know of the machine.

    threads: the physical cores that this process may use. logical_cores: the logical ones.
    asked_threads: how many the user's environment asks for; None where it leaves that open.
    devices: every device looked for ("cpu", "cuda", "cuda:0", ...) with the reason why it is absent, "" when present;
    a device that is not a key is absent too. free_b: bytes that a worker can get, by kind of device ("cpu", "cuda"),
    where that is to be looked at.
    """

    threads: int
    logical_cores: int
    caches: CacheSizes
    memory_b: int
    devices: Mapping[str, str] = field(default_factory=lambda: {"cpu": ""})
    free_b: Mapping[str, int] = field(default_factory=dict)
    asked_threads: int | None = None

    @property
    def default_threads(self) -> int:
        """The threads of a workload that names none: as many as asked for, as far as there are logical cores."""
        return self.threads if self.asked_threads is None else min(self.asked_threads, self.logical_cores)


def count_workloads(entry: WorkloadEntry) -> int:
    """How many workloads an entry multiplies out to."""
    return len(entry.shapes) * math.prod(map(len, _axes(entry, default_threads=1).values()))


def multiply_out(entry: WorkloadEntry, *, default_threads: int) -> Iterator[tuple[int, Workload]]:
    """Every workload of an entry with the number of its shape; the shape turns slowest, then the first of the axes.

    Where more axes are to be normalized than the shape has, it is taken with leading ones.
    """
    axes = _axes(entry, default_threads=default_threads)
    for number, item in enumerate(entry.shapes):
        rank = len(item.shape)
        for values in product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            dims = chosen.pop("norm_dims")
            chosen["param_dtype"] = chosen["param_dtype"] or chosen["dtype"]
            chosen["norm_axes"] = axes_named = NORM_AXES[chosen["norm_axes"]]
            normalized_shape = (1,) * (dims - rank) + item.shape[-dims:]
            if axes_named:
                normalized_shape = tuple(item.shape[axis] for axis in axes_named)
            yield number, Workload(item.shape, normalized_shape, **chosen, label=item.label)


def _axes(entry: WorkloadEntry, *, default_threads: int) -> Mapping[str, tuple[Any, ...]]:
    """The values of every axis but the shape, under the name that a workload has for it."""
    return {
        "norm_dims": entry.norm_dims,
        "norm_axes": entry.norm_axes,
        "dtype": entry.dtypes,
        "param_dtype": entry.param_dtypes or ("",),
        "device": entry.devices,
        "threads": entry.threads or (default_threads,),
        "cache": entry.cache,
        "allocator": entry.allocators,
        "layout": entry.layouts,
        "affine": entry.affine,
        "eps": entry.eps,
        "gradients": entry.gradients,
        "autocast": entry.autocast,
    }


def rotation_buffers(workload: Workload, caches: CacheSizes, memory_b: int) -> int:
    """How many pairs of x and dy the calls go round on the CPU, so that no call finds its own in a cache; 1 when hot.

    What is read of them is twice the last-level cache in total for cold, twice L2 for displaced. 0 where that can't be
    had: the size of the cache is unknown, or the pairs are more than MAX_BUFFERS or take more than MEMORY_SHARE of
    memory.
    On CUDA it is 1: there L2 is displaced before each call.
    """
    if workload.cache == Cache.HOT or workload.is_cuda:
        return 1
    cache_b = caches.last_level_b if workload.cache == Cache.COLD else caches.l2_b
    if not cache_b:
        return 0
    pairs = math.ceil(2 * cache_b / (workload.x_bytes + workload.dy_bytes))
    held_b = pairs * (workload.x_memory_bytes + workload.dy_bytes)
    fits = pairs <= MAX_BUFFERS and held_b <= MEMORY_SHARE * memory_b
    return pairs if fits or pairs == 1 else 0


def settle_cache(workload: Workload, machine: Machine) -> Workload:
    """The workload with `displaced` in place of a `cold` that this machine can't have, where it can have that."""
    if workload.cache == Cache.COLD and not rotation_buffers(workload, machine.caches, machine.memory_b):
        displaced = replace(workload, cache=Cache.DISPLACED.value)
        if rotation_buffers(displaced, machine.caches, machine.memory_b):
            return displaced
    return workload


def find_obstacle(
    workload: Workload, machine: Machine, *, phases: Collection[Phase] = tuple(Phase), has_residual: bool = False
) -> tuple[SetAside, str] | None:
    """Why no case of a workload can be measured here in these phases; None when nothing stands in the way.

    `has_residual`: a case of it adds a residual, which takes memory.
    """
    rank, dims = len(workload.shape), len(workload.normalized_shape)
    if dims > rank:
        return Status.UNSUPPORTED, f"norm_dims {dims} is more than the shape's {rank} axes"
    meaningless = _why_meaningless(workload, phases)
    if meaningless:
        return Status.SKIPPED, meaningless
    absence = machine.devices.get(workload.device, f"this machine has no {workload.device}")
    if absence:
        return Status.SKIPPED, absence
    if workload.threads > machine.logical_cores:
        cores = machine.logical_cores
        return Status.SKIPPED, f"{workload.threads} threads on {cores} logical cores that this process may use"
    pairs = rotation_buffers(workload, machine.caches, machine.memory_b)
    if not pairs:
        return Status.SKIPPED, _why_not_cold(machine)
    free_b = machine.free_b.get("cuda" if workload.is_cuda else "cpu")
    if free_b is not None:
        shortage = memory_shortage(workload, free_b=free_b, pairs=pairs, has_residual=has_residual)
        if shortage:
            return Status.SKIPPED, shortage
    return None


def _why_meaningless(workload: Workload, phases: Collection[Phase]) -> str:
    """Why a value of an axis would measure what another one does; "" where it has a meaning of its own."""
    shape, layout = workload.shape, workload.layout
    if workload.norm_axes == (len(shape) - 1,):
        return f"axis {len(shape) - 1} is the last one of this shape, which norm_axes: last normalizes"
    if layout == Layout.CHANNELS_LAST and len(shape) != 4:
        return "channels_last needs a shape of 4 axes, as in (N, C, H, W)"
    if layout in {Layout.TRANSPOSED, Layout.TRANSPOSED_DY} and min(shape[-2:]) == 1:
        return f"{layout} swaps the last two axes in memory, which changes nothing where one of them is 1"
    if layout == Layout.STRIDED and math.prod(shape[:-1]) == 1:
        return "strided keeps rows apart, and this shape has one row"
    if workload.autocast != Autocast.NONE and workload.dtype == "float64":
        return "autocast leaves float64 as it is"
    if not set(STEP_PHASES) & set(phases):
        if layout in {Layout.TRANSPOSED_DY, Layout.EXPANDED_DY}:
            return f"{layout} concerns backward, and the phases have none"
        if workload.gradients != Gradients.ALL:
            return f"gradients: {workload.gradients} concerns forward and backward, and the phases have neither"
    return ""


def _why_not_cold(machine: Machine) -> str:
    if not machine.caches.last_level_b and not machine.caches.l2_b:
        return "cold needs the sizes of the caches, which this system does not tell"
    return "cold needs more buffers or memory than there is: twice the cache in pairs of x and dy"
