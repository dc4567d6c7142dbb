"""Runs of one suite, night after night, as condensed runs: each with a commit of its own, and changes where planted."""

import gzip
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from pathlib import Path

import numpy as np
from fabricate import ENVIRONMENT, case, header, workload

from lnbench.events import Condensed, Ended
from lnbench.planned import Stage, Status
from lnbench.record import Run
from lnbench.workload import Clock, Phase

FIRST = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
TIMES = {"fused": 1e-4, "eager": 3.3e-4, "compiled": 1.3e-4, "module": 1.02e-4}
PHASES = (Phase.FORWARD, Phase.BACKWARD)
NOISE = 0.006


def commit_of(night: int) -> str:
    """The commit that was measured in a night."""
    return sha1(str(night).encode()).hexdigest()


@dataclass(kw_only=True)
class Night:
    """One night. `slowdowns`: implementation -> factor on its time. `failed`: implementations that crashed."""

    number: int
    slowdowns: dict[str, float] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    environment: object = ENVIRONMENT
    processes: int = 3
    suite: str = "nightly"
    times: dict[str, float] = field(default_factory=lambda: dict(TIMES))
    noise: float = NOISE
    label: str = ""
    copy_s: float | None = 5e-5
    fields: dict = field(default_factory=dict)


def run_of(night: Night) -> Run:
    """The run of a night, each process telling the ratio with noise between runs and between processes."""
    draw = np.random.default_rng(night.number)
    copies = np.random.default_rng(1000 + night.number)
    workloads = [
        workload((256, 768), phases=PHASES, label=night.label),
        workload((2048, 1024), phases=PHASES, dtype="bfloat16", param_dtype="bfloat16"),
    ]
    cases = [case(name, of=of) for of in range(len(workloads)) for name in night.times]
    events: list = []
    for number, planned in enumerate(cases):
        name = planned.implementation
        if name in night.failed:
            reason = "SIGSEGV in backward, at timing"
            events.append(Ended(process=0, case=number, status=Status.CRASH, stage=Stage.TIMING, reason=reason))
            continue
        for phase in PHASES:
            seconds = night.times[name] * night.slowdowns.get(name, 1.0)
            against = night.times["fused"] * night.slowdowns.get("fused", 1.0)
            shared = draw.normal(0, night.noise)
            if name == "fused" and night.copy_s is not None:
                over_copy = math.log(night.copy_s / seconds) + copies.normal(0, night.noise / 2)
            else:
                over_copy = None
            for process in range(night.processes):
                off = 0.0 if name == "fused" else shared + draw.normal(0, night.noise / 2)
                events.append(
                    Condensed(
                        process=process,
                        case=number,
                        phase=phase,
                        clock=Clock.WALL,
                        rounds=40,
                        median_s=seconds,
                        log_speedup=None if "fused" in night.failed else math.log(against / seconds) + off,
                        log_copy=over_copy,
                    )
                )
    at = FIRST + timedelta(days=night.number)
    made = header(
        workloads,
        cases,
        **{
            "run_id": f"{at:%Y%m%d-%H%M%S}-{night.suite}",
            "created": at.isoformat(timespec="seconds"),
            "suite": night.suite,
            "commit": commit_of(night.number),
            "environment": night.environment,
            **night.fields,
        },
    )
    return Run(header=made, events=tuple(events))


def nights(count: int, change: Callable[[int], dict] = lambda _: {}, **shared) -> list[Run]:
    """So many nights; `change` gives what a night's number makes different."""
    return [run_of(Night(number=number, **{**shared, **change(number)})) for number in range(count)]


def slower_from(first: int, *, by: float = 0.08, name: str = "compiled", **also) -> Callable[[int], dict]:
    """What `nights` takes, for one implementation that is slower from a night on; `also` holds from then on too."""
    return lambda night: {"slowdowns": {name: 1 + by}, **also} if night >= first else {}


def with_versions(**versions: str) -> object:
    """The environment with other versions."""
    return ENVIRONMENT.model_copy(update={"versions": {**ENVIRONMENT.versions, **versions}})


def keep(runs: Iterable[Run], folder: Path) -> Path:
    """Write runs as a folder of runs, every third one packed; returns the folder."""
    for number, run in enumerate(runs):
        place = folder / run.header.run_id
        place.mkdir(parents=True)
        text = "".join(f"{line.model_dump_json()}\n" for line in (run.header, *run.events))
        if number % 3 == 2:
            (place / "run.jsonl.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (place / "run.jsonl").write_text(text)
    return folder
