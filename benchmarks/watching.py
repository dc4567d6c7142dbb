"""What watching the machine costs: the share of the measuring time that looks at it take.

One look (reading the kernel's files, and writing the event as JSON) is timed in blocks; how many there are per second
of timed rounds is counted in the journal of a real run. Wanted: under 2 %. With an NVIDIA GPU also a look at NVML.

    python benchmarks/watching.py
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from lnbench.events import WorkloadFinished
from lnbench.measure.nvml import Nvml
from lnbench.measure.watch import GpuWatcher, HostWatcher, Look
from lnbench.observed import Conditions
from lnbench.store.reading import read_run

REPEATS, BLOCK = 21, 50


def main() -> None:
    """Print the cost of a look, how often there is one, and the share of the time."""
    look_s = seconds(HostWatcher().look)
    print(f"one look at the host: {1e6 * look_s:.0f} us")
    per_s = looks_per_second()
    print(f"looks in a run of `ci`: {per_s:.1f} per second of timed rounds")
    print(f"watching the host: {100 * look_s * per_s:.3f} % of the measuring time")
    nvml = Nvml()
    if nvml.missing:
        print(f"GPU: not measured ({nvml.missing})")
        return
    import torch

    gpu_s = seconds(GpuWatcher(nvml, str(torch.cuda.get_device_properties("cuda").uuid)).look)
    print(f"one look at the GPU: {1e6 * gpu_s:.0f} us; host and GPU: {100 * (look_s + gpu_s) * per_s:.3f} %")


def seconds(look: Callable[[], Look]) -> float:
    """What a look takes with its event, the median of blocks."""
    found = []
    for _ in range(REPEATS):
        begun = perf_counter()
        for _ in range(BLOCK):
            seen = look()
            Conditions(
                process=0,
                workload=0,
                first_round=0,
                last_round=1,
                seconds=0.05,
                readings=seen.readings,
                throttling=seen.throttling,
            ).model_dump_json()
        found.append((perf_counter() - begun) / BLOCK)
    return median(found)


def looks_per_second() -> float:
    """From the journal of a real run."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "run")
        command = [sys.executable, "-m", "lnbench", "run", "ci", "--processes", "1", "--output", str(output), "--quiet"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        run = read_run(output)
    looks = sum(isinstance(event, Conditions) for event in run.events)
    return looks / sum(event.rounds_s for event in run.events if isinstance(event, WorkloadFinished))


if __name__ == "__main__":
    main()
