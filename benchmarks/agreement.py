"""Does an independent instrument read the same? lnbench's sampler against torch.utils.benchmark.

In one process, on one heap, with the same threads and buffers: blocks of at least 100 calls of each instrument,
taking turns. Compared are the means of `forward_backward` plus `disposal` (a block of calls can't leave out what
releasing the results costs) and of `inference`. Wanted: within 5 % from 20 us to 50 ms.

    python benchmarks/agreement.py [--blocks 15]
"""

import argparse
import os

from lnbench.measure.heap import retain_heap

retain_heap()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.utils.benchmark import Timer  # noqa: E402

from lnbench.functions import FUNCTIONS  # noqa: E402
from lnbench.implementations.registry import BUILT_IN  # noqa: E402
from lnbench.implementations.torch_adapter import TorchPrepared  # noqa: E402
from lnbench.implementations.torch_arrays import TorchArrays  # noqa: E402
from lnbench.measure.environment import usable_physical_cores  # noqa: E402
from lnbench.measure.sampler import HostSampler  # noqa: E402
from lnbench.units import format_seconds, format_shape  # noqa: E402
from lnbench.workload import Workload  # noqa: E402

SHAPES = ((32, 768), (256, 768), (1024, 1024), (2048, 4096), (4096, 4096))
CALLS = 100


def main() -> None:
    """Print the ratio of the two instruments for each shape and phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=15, help="blocks of each instrument per shape and phase")
    blocks = parser.parse_args().blocks
    threads = usable_physical_cores()
    torch.set_num_threads(threads)
    print(f"{threads} threads, blocks of {CALLS} calls, load {os.getloadavg()[0]:.1f}")
    worst = 0.0
    for shape in SHAPES:
        workload = Workload(shape, shape[1:], threads=threads)
        function = FUNCTIONS["layer_norm"]
        built = BUILT_IN["fused"].load().build(workload)
        work = TorchPrepared(built, function, workload, TorchArrays(workload, seed=1))
        worst = max(worst, *(compare(work, shape, phase, threads, blocks) for phase in ("inference", "step")))
    print(f"largest difference: {100 * worst:.1f} %")


def compare(work: TorchPrepared, shape: tuple[int, ...], phase: str, threads: int, blocks: int) -> float:
    """The difference of the two instruments, as the median over pairs of neighbouring blocks."""
    sampler = HostSampler()
    statement = "work.inference()" if phase == "inference" else "work.backward(work.forward())"
    timer = Timer(statement, globals={"work": work}, num_threads=threads)
    ours, theirs = [], []
    with work.without_gradients() if phase == "inference" else torch.enable_grad():
        for number in range(blocks + 1):
            for instrument in (0, 1) if number % 2 else (1, 0):
                if instrument:
                    theirs.append(timer.timeit(CALLS).mean)
                elif phase == "inference":
                    ours.append(sampler.sample_inference(work, CALLS).wall_s["inference"])
                else:
                    parts = sampler.sample_step(work, CALLS).wall_s
                    ours.append(parts["forward_backward"] + parts["disposal"])
    ratios = np.array(ours[1:]) / np.array(theirs[1:])
    ratio = float(np.median(ratios))
    name = "inference" if phase == "inference" else "forward_backward + disposal"
    print(
        f"{format_shape(shape):>10}  {name:<28} {format_seconds(float(np.median(theirs))):>9}  "
        f"lnbench / torch.utils.benchmark {ratio:.3f}  (blocks {ratios.min():.2f} to {ratios.max():.2f})"
    )
    return abs(ratio - 1)


if __name__ == "__main__":
    main()
