"""How worker processes are started: their command, and the environment that their libraries find."""

import os
import sys

from lnbench.conductor.thread_variables import with_threads

SPIN_COUNT = "5000"
"""How long a thread of GNU OpenMP spins at a barrier before it sleeps, about 0.1 ms instead of 5. With a neighbour on
the cores a thread that spins keeps the one that it waits for from running: a layer norm of 12 us then reads 8 ms.
Without a neighbour it makes no difference, for the next parallel region comes sooner."""


def worker_command(*arguments: str) -> list[str]:
    """How a worker is started; -P keeps files of the current folder from standing in for libraries."""
    return [sys.executable, "-P", "-m", "lnbench.worker", *arguments]


def worker_environment(threads: int, *, compile_cache: str = "") -> dict[str, str]:
    """The worker's environment variables: every library gets the workload's threads on all cores, and spins briefly.

    A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT stays. `compile_cache`: where torch.compile and Triton keep what they
    compiled; "" for where they do anyway.
    """
    environment = with_threads(os.environ, threads)
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    if compile_cache:
        environment |= {
            "TORCHINDUCTOR_CACHE_DIR": os.path.join(compile_cache, "inductor"),
            "TRITON_CACHE_DIR": os.path.join(compile_cache, "triton"),
        }
    return environment
