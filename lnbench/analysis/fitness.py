"""Is a machine fit to measure on? What was read, surveyed and measured, weighed into findings with advice."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

import numpy as np

from lnbench.analysis.power import power_of
from lnbench.busyness import free_cores, is_busy, seen, worst
from lnbench.contrasts import contrast_sides
from lnbench.evidence import Evidence
from lnbench.examined import Survey, Trial
from lnbench.observed import MachineLook
from lnbench.planned import Environment
from lnbench.ratios import paired
from lnbench.record import Run
from lnbench.sides import Side
from lnbench.speedups import Speedups
from lnbench.units import format_percent, format_seconds
from lnbench.view import default_clock
from lnbench.workload import Phase

QUIET, NOISY, UNFIT = 0.005, 0.015, 0.05
"""How far the ratio of identical work may lay apart from process to process: below the first a machine is quiet, above
the second noisy, above the third it is unfit. Measured on two shared virtual cores: 0.1 to 0.7 %."""

MOST_STEAL_PERCENT = 5.0
MOST_QUOTA_PERCENT = 1.0
BUSY_SHARE = 0.5
"""The load per core from which others are at work."""

OVERLOAD = 1.5
"""The load per core from which a machine is unfit, although others may rest at the moment: over the last minute more
was to be done than its cores can do. A run of lnbench that has just ended leaves up to 1."""

OTHERS = "other processes"
"""The subject of the finding that other processes use the cores."""

MOSTLY = 0.5
"""The share of the looks at a busy machine from which it counts as busy all the time."""

COARSE_STEP_S = 1e-6
PROCESSES = (3, 5, 10)
"""Numbers of processes for which is told what can be resolved."""


class Level(StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    NOTE = "note"
    WARNING = "warning"
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was seen, and what to do about it.

    `most_threads`: how many threads a run may use, where the finding limits them.
    """

    level: Level
    subject: str
    seen: str
    advice: str = ""
    most_threads: int | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """How far identical work lay apart, relative, as standard deviations.

    `rounds`, `processes`: of its ratio; the second is the score. `absolute`: of its time, between processes.
    `half_width`: of a slowdown's 95 % interval, and `smallest`: the slowdown that is confirmed in 80 % of checks, for
    the median row, by the number of processes; None where it is beyond measure.
    """

    rounds: float
    processes: float
    absolute: float
    half_width: dict[int, float | None]
    smallest: dict[int, float | None]
    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """What can be read without measuring. `load`: over a minute; `on_battery`: None where there is none;
    `shadowing`: the version of a `pynvml` distribution that takes the place of nvidia-ml-py; "" without one.
    `look`: how much of the machine other processes use; None where it was not read.
    """

    environment: Environment
    load: float | None
    on_battery: bool | None
    free_memory_b: int
    shadowing: str
    look: MachineLook | None = None


@dataclass(frozen=True, slots=True)
class Fitness:
    """All that an examination came to."""

    read: Read
    surveys: tuple[Survey, ...]
    noise: Noise | None
    trials: tuple[Trial, ...]
    findings: tuple[Finding, ...]

    @property
    def most_threads(self) -> int | None:
        """The threads for which other processes leave room, where that is fewer than a run uses by default."""
        return next((finding.most_threads for finding in self.findings if finding.most_threads is not None), None)

    @property
    def is_busy(self) -> bool:
        """True where other processes used the cores meanwhile, so that the bandwidths read too low."""
        return any(finding.subject == OTHERS for finding in self.findings)

    @property
    def is_fit(self) -> bool:
        """True when measuring here makes sense."""
        return all(finding.level is not Level.UNFIT for finding in self.findings)


def noise_of(run: Run, *, seconds: float) -> Noise | None:
    """How noisy a run of identical work was; None where fewer than three processes measured it."""
    evidence = Evidence(run)
    speedups = Speedups(evidence)
    rounds, processes, absolute = [], [], []
    for number, case in enumerate(run.header.cases):
        reference, clock = evidence.reference(number), default_clock(run.header.workloads[case.workload])
        series = evidence.row(number, Phase.INFERENCE, clock=clock).series
        speedup_by_process = speedups.locations(number, Phase.INFERENCE, clock=clock)
        if reference is None or reference == number or len(speedup_by_process) < min(PROCESSES):
            continue
        base = evidence.row(reference, Phase.INFERENCE, clock=clock).series
        rounds += [float(np.std(ratios)) for ratios in paired(series, base).values() if len(ratios) > 1]
        processes.append(stdev(speedup_by_process.values()))
        absolute.append(stdev(math.log(float(np.median(np.asarray(turns.seconds)))) for turns in series.values()))
    if not processes or not rounds:
        return None
    contrasts = contrast_sides(Side(run), margin=None)
    powers = {count: power_of(contrasts, processes=count) for count in PROCESSES}
    return Noise(
        rounds=fmean(rounds),
        processes=math.sqrt(fmean(it**2 for it in processes)),
        absolute=math.sqrt(fmean(it**2 for it in absolute)),
        half_width={count: _finite_middle(power.half_width for power in found) for count, found in powers.items()},
        smallest={count: _finite_middle(power.smallest for power in found) for count, found in powers.items()},
        seconds=seconds,
    )


def weigh(
    read: Read, surveys: Sequence[Survey], noise: Noise | None, trials: Sequence[Trial], *, run: Run | None
) -> tuple[Finding, ...]:
    """Every finding, the gravest first."""
    found = [
        *_settings(read),
        *_busy(read, run),
        *(finding for survey in surveys[:1] for finding in _clock(survey)),
        *_noise(noise),
        *_trials(trials),
    ]
    if run is not None:
        found += _meanwhile(run)
    gravest = list(Level)[::-1]
    return tuple(sorted(found, key=lambda finding: gravest.index(finding.level)))


