"""Is what is counted hot? The same work in a field of unlike cases, over itself beside its twin alone.

In one process, on the same buffers, take turns: a round of `fused` among eager, compiled and batch_norm with one call
left out before each sample; a round of `fused` beside its twin alone; the first again, with as many calls left out as
trial rounds find; and the second. Each time in the mixed field is held against the one beside the twin that follows it
within some 50 ms, so that neighbours on the cores matter little. Prints per shape and kind of call the medians of those
ratios with their quartiles over blocks (each with trials of its own), and the calls that were left out.

    python benchmarks/hot.py [--blocks 10] [--rounds 30] [--threads N]
"""

import argparse
import gc
import os
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from random import Random
from typing import Any

from lnbench.conductor.starting import SPIN_COUNT
from lnbench.measure.heap import retain_heap

retain_heap()
os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # as the workers have it; read when torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402

from lnbench.events import Ended  # noqa: E402
from lnbench.implementations.registry import Registry  # noqa: E402
from lnbench.measure.environment import usable_physical_cores  # noqa: E402
from lnbench.measure.sampler import HostSampler  # noqa: E402
from lnbench.measure.scheduling import ThreadMeter  # noqa: E402
from lnbench.planned import PlannedCase  # noqa: E402
from lnbench.units import format_seconds, format_shape  # noqa: E402
from lnbench.worker.cases import Cases  # noqa: E402
from lnbench.worker.contenders import Contender, choose_warm_calls, warmed_up  # noqa: E402
from lnbench.worker.pace import Pace  # noqa: E402
from lnbench.workload import Phase, Workload  # noqa: E402

SHAPES = ((256, 768), (1024, 768), (2048, 1024))
FUSED, TWIN = 0, 1
FIELD = ("fused", "fused", "eager", "compiled", "batch_norm")
PHASES = (Phase.INFERENCE, Phase.FORWARD_BACKWARD)
BUDGET_S = 5.0
"""Of a workload in `quick`: what the trials may take depends on it."""

SAMPLE_S = 2e-3


class Ear:
    """A channel that tells nobody."""

    def send(self, message: object) -> None:
        """What is built is no result here, and what fails is."""
        if isinstance(message, Ended):
            raise SystemExit(message.reason)

    def announce(self, *_: object) -> None:
        """Nobody waits."""


def main() -> None:
    """Print the ratios for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10, help="blocks per shape, each with trials of its own")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of each field and each way in a block")
    parser.add_argument("--threads", type=int, default=usable_physical_cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} threads, float32, load {os.getloadavg()[0]:.1f}")
    for shape in SHAPES:
        cases = built(Workload(shape, shape[1:], threads=options.threads))
        gc.disable()
        blocks = [measure(cases, options.rounds, seed=block) for block in range(options.blocks)]
        gc.enable()
        show(shape, blocks)


def built(workload: Workload) -> Cases:
    """The field's cases on one set of buffers."""
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
    ear: Any = Ear()
    cases = Cases(ear, Registry(), process=0, workload_number=0, workload=workload, planned=planned, seed=1, pairs=1)
    cases.build_all()
    return cases


@dataclass
class Block:
    """Ratios of mixed to alone by phase and whether calls go on until hot; seconds alone; calls left out by field."""

    ratios: dict[tuple[Phase, bool], list[float]]
    alone_s: dict[Phase, list[float]]
    left_out: dict[str, float]


def measure(cases: Cases, rounds: int, *, seed: int) -> Block:
    """One block of rounds, after trials."""
    sampler, meter, draw = HostSampler(), ThreadMeter(), Random(seed)
    everyone = warmed_up(cases, PHASES)
    mixed = {number: everyone[number] for number in everyone if number != TWIN}
    alone = {number: copy(everyone[number]) for number in (FUSED, TWIN)}
    early = {number: copy(contender) for number, contender in mixed.items()}
    find_warm_calls(cases, mixed, meter, draw)
    find_warm_calls(cases, alone, meter, draw)

    def times(field: dict[int, Contender], order: Sequence[int]) -> Mapping[str, float]:
        """What the last turn of `fused` in this order took."""
        return [
            turn.samples[0].wall_s
            for number in order
            for turn in [field[number].take_turn(sampler, meter, Pace(SAMPLE_S))]
            if number == FUSED
        ][-1]

    block = Block(
        {(phase, until_hot): [] for phase in PHASES for until_hot in (False, True)},
        {phase: [] for phase in PHASES},
        {
            name: sum(field[FUSED].warm_calls.values())
            for name, field in (("one call", early), ("mixed", mixed), ("alone", alone))
        },
    )
    for number in range(rounds):
        for until_hot in (False, True) if number % 2 else (True, False):
            field = mixed if until_hot else early
            in_mixed = times(field, draw.sample(list(field), len(field)))
            in_alone = times(alone, [TWIN, FUSED, TWIN, FUSED])
            for phase in PHASES:
                block.ratios[phase, until_hot].append(in_mixed[phase] / in_alone[phase])
                block.alone_s[phase].append(in_alone[phase])
    return block


def find_warm_calls(cases: Cases, field: dict[int, Contender], meter: ThreadMeter, draw: Random) -> None:
    """Trial rounds of a field, as a worker takes them."""

    def next_round() -> list[int]:
        return draw.sample(list(field), len(field))

    choose_warm_calls(cases, field, next_round, meter=meter, sample_s=SAMPLE_S, budget_s=BUDGET_S)


def show(shape: tuple[int, ...], blocks: list[Block]) -> None:
    """One line for each phase and way."""
    for phase in PHASES:
        alone_s = float(np.median([block.alone_s[phase] for block in blocks]))
        for until_hot in (False, True):
            medians = [float(np.median(block.ratios[phase, until_hot])) for block in blocks]
            low, middle, high = np.quantile(medians, [0.25, 0.5, 0.75])
            print(
                f"{format_shape(shape):>10}  {phase:<17}{format_seconds(alone_s):>9}  "
                f"{'until hot' if until_hot else 'one call':<9}  mixed / alone {middle:.3f} [{low:.3f}, {high:.3f}]",
                flush=True,
            )
    left_out = {name: np.mean([block.left_out[name] for block in blocks]) for name in blocks[0].left_out}
    print(f"{'':>10}  left out a turn: " + ", ".join(f"{name} {calls:.1f}" for name, calls in left_out.items()))


if __name__ == "__main__":
    main()
