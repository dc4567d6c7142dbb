"""Does leaving disturbed samples out favor a case?

Times single calls of implementations on this machine (run it while the machine is idle), then replays them beside made
preemptions that do not look at the case, through the code that makes rows of samples. Prints for each implementation
and share of undisturbed samples how far its speedup over `fused` lies from the one without preemptions. Wanted: within
0.5 %, or unstable.

    python benchmarks/replay.py [--implementations fused,eager,batch_norm] [--shapes 64x256,1024x768] [--seconds 3]
"""

import argparse
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from preempted import Member

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SHARES = (0.9, 0.5, 0.2)
ROUNDS = 20_000
WARM_CALLS = 50
LEAST_CALLS = 1000
"""With fewer undisturbed calls the machine is not idle, and what would be replayed is not the implementation."""

CLOSE = 0.005


def main() -> None:
    """Time the calls, replay them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--implementations", default="fused,eager,batch_norm", help="beside fused itself, as its twin")
    parser.add_argument("--shapes", default="64x256,1024x768", help="of x; the last axis is normalized")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--seconds", type=float, default=3, help="for which each implementation is called")
    given = parser.parse_args()
    from preempted import recorded, replay

    close = rows = 0
    print("shape      implementation   calls  median us  spread    " + "".join(f"{share:>14.0%}" for share in SHARES))
    for shape in given.shapes.split(","):
        size = tuple(int(part) for part in shape.split("x"))
        base_s = single_calls("fused", size, threads=given.threads, seconds=given.seconds)
        for name in given.implementations.split(","):
            seconds = single_calls(name, size, threads=given.threads, seconds=given.seconds)
            if min(len(seconds), len(base_s)) < LEAST_CALLS:
                print(f"{shape:<10} {name:<15} {len(seconds):>6} undisturbed calls: too few, the machine is busy")
                continue
            base, row = recorded(base_s), recorded(seconds)
            idle = replay(row, base, rate_hz=0, rounds=ROUNDS, seed=1).row
            cells = []
            for share in SHARES:
                found, seen = beside(row, base, share=share)
                rows += 1
                if found is None:
                    close += 1
                    cells.append(f"{'unstable':>14}")
                else:
                    off = found / idle.speedup - 1
                    close += abs(off) <= CLOSE
                    cells.append(f"{f'{off:+.2%} ({seen:.0%})':>14}")
            spread = float(np.std(np.log(seconds)))
            print(
                f"{shape:<10} {name:<15} {len(seconds):>6} {1e6 * row.call_s:>10.1f} {spread:>7.1%}    {''.join(cells)}"
            )
            sys.stdout.flush()
    print(f"within {CLOSE:.1%} of the ratio without preemptions, or unstable: {close} of {rows}")


def beside(row: "Member", base: "Member", *, share: float) -> tuple[float | None, float]:
    """The speedup at a rate of preemptions that leaves about this share, and the share; None where it is unstable."""
    from preempted import rate_for, replay

    found = replay(row, base, rate_hz=rate_for(row, base, share=share, rounds=600), rounds=ROUNDS, seed=2)
    return found.row.speedup, found.share


def single_calls(name: str, shape: tuple[int, ...], *, threads: int, seconds: float) -> np.ndarray:
    """Seconds of single inferences; those in which a thread of this process waited for a core are left out."""
    import torch

    from lnbench.implementations.preparing import prepare
    from lnbench.implementations.registry import BUILT_IN
    from lnbench.implementations.torch_arrays import TorchArrays
    from lnbench.measure.scheduling import ThreadMeter
    from lnbench.measure.wakeup_cost import wakeup_cost_s
    from lnbench.undisturbed import waited
    from lnbench.workload import Workload

    torch.set_num_threads(threads)
    workload = Workload(shape=shape, normalized_shape=shape[-1:], threads=threads)
    prepared = prepare(BUILT_IN[name].load(), workload, {}, TorchArrays(workload, seed=1))
    wakeup_s, meter, found = wakeup_cost_s(), ThreadMeter(), []
    with prepared.without_gradients():
        for _ in range(WARM_CALLS):
            prepared.inference()
        meter.look()
        until = perf_counter() + seconds
        while perf_counter() < until:
            prepared.inference()  # finds the caches that the look has left
            meter.look()
            started = perf_counter()
            prepared.inference()
            took_s, usage = perf_counter() - started, meter.look()
            if not waited(
                usage.delay_s, took_s, wakeups=usage.wakeups, involuntary=usage.involuntary, wakeup_s=wakeup_s
            ):
                found.append(took_s)
    return np.array(found)


if __name__ == "__main__":
    main()