def _settings(read: Read) -> Iterator[Finding]:
    settings = read.environment.settings
    governor = settings.get("governor")
    if governor not in {None, "performance"}:
        yield Finding(
            Level.WARNING, "governor", governor or "", "`cpupower frequency-set -g performance` keeps the frequency up"
        )
    if settings.get("turbo") == "on":
        yield Finding(
            Level.NOTE, "turbo", "on", "the frequency follows heat and neighbours; turned off, times are steadier"
        )
    if settings.get("smt") == "on":
        yield Finding(
            Level.NOTE, "SMT", "on", "two threads share a core; the default of one thread per physical core is right"
        )
    nodes = int(settings.get("numa_nodes", "1"))
    if nodes > 1:
        yield Finding(
            Level.NOTE, "NUMA", f"{nodes} nodes", "`numactl --cpunodebind=0 --membind=0 lnbench ...` keeps to one"
        )
    if settings.get("virtualized"):
        yield Finding(
            Level.NOTE, "virtual machine", "yes", "neighbours come and go: compare only what took turns in one process"
        )
    if read.on_battery:
        yield Finding(Level.WARNING, "power supply", "battery", "plug it in: on battery clocks are held back")
    if read.shadowing:
        yield Finding(
            Level.WARNING,
            "pynvml",
            f"the deprecated distribution pynvml {read.shadowing} is installed",
            "it takes the place of nvidia-ml-py's module: `pip uninstall pynvml`, then "
            "`pip install --force-reinstall nvidia-ml-py`",
        )


def _busy(read: Read, run: Run | None) -> Iterator[Finding]:
    """What other processes use: what has not even one core free is unfit, what has fewer than a run uses is warned of.

    Whether others use cores is looked at before and during the measuring of identical work.
    """
    cores, advice = read.environment.logical_cores, "other processes are using the CPU: stop them, or retry later"
    if read.load is not None and read.load > BUSY_SHARE * cores:
        level = Level.UNFIT if read.load > OVERLOAD * cores else Level.WARNING
        yield Finding(level, "load", f"{read.load:.2g} on {cores} core{'s' if cores != 1 else ''}", advice)
    during = [] if run is None else [look for look in Evidence(run).machine_looks if look.workload is not None]
    busy = [look for look in during if is_busy(look)]
    if len(busy) <= MOSTLY * len(during):
        busy = []
    look = worst(look for look in (*busy, read.look) if look is not None and is_busy(look))
    if look is None:
        return
    free = free_cores(look)
    if not free:
        yield Finding(Level.UNFIT, OTHERS, seen(look), "no core is free: stop them, or retry later")
        return
    are_free = "1 core is" if free == 1 else f"{free} cores are"
    yield Finding(
        Level.WARNING,
        OTHERS,
        seen(look),
        f"only {are_free} free, and a run uses {look.wanted} threads by default: stop them, or use threads: {free}",
        most_threads=free,
    )


def _clock(survey: Survey) -> Iterator[Finding]:
    if survey.timer_step_s > COARSE_STEP_S:
        yield Finding(
            Level.WARNING,
            "clock",
            f"steps of {format_seconds(survey.timer_step_s, digits=2)}",
            "samples have to be long; another clock source (tsc) would be finer",
        )


def _noise(noise: Noise | None) -> Iterator[Finding]:
    if noise is None:
        yield Finding(
            Level.UNFIT, "noise", "identical work could not be measured", "see what is said above, and try again"
        )
        return
    seen = f"identical work lies {format_percent(noise.processes)} apart from process to process"
    if noise.processes > UNFIT:
        yield Finding(Level.UNFIT, "noise", seen, "too much for any verdict: end what else is at work here")
    elif noise.processes > NOISY:
        yield Finding(Level.WARNING, "noise", seen, "use more processes, or a quieter machine")
    elif noise.processes > QUIET:
        yield Finding(Level.NOTE, "noise", seen)
    else:
        yield Finding(Level.FINE, "noise", seen)


def _trials(trials: Sequence[Trial]) -> Iterator[Finding]:
    for trial in trials:
        if trial.name == "torch" and trial.status != "works":
            yield Finding(Level.UNFIT, "torch", trial.detail, "lnbench needs it: `pip install torch`")
        elif trial.status == "fails":
            yield Finding(Level.WARNING, trial.name, f"fails: {trial.detail}", "its cases will fail the same way")


def _meanwhile(run: Run) -> Iterator[Finding]:
    """What disturbed the measuring of identical work."""
    looks = [look for found in Evidence(run).conditions.values() for look in found]
    seconds = sum(look.seconds for look in looks)
    if not seconds:
        return
    steal = 100 * sum(look.readings.get("steal_share", 0.0) * look.seconds for look in looks) / seconds
    quota = 100 * sum(look.readings.get("throttled_s", 0.0) for look in looks) / seconds
    if steal > MOST_STEAL_PERCENT:
        yield Finding(
            Level.WARNING, "steal", f"{steal:.2g} % of the cores' time", "the host is overbooked: try another"
        )
    if quota > MOST_QUOTA_PERCENT:
        yield Finding(
            Level.WARNING,
            "CPU quota",
            f"held back {quota:.2g} % of the time",
            "give the container more CPU, or fewer threads",
        )


def _finite_middle(values: Iterable[float | None]) -> float | None:
    """The median, where None is beyond measure; None where the median is, or where there is nothing."""
    found = [math.inf if value is None else value for value in values]
    middle = float(np.median(found)) if found else math.inf
    return middle if math.isfinite(middle) else None
