"""Judges cases of other frameworks in a process of their own, for `test_conformance_frameworks.py`.

python tests/conform.py < combinations, a JSON list of [name, shape, norm_dims, axes] > one JSON outcome a line

The frameworks stay out of the process that runs the tests, and find the environment that workers have.
"""

import json
import os
import sys

from lnbench.conductor.starting import worker_environment

THREADS = 2


def main() -> None:
    """Judge every combination as a worker does around the timing."""
    os.environ.update(worker_environment(THREADS))
    import torch

    torch.set_num_threads(THREADS)
    from stage import judged

    for name, shape, norm_dims, axes in json.load(sys.stdin):
        outcome = judged(name, *shape, norm_dims=norm_dims, **axes)
        told = {"status": outcome.status, "reason": outcome.reason, "notices": dict(outcome.notices)}
        print(json.dumps({**told, "repeats": outcome.repeats}), flush=True)


if __name__ == "__main__":
    main()
