"""How long reading a large journal takes, and how much memory: the real commands, on a run that is made up.

The plan is 4 workloads of 6 implementations, measured by 5 processes, with the probe's turns and looks at the machine
between. A sample is one row of `report --format csv --samples`: a turn of a case has five of them (inference, the three
phases of a step, disposal). --turns counts turns instead, so that the same number means a journal five times as large.

    python benchmarks/large_journal.py
    python benchmarks/large_journal.py --number 1000000 --turns
"""

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from lnbench.events import PROBE_CASE, Built, Event, RunFinished, Turn, Verified, WorkerStarted, WorkloadFinished
from lnbench.observed import Conditions
from lnbench.planned import CacheSizes, Environment, PlannedCase, PlannedWorkload, SamplingRecord
from lnbench.record import Header
from lnbench.workload import Clock, Phase, Workload

IMPLEMENTATIONS = ("fused", "eager", "compiled", "triton", "liger", "apex")
SHAPES = ((2048, 768), (4096, 1024), (8192, 1024), (1024, 4096))
PROCESSES = 5
SAMPLES_OF_A_TURN = 5
LOOK_EVERY_ROUNDS = 8


def header(run_id: str) -> Header:
    """What the made run planned."""
    workloads = [Workload(shape=shape, normalized_shape=shape[-1:], threads=2) for shape in SHAPES]
    return Header(
        run_id=run_id,
        created="2026-11-22T15:45:00+00:00",
        lnbench_version="0.1.0",
        suite="large",
        suite_text="name: large\n",
        seed=1,
        sampling=SamplingRecord(processes=PROCESSES, precision=0.01, budget_s=3600),
        environment=Environment(
            system="Linux 6.1",
            machine="x86_64",
            cpu="Made-up CPU",
            physical_cores=2,
            logical_cores=4,
            caches=CacheSizes(l2_b=2**20, last_level_b=2**25),
            memory_b=2**34,
            versions={"torch": "2.13.0"},
        ),
        workloads=tuple(
            PlannedWorkload(
                id=found.name(default_threads=2),
                workload=found,
                reference="fused",
                phases=tuple(Phase),
                clocks=(Clock.WALL,),
            )
            for found in workloads
        ),
        cases=tuple(
            PlannedCase(workload=number, implementation=name, use=name, function="layer_norm")
            for number in range(len(workloads))
            for name in IMPLEMENTATIONS
        ),
    )


def events(*, turns: int, seed: int) -> Iterator[Event]:
    """What happened: the asked number of cases' turns, a little more for whole rounds, and all that belongs to them."""
    rounds = math.ceil(turns / (PROCESSES * len(SHAPES) * len(IMPLEMENTATIONS)))
    draw = np.random.default_rng(seed)
    for process in range(PROCESSES):
        yield WorkerStarted(
            process=process, worker=process, device="cpu", device_name="Made-up CPU", import_s=1.5, fault_s=1e-7
        )
        for workload in range(len(SHAPES)):
            cases = range(workload * len(IMPLEMENTATIONS), (workload + 1) * len(IMPLEMENTATIONS))
            for case in cases:
                yield Built(process=process, case=case, build_s=0.01, first_call_s=0.02)
                errors = {"y": 1e-7, "dx": 2e-7}
                yield Verified(
                    process=process, case=case, moment="before", max_relative_error=errors, share_of_tolerance=errors
                )
            yield from _rounds(process, workload, cases, rounds=rounds, draw=draw)
            yield WorkloadFinished(
                process=process, workload=workload, rounds=rounds, stopped_by="budget", rounds_s=0.01 * rounds
            )
    yield RunFinished(wall_s=3600.0)


def _rounds(process: int, workload: int, cases: range, *, rounds: int, draw: np.random.Generator) -> Iterator[Event]:
    for number in range(rounds):
        noise = np.exp(draw.normal(0, 0.02, (len(cases) + 1, 2))).tolist()
        start = 0.01 * number
        for place, ((forward, backward), case) in enumerate(zip(noise, (*cases, PROBE_CASE), strict=True)):
            shared = {"process": process, "workload": workload, "round": number, "case": case}
            shared["started_s"] = start + 0.001 * place
            if case == PROBE_CASE:
                copies = {"copy": 8e-5 * forward, "step_copy": 1.6e-4 * backward, "launch": 1e-6}
                yield Turn(**shared, calls=dict.fromkeys(copies, 50), wall_s=copies)
                continue
            forward_s, backward_s = 1e-4 * (1 + 0.1 * place) * forward, 2e-4 * (1 + 0.1 * place) * backward
            yield Turn(
                **shared,
                calls={"inference": 100, "step": 50},
                uncounted=3,
                wall_s={
                    "inference": 0.9 * forward_s,
                    "forward": forward_s,
                    "backward": backward_s,
                    "forward_backward": forward_s + backward_s,
                    "disposal": 2e-6,
                },
                faults={"inference": 0.0, "step": 0.02},
            )
        if number % LOOK_EVERY_ROUNDS == LOOK_EVERY_ROUNDS - 1:
            yield Conditions(
                process=process,
                workload=workload,
                first_round=number - LOOK_EVERY_ROUNDS + 1,
                last_round=number,
                seconds=0.08,
                readings={"steal_share": 0.0, "involuntary_switches": 2.0, "load": 0.5, "frequency_hz": 3e9},
            )


def write(path: Path, *, turns: int, seed: int) -> None:
    """A journal of a made run."""
    with path.open("w", encoding="utf-8") as file:
        file.write(header(f"made-{seed}").model_dump_json() + "\n")
        found = events(turns=turns, seed=seed)
        while chunk := list(islice(found, 10_000)):
            file.writelines(f"{event.model_dump_json()}\n" for event in chunk)


def measure(folder: Path, *arguments: str) -> tuple[float, float]:
    """The wall time in seconds and the peak memory in MiB of one real command."""
    started = perf_counter()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "lnbench", *arguments], cwd=folder, stdout=output)
        _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"lnbench {' '.join(arguments)} failed")
    return perf_counter() - started, _mebibytes(used)


def _mebibytes(used: resource.struct_rusage) -> float:
    return used.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Make two runs, show each command's figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--number", type=int, default=1_000_000, help="how many samples")
    parser.add_argument("--turns", action="store_true", help="so many turns, and five times as many samples")
    parser.add_argument("--samples-too", action="store_true", help="also report --format csv --samples")
    asked = parser.parse_args()
    turns = asked.number if asked.turns else asked.number // SAMPLES_OF_A_TURN
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for seed, name in enumerate(("base.jsonl", "head.jsonl")):
            write(folder / name, turns=turns, seed=seed)
        size = (folder / "base.jsonl").stat().st_size / (1 << 20)
        print(f"{turns:,} turns, {turns * SAMPLES_OF_A_TURN:,} samples, {size:.0f} MiB each")
        commands = ["report base.jsonl", "report base.jsonl --format csv", "report base.jsonl --format markdown"]
        commands += ["compare base.jsonl head.jsonl", "baseline base.jsonl --output small.jsonl"]
        if asked.samples_too:
            commands.append("report base.jsonl --format csv --samples")
        for command in commands:
            seconds, mebibytes = measure(folder, *command.split())
            print(f"{seconds:6.2f} s {mebibytes:6.0f} MiB  lnbench {command}", flush=True)


if __name__ == "__main__":
    main()
