"""Is what is counted hot? The same work in a field of unlike cases, over itself beside its twin alone.

In one process, on the same buffers, blocks of real rounds take turns: `fused` beside its twin, and both beside eager,
compiled and batch_norm, with one call left out before each sample, and with as many as trial rounds find. Prints, per
shape and kind of call, the counted time in the mixed field over that in the field alone, hot (medians and quartiles of
ratios of neighbouring blocks' medians), the calls left out a turn of `fused`, and how much of the mixed field's time is
inside counted calls.

    python benchmarks/hot.py [--blocks 12] [--seconds 1.5] [--threads N]
"""

import argparse
import os
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from lnbench.conductor.starting import SPIN_COUNT
from lnbench.measure.heap import retain_heap

retain_heap()
os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # as the workers have it; read when torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402

from lnbench.events import Turn  # noqa: E402
from lnbench.implementations.registry import Registry  # noqa: E402
from lnbench.measure.environment import usable_physical_cores  # noqa: E402
from lnbench.measure.probe import Probe  # noqa: E402
from lnbench.measure.sampler import HostSampler  # noqa: E402
from lnbench.measure.watch import HostWatcher  # noqa: E402
from lnbench.planned import PlannedCase  # noqa: E402
from lnbench.units import format_seconds, format_shape  # noqa: E402
from lnbench.worker.cases import Cases  # noqa: E402
from lnbench.worker.probing import ProbeTurns  # noqa: E402
from lnbench.worker.rounds import Rounds  # noqa: E402
from lnbench.worker.watching import Watch  # noqa: E402
from lnbench.workload import Phase, Workload  # noqa: E402

SHAPES = ((256, 768), (1024, 768), (2048, 1024))
FUSED, TWIN = 0, 1
FIELD = ("fused", "fused", "eager", "compiled", "batch_norm")
PHASES = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)


class Ear:
    """A channel that keeps the turns."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []

    def send(self, message: object) -> None:
        """Keep turns, and forget the rest."""
        if isinstance(message, Turn):
            self.turns.append(message)

    def announce(self, *_: object) -> None:
        """Nobody needs to know."""

    def flush(self) -> None:
        """Nothing waits."""


Ways = tuple[bool, bool]
"""Whether the field is mixed, and whether cases are called until they are hot."""


@dataclass
class Blocks:
    """What each block of rounds gave: medians by phase, calls left out a turn, and the share of counted time."""

    median_s: dict[Phase, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    uncounted: list[float] = field(default_factory=list)
    counted_share: list[float] = field(default_factory=list)


def main() -> None:
    """Print the ratios for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=12, help="blocks of each field and each way, per shape")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each block")
    parser.add_argument("--threads", type=int, default=usable_physical_cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, float32, load {os.getloadavg()[0]:.1f}")
    for shape in SHAPES:
        show(shape, measure(Workload(shape, shape[1:], threads=options.threads), options.blocks, options.seconds))


def measure(workload: Workload, blocks: int, seconds: float) -> dict[Ways, Blocks]:
    """All blocks of a shape, in orders that are counterbalanced."""
    ear: Any = Ear()
    planned = {
        number: PlannedCase(
            workload=0,
            implementation=f"{name}-{number}",
            use=name,
            function="batch_norm" if name == "batch_norm" else "layer_norm",
            norm_mode="train" if name == "batch_norm" else "",
        )
        for number, name in enumerate(FIELD)
    }
    cases = Cases(ear, Registry(), process=0, workload_number=0, workload=workload, planned=planned, seed=1, pairs=1)
    cases.build_all()
    live = dict(cases.live)
    found: dict[Ways, Blocks] = {ways: Blocks() for ways in product((False, True), repeat=2)}
    for block in range(blocks):
        for ways in sorted(found, reverse=bool(block % 2)):
            is_mixed, until_hot = ways
            cases.live = {number: live[number] for number in (live if is_mixed else (FUSED, TWIN))}
            ear.turns.clear()
            take_rounds(ear, cases, seconds, seed=block, until_hot=until_hot)
            of_fused = [turn for turn in ear.turns if turn.case == FUSED]
            for phase in PHASES:
                found[ways].median_s[phase].append(float(np.median([turn.wall_s[phase] for turn in of_fused])))
            found[ways].uncounted.append(float(np.mean([turn.uncounted for turn in of_fused])))
            found[ways].counted_share.append(sum(map(counted_s, ear.turns)) / seconds)
    return found


def take_rounds(ear: Any, cases: Cases, seconds: float, *, seed: int, until_hot: bool) -> None:
    """Rounds of the live cases, as a worker takes them."""
    sampler = HostSampler()
    Rounds(
        ear,
        cases,
        sampler,
        process=0,
        workload_number=0,
        references=dict.fromkeys(cases.live.keys() - {FUSED}, FUSED),
        phases=PHASES,
        precision=1e-9,
        budget_s=seconds,
        first_round=0,
        seed=seed,
        probe=ProbeTurns(Probe(cases.arrays.x, cases.arrays.dy), sampler, process=0, workload_number=0),
        watch=Watch(cases, HostWatcher(), workload_number=0),
        on_device=False,
        until_hot=until_hot,
    ).run(setup_s=0.0, compiling_s=0.0)


def counted_s(turn: Turn) -> float:
    """Seconds inside the counted calls of a case's turn."""
    phases = {"inference": "inference", "step": "forward_backward"}
    return sum(turn.calls[kind] * turn.wall_s[phase] for kind, phase in phases.items() if kind in turn.calls)


def show(shape: tuple[int, ...], found: dict[Ways, Blocks]) -> None:
    """One line for each phase and way."""
    alone = found[False, True]
    for phase, until_hot in product(PHASES, (False, True)):
        mixed = found[True, until_hot]
        ratios = np.array(mixed.median_s[phase]) / np.array(alone.median_s[phase])
        low, high = np.quantile(ratios, [0.25, 0.75])
        print(
            f"{format_shape(shape):>10}  {phase:<17}{format_seconds(float(np.median(alone.median_s[phase]))):>9}  "
            f"{'until hot' if until_hot else 'one call':<9}  mixed / alone {np.median(ratios):.3f} "
            f"[{low:.3f}, {high:.3f}]; left out a turn {np.mean(mixed.uncounted):.1f}, "
            f"alone {np.mean(found[False, until_hot].uncounted):.1f}; counted {100 * np.mean(mixed.counted_share):.0f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
