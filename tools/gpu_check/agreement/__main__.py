"""Does lnbench agree with other tools? Writes a JSON of checks, after each of them.

    python -m tools.gpu_check.agreement FILE [--limit SECONDS] [--rehearsal]

Needs a GPU, torch and Triton; a rehearsal needs only the pretended GPU, and leaves out what only a card can say.
Exit code 1 where a check failed.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

from tools.gpu_check.agreement import bandwidth, clock, counters, norms
from tools.gpu_check.agreement.checks import Checks, Setting

ALL = (
    clock.starts,
    clock.first_cold_sample_is_kept,
    clock.spins_last_as_asked,
    clock.costs_on_the_host,
    clock.queue_holds,
    bandwidth.copies_reach_the_card_s_bandwidth,
    bandwidth.clean_lines_beside_dirty_ones,
    norms.fused_agrees,
    norms.eager_agrees,
    norms.identical_work_reads_one,
    counters.memory_is_what_the_allocator_says,
    counters.nvml_and_torch_agree,
    counters.energy_is_power_times_time,
    norms.right_beyond_2_to_31_elements,
)


def main() -> int:
    """Run all checks for which there is time."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check.agreement")
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds; what is not begun by then is skipped")
    parser.add_argument("--rehearsal", action="store_true", help="on the pretended GPU")
    options = parser.parse_args()
    if options.rehearsal:
        torch.set_num_threads(1)  # tiny work on few cores
    checks = Checks(options.file, Setting(rehearsal=options.rehearsal), deadline=time.monotonic() + options.limit)
    for check in ALL:
        checks.run(check)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
