"""Is the probe's copy what this machine can do? Held against a STREAM-like copy in C, in turns, in one process.

For working sets inside and outside of the last-level cache: the ratio of the probe's bandwidth to that of a loop
`a[i] = b[i]` over doubles, compiled with -O3 and OpenMP, on as many threads; the median over rounds in which both take
turns, in three processes. Wanted: within 10 % (0.90 to 1.10).

The C compiler is told not to replace its loop by memcpy, and by default both store in the ordinary way: STREAM's
non-temporal stores, where a compiler makes them, save the read of a line that is going to be written.

    python benchmarks/copy_bandwidth.py
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from lnbench.conductor.starting import worker_environment
from lnbench.measure.environment import cache_sizes, usable_physical_cores

SOURCE = """
#include <stddef.h>
void copy(double *restrict a, const double *restrict b, size_t n) {
    #pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) a[i] = b[i];
}
"""
PROCESSES = 3
ROUNDS = 41
SAMPLE_NS = 5_000_000


def main() -> None:
    """Print the ratio for every working set."""
    threads = usable_physical_cores()
    last_level_b = cache_sizes().last_level_b or 1 << 25
    sizes = [1 << 18, 1 << 20, 1 << 22, 1 << 24, min(4 * last_level_b, 1 << 30)]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "copy.so")
        source = Path(folder, "copy.c")
        source.write_text(SOURCE)
        flags = ["-O3", "-march=native", "-fno-tree-loop-distribute-patterns", "-fopenmp", "-shared", "-fPIC"]
        subprocess.run(["gcc", *flags, str(source), "-o", str(library)], check=True)
        ratios: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(PROCESSES):
            command = [sys.executable, __file__, str(library), str(threads), *map(str, sizes)]
            done = subprocess.run(command, env=worker_environment(threads), capture_output=True, text=True, check=True)
            for size, ratio in zip(sizes, done.stdout.split(), strict=True):
                ratios[size].append(float(ratio))
    print(f"{threads} threads; last-level cache {last_level_b >> 20} MiB; probe / C loop, bandwidth")
    for size, found in ratios.items():
        place = "outside" if size > last_level_b else "inside"
        told = " ".join(f"{ratio:.3f}" for ratio in found)
        print(f"{size >> 10:>8} KiB, {place} the last-level cache: {told}")


def measure(library: str, threads: int, sizes: list[int]) -> None:
    """Print the ratio of bandwidths for each working set, measured in this process."""
    from lnbench.measure.heap import retain_heap

    retain_heap()
    import torch

    from lnbench.measure.probe import Probe

    torch.set_num_threads(threads)
    loop = ctypes.CDLL(library).copy
    loop.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    for size in sizes:
        x = torch.ones(size // 8, dtype=torch.float32)
        probe = Probe([x], [x[:1]])
        target = torch.empty_like(x)
        pointers = target.data_ptr(), x.data_ptr(), x.numel() // 2
        calls: list[Callable[[], object]] = [probe.pieces["copy"], lambda p=pointers: loop(*p)]  # type: ignore[misc]
        print(ratio_in_turns(calls))


def ratio_in_turns(calls: list[Callable[[], object]]) -> float:
    """The second's time over the first's: the median of the ratios of neighbouring turns."""
    start = perf_counter_ns()
    calls[0]()
    calls[0]()
    count = max(1, round(SAMPLE_NS / max((perf_counter_ns() - start) / 2, 1)))
    found = []
    for number in range(ROUNDS):
        times = {}
        for place in (0, 1) if number % 2 else (1, 0):
            calls[place]()
            begun = perf_counter_ns()
            for _ in range(count):
                calls[place]()
            times[place] = perf_counter_ns() - begun
        found.append(times[1] / times[0])
    return median(found)


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[1])
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]), [int(size) for size in sys.argv[3:]])
    else:
        main()
