"""How many cores each framework uses for a workload of one thread, for `test_framework_threads.py`.

python tests/framework_threads.py NAME... > a line per name: the name, and the processor's time over the clock's
"""

import os
import sys
from time import perf_counter, process_time

from lnbench.conductor.starting import worker_environment

CALLS = 12


def main() -> None:
    """Build each, warm it up, and see what its calls take of the processor."""
    os.environ.update(worker_environment(1))
    import torch

    torch.set_num_threads(1)
    from stage import prepared, workload

    for name in sys.argv[1:]:
        case, _ = prepared(name, workload(1024, 1024))
        case.inference()
        case.inference()
        used, began = process_time(), perf_counter()
        for _ in range(CALLS):
            case.inference()
        print(name, (process_time() - used) / (perf_counter() - began), flush=True)
        case.close()


if __name__ == "__main__":
    main()
