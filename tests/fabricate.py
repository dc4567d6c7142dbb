"""Runs made of plain numbers: a plan, and turns with realistic noise around true times that a test chooses."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from lnbench.events import (
    PROBE_CASE,
    Built,
    Condensed,
    Confirming,
    Ended,
    Event,
    HardInputs,
    Noticed,
    Resumed,
    RunFinished,
    Turn,
    Verified,
    WorkerStarted,
    WorkloadFinished,
)
from lnbench.observed import Conditions, DeviceMemory, EnergyUse, Launching, MachineLook, MemoryUse, PhaseMemory
from lnbench.planned import (
    CacheSizes,
    Environment,
    Gpu,
    Notice,
    PlannedCase,
    PlannedWorkload,
    ProcessSpread,
    SamplingRecord,
    Stage,
    Status,
)
from lnbench.record import Baseline, Check, Header, Run
from lnbench.workload import Clock, Phase, Workload

WALL = (Clock.WALL,)
BOTH_CLOCKS = (Clock.WALL, Clock.DEVICE)
ENVIRONMENT = Environment(
    system="Linux 6.1",
    machine="x86_64",
    cpu="Fabricated CPU @ 2.50GHz",
    physical_cores=2,
    logical_cores=4,
    caches=CacheSizes(l2_b=2**20, last_level_b=32 * 2**20),
    memory_b=16 * 2**30,
    libc="glibc 2.36",
    python="3.11.9",
    versions={"torch": "2.13.0", "numpy": "2.4.6"},
)

GPU_ENVIRONMENT = ENVIRONMENT.model_copy(
    update={
        "gpus": (
            Gpu(
                index=0,
                name="NVIDIA H100 80GB HBM3",
                memory_b=85520809984,
                power_limit_w=700.0,
                max_sm_clock_hz=1.98e9,
                max_memory_clock_hz=2.619e9,
                ecc=True,
                mig=False,
                persistence=True,
            ),
        ),
        "gpu_driver": "580.159.04",
        "versions": {**ENVIRONMENT.versions, "cuda": "13.0", "cudnn": "9.13.0.50"},
        "settings": {"cuda_allocator": "expandable_segments:True"},
        "cpu_signature": "GenuineIntel family 6 model 143 stepping 8",
    }
)

SPREAD = ProcessSpread(device_name=ENVIRONMENT.cpu, deviation=0.02, freedom=16, runs=2)


def workload(shape: Sequence[int] = (256, 768), *, reference="fused", phases=tuple(Phase), clocks=WALL, **axes):
    """A planned workload that normalizes the last axis."""
    made = Workload(shape=tuple(shape), normalized_shape=(shape[-1],), threads=2, **axes)
    return PlannedWorkload(
        id=made.name(default_threads=2), workload=made, reference=reference, phases=phases, clocks=clocks
    )


def case(implementation: str, *, of=0, function="layer_norm", **fields) -> PlannedCase:
    """A planned case of workload number `of`."""
    return PlannedCase(workload=of, implementation=implementation, use=implementation, function=function, **fields)


def header(workloads: Iterable[PlannedWorkload], cases: Iterable[PlannedCase], **fields) -> Header:
    """A header for these workloads and cases."""
    return Header(
        **{
            "run_id": "20261122-154500-made",
            "created": "2026-11-22T15:45:00+00:00",
            "lnbench_version": "0.1.0",
            "suite": "made",
            "description": "Numbers without a machine.",
            "suite_text": "name: made\n",
            "seed": 1,
            "sampling": SamplingRecord(processes=1, precision=0.01, budget_s=5),
            "commit": "1a2b3c4d5e6f" * 3 + "1a2b",
            "environment": ENVIRONMENT,
            "workloads": tuple(workloads),
            "cases": tuple(cases),
            **fields,
        }
    )


def turn(number: int, seconds: float, *, of=0, process=0, round=0, started_s=0.0, clock=Clock.WALL, **fields) -> Turn:
    """A turn in which inference, forward and backward each took `seconds`."""
    samples = {"inference": seconds, "forward": seconds, "backward": seconds, "forward_backward": 2 * seconds}
    return Turn(
        process=process,
        workload=of,
        round=round,
        case=number,
        started_s=started_s,
        calls={"inference": 100, "step": 50},
        **{clock.field: samples, **fields},
    )


def looked_at(*, delay_s=0.0, wakeups=0, involuntary=0, cpu_s=0.02, kinds=("inference", "step"), **fields):
    """What a turn says of the scheduler: the same during a sample of each kind. By default nothing waited."""
    return {
        "delay_s": dict.fromkeys(kinds, delay_s),
        "wakeups": dict.fromkeys(kinds, wakeups),
        "involuntary": dict.fromkeys(kinds, involuntary),
        "voluntary": dict.fromkeys(kinds, 0),
        "cpu_s": dict.fromkeys(kinds, cpu_s),
        **fields,
    }


def noisy_turns(
    true_s: Mapping[int, float],
    *,
    of=0,
    processes=1,
    rounds=40,
    noise=0.01,
    between=0.0,
    seed=1,
    copy_s: float | None = None,
    disposal=0.01,
    device_share: float | None = None,
) -> Iterator[Turn]:
    """Rounds in shuffled order around each case's true forward time.

    The machine's own speed drifts (shared by a round's turns), each sample has `noise` of its own, one in fifty is hit
    by something else, and each process shifts each case by `between`. Backward takes twice the forward, inference 0.9
    of it. With `copy_s` a probe takes turns too; with `device_share` the device's clock sees that share of the wall's.
    """
    draw = np.random.default_rng(seed)
    for process in range(processes):
        base_s = {number: seconds * np.exp(draw.normal(0, between)) for number, seconds in true_s.items()}
        if copy_s is not None:
            base_s[PROBE_CASE] = copy_s
        drift = 0.0
        for number_of_round in range(rounds):
            drift = 0.9 * drift + draw.normal(0, 0.004)
            for place, number in enumerate(draw.permutation(list(base_s)).tolist()):
                inference_s, forward_s, backward_s = (
                    share
                    * float(base_s[number] * np.exp(drift + draw.normal(0, noise)))
                    * (1.3 if draw.random() < 0.02 else 1.0)
                    for share in (0.9, 1.0, 2.0)
                )
                wall_s = {
                    "inference": inference_s,
                    "forward": forward_s,
                    "backward": backward_s,
                    "forward_backward": forward_s + backward_s,
                }
                if number == PROBE_CASE:
                    wall_s = {"copy": forward_s}
                yield Turn(
                    process=process,
                    workload=of,
                    round=number_of_round,
                    case=number,
                    started_s=0.01 * (number_of_round * len(base_s) + place),
                    calls={"copy": 50} if number == PROBE_CASE else {"inference": 100, "step": 50},
                    wall_s=wall_s if number == PROBE_CASE else wall_s | {"disposal": disposal * 3 * true_s[number]},
                    device_s={} if device_share is None else {name: device_share * s for name, s in wall_s.items()},
                    faults={} if number == PROBE_CASE else {"inference": 0.0, "step": 0.0},
                )


def run(workloads: Iterable[PlannedWorkload], cases: Iterable[PlannedCase], events: Iterable[Event], **fields) -> Run:
    """A run that was read."""
    return Run(header=header(workloads, cases, **fields), events=tuple(events))


def ended(number: int, status: Status, reason: str, *, process=0, stage=Stage.TIMING, clock=None) -> Ended:
    """A case that did not end well, or its rows on one clock."""
    return Ended(process=process, case=number, status=status, stage=stage, reason=reason, clock=clock)


def finished(of=0, *, process=0, rounds=40, stopped_by="precision") -> WorkloadFinished:
    """A process that is done with a workload."""
    return WorkloadFinished(process=process, workload=of, rounds=rounds, stopped_by=stopped_by, rounds_s=4.0)


def machine_look(*, of: int | None = None, process=0, wanted=2, cores=2, **figures) -> MachineLook:
    """A look at the machine while workload `of` was measured; before the run where it is None."""
    at = {} if of is None else {"process": process, "workload": of}
    return MachineLook(seconds=0.5, cores=cores, wanted=wanted, **at, **figures)


BUSY_LOOKS = (machine_look(others=1.9, load=4.1), machine_look(of=0, others=1.2, load=3.9))
"""Other processes used 1.9 of 2 cores before the run, and 1.2 during its first workload."""


def everything() -> Run:
    """A run in which each thing that a table has to show happens once."""
    workloads = [
        workload((8, 128, 768), label="gpt2"),
        workload((8, 128, 768), dtype="bfloat16", param_dtype="bfloat16"),
        workload((4096, 4096), device="cuda", clocks=BOTH_CLOCKS),
        workload((2, 64), device="cuda:7"),
    ]
    cases = [
        case("eager"),
        case("compiled"),
        case("fused"),
        case("batch_norm", function="batch_norm", norm_mode="train"),
        case("shifted"),
        case("crashing"),
        case("odd", status=Status.UNSUPPORTED, reason="needs an even number of features"),
        case("eager", of=1),
        case("fused", of=1),
        case("late", of=1),
        case("fused", of=2),
        case("compiled_max_autotune", of=2),
        case("fused", of=3, status=Status.SKIPPED, reason="there is no cuda:7 here"),
    ]
    events: list[Event] = [
        WorkerStarted(process=0, worker=0, device="cpu", device_name="Fabricated CPU @ 2.50GHz", import_s=1.5),
        WorkerStarted(
            process=0,
            worker=1,
            device="cuda",
            device_name="NVIDIA Fabricated",
            import_s=2.5,
            versions={"torch": "2.13.0"},
        ),
        Noticed(notice=Notice(code="busy", text="another process used 20 % of this machine")),
        *(Built(process=0, case=number, build_s=0.01, first_call_s=0.002) for number in (0, 2, 3, 7, 8)),
        Built(process=0, case=1, build_s=0.01, first_call_s=21.0, compiled_cold=True, graphs=2, graph_breaks=0),
        Built(process=1, case=1, build_s=0.01, first_call_s=1.5, compiled_cold=False, graphs=2, graph_breaks=0),
        Verified(
            process=0,
            case=2,
            moment="before",
            max_relative_error={"y": 1e-7, "dx": 3e-7},
            share_of_tolerance={"y": 0.1, "dx": 0.2},
            repeats=True,
        ),
        HardInputs(process=0, case=2, dtype="float32", max_relative_error={"constant rows": {"y": 2e-6, "dx": 1e-6}}),
        memory_use(2, peak_b=1_600_000, output_b=786_432, saved_b=2048, temporary_b=0),
        memory_use(0, peak_b=4_718_592, output_b=786_432, saved_b=1_572_864, temporary_b=3_145_728),
        ended(4, Status.WRONG, "dbias is 40 times its tolerance off", stage=Stage.VERIFY),
        *noisy_turns({0: 330e-6, 1: 105e-6, 2: 100e-6, 3: 210e-6, 5: 99e-6}, copy_s=80e-6, seed=2),
        ended(5, Status.CRASH, "the worker died of SIGSEGV in backward"),
        Noticed(notice=Notice(code="inaccurate", text="off on inputs with a large mean"), workload=0, case=0),
        Noticed(notice=Notice(code="spoiled", text="3 rounds were dropped: the CPU was throttled"), workload=0),
        finished(0),
        ended(8, Status.OOM, "out of memory while building"),
        *noisy_turns({7: 500e-6}, of=1, disposal=0.05, rounds=25, seed=3),
        finished(1, rounds=25, stopped_by="budget"),
        *noisy_turns({10: 80e-6, 11: 70e-6}, of=2, device_share=0.3, noise=0.003, copy_s=70e-6, seed=4),
        Conditions(
            process=0,
            workload=2,
            first_round=0,
            last_round=2,
            seconds=0.06,
            readings={"steal_share": 0.0, "sm_clock_hz": 1.98e9, "power_w": 320.0, "temperature_c": 51.0},
        ),
        EnergyUse(
            process=0,
            case=10,
            kind="step",
            source="NVML",
            calls=40_000,
            window_s=2.5,
            joules=800.0,
            idle_before_w=70.0,
            idle_after_w=74.0,
        ),
        DeviceMemory(process=0, case=10, nvml_process_bytes=700_000_000, nvml_device_bytes=900_000_000),
        finished(2),
        RunFinished(wall_s=33.0),
    ]
    return run(workloads, cases, events)


def batch_run() -> Run:
    """Batch sizes from 1 to 64: a batch norm in both of its modes, which overtakes the layer norm on the way."""
    sizes = [2**power for power in range(7)]
    names = (("fused", "layer_norm", ""), ("batch_norm", "batch_norm", "train"), ("batch_norm", "batch_norm", "eval"))
    workloads = [workload((size, 1024)) for size in sizes]
    cases = [case(name, of=of, function=function, norm_mode=mode) for of in range(7) for name, function, mode in names]
    turns = [
        made
        for of, size in enumerate(sizes)
        for made in noisy_turns(
            {3 * of: 1e-5 + 4e-7 * size, 3 * of + 1: 2e-5 + 1e-7 * size, 3 * of + 2: 6e-6 + 1e-7 * size},
            of=of,
            rounds=25,
            copy_s=2e-6 + 5e-8 * size,
            seed=of,
        )
    ]
    return run(workloads, cases, turns)


def wide_run(*, workloads: int, implementations: int, processes: int, rounds: int) -> Run:
    """So many cases on workloads of growing size."""
    names = ["fused", *(f"implementation_{number}" for number in range(1, implementations))]
    cases = [case(name, of=of) for of in range(workloads) for name in names]
    turns = [
        made
        for of in range(workloads)
        for made in noisy_turns(
            {of * implementations + place: 1e-5 * (of + 1) * (1 + 0.2 * place) for place in range(implementations)},
            of=of,
            processes=processes,
            rounds=rounds,
            copy_s=5e-6 * (of + 1),
            seed=of,
        )
    ]
    memory = [
        memory_use(number, peak_b=4000, output_b=2000, saved_b=500, temporary_b=100) for number in range(len(cases))
    ]
    return run([workload((64 * (of + 1), 768)) for of in range(workloads)], cases, [*turns, *memory])


def memory_use(number: int, *, peak_b: int, output_b: int, saved_b: int, temporary_b: int) -> MemoryUse:
    """The memory of a case, the same in every phase."""
    found = PhaseMemory(peak_b=peak_b, output_b=output_b, temporary_b=temporary_b)
    return MemoryUse(process=0, case=number, phases=dict.fromkeys(Phase, found), saved_b=saved_b, kept_b=saved_b)


def every_event() -> Run:
    """A check with every kind of event in it: what the sample of a schema version is made of.

    `python tests/fabricate.py > tests/samples/schema-N.jsonl` writes that of the current version.
    """
    made = everything()
    condensed = Condensed(
        process=0,
        case=0,
        phase=Phase.FORWARD,
        clock=Clock.WALL,
        rounds=40,
        median_s=3e-4,
        log_speedup=-1.2,
        log_copy=-2.0,
    )
    started = WorkerStarted(
        process=1, worker=2, device="cpu", device_name="Fabricated CPU @ 2.50GHz", import_s=1.5, fault_s=2.5e-7,
        flushes_denormals=False, wakeup_s=6e-6,
    )  # fmt: skip
    looked_turns = [
        turn(
            2, 1e-4, process=1, round=0, started_s=0.01, sample=0, reach_s=0.002, **looked_at(wakeups=2, delay_s=1e-5)
        ),
        turn(2, 1e-4, process=1, round=0, started_s=0.01, sample=1, **looked_at(delay_s=3e-3, involuntary=1)),
        turn(2, 1e-4, process=1, round=1, started_s=0.02, steal_s=0.01, **looked_at()),
        turn(
            10, 3e-5, of=2, process=1, round=40, clock=Clock.DEVICE, device_calls={"inference": 48, "step": 24},
            batch_s={"inference": 2.5e-5}, batch_calls={"inference": 96},
        ),
        turn(10, 2e-5, of=2, process=1, round=41, clock=Clock.GRAPH, graph_calls={"inference": 400, "step": 400}),
    ]  # fmt: skip
    unstable = condensed.model_copy(
        update={"case": 1, "median_s": None, "log_speedup": None, "rounds": 0, "unstable": "0 of 40 rounds undisturbed"}
    )
    check = Check(
        source="baseline.jsonl",
        allowed=("missing",),
        baseline=Baseline(digest="0" * 64, header=made.header, events=(condensed,)),
    )
    return Run(
        header=made.header.model_copy(
            update={"check": check, "process_spread": (SPREAD,), "environment": GPU_ENVIRONMENT}
        ),
        events=(
            *_few_of_each_kind(made.events),
            started,
            *looked_turns,
            condensed,
            unstable,
            Confirming(first_process=3, cases=(0, 1)),
            Resumed(at="2026-11-22T18:00:00+00:00"),
            Launching(
                process=0,
                case=10,
                host_overhead_s={Phase.INFERENCE: 4e-6},
                kernel_s={Phase.INFERENCE: 1.9e-5},
                launches={Phase.INFERENCE: 2.0},
            ),
            ended(11, Status.UNSUPPORTED, "it waits for the device", stage=Stage.CAPTURE, clock=Clock.GRAPH),
            WorkloadFinished(process=0, workload=2, rounds=40, stopped_by="budget", rounds_s=2.0, on_graph=True),
            machine_look(others=1.9, waiting=2.1, pressure=0.9, load=4.1),
            machine_look(of=1, others=1.2, waiting=0.4, load=3.9),
        ),
    )


def _few_of_each_kind(events: Iterable[Event]) -> Iterator[Event]:
    """At most six events of each kind, in order."""
    seen: Counter[str] = Counter()
    for event in events:
        seen[event.event] += 1
        if seen[event.event] <= 6:
            yield event


if __name__ == "__main__":
    found = every_event()
    sys.stdout.write("".join(f"{line.model_dump_json()}\n" for line in (found.header, *found.events)))
