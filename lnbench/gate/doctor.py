"""Examining a machine: read it, survey it, measure identical work on it, try what is installed, and weigh all that."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from time import monotonic

import psutil
from pydantic import ValidationError

from lnbench.analysis.fitness import Fitness, Noise, Read, noise_of, weigh
from lnbench.conductor.busy_watch import BusyWatch
from lnbench.conductor.calling import call_worker
from lnbench.conductor.listening import Observer
from lnbench.conductor.measuring import RunOptions, measure
from lnbench.conductor.preparation import Prepared, Request, prepare
from lnbench.conductor.runner import DEFAULT_TIMEOUT_S
from lnbench.errors import ExitCode, LnbenchError
from lnbench.examined import Survey, Trial
from lnbench.measure.environment import read_environment, usable_physical_cores
from lnbench.measure.nvml import Nvml
from lnbench.plan import Plan
from lnbench.record import Check, Run
from lnbench.verdict import LEAST_PROCESSES
from lnbench.worker.trials import TRIALS

PLANTED = Path(__file__).resolve().parents[1] / "implementations" / "planted.py"
SHAPES = "[[8, 768], [64, 1024], [1024, 1024]]"
SURVEY_TIMEOUT_S = 120.0
TRIAL_TIMEOUT_S = 180.0
"""A first import of a large framework, or a first compilation, on a slow disk."""

START_S = 4.0
"""Roughly what a worker takes before and beside its rounds, per process."""

LEAST_BUDGET_S = 0.3


def suite_text(seconds: float) -> str:
    """The suite of identical work: one case against its twin."""
    workloads = LEAST_PROCESSES * 3
    budget_s = float(f"{max((seconds - LEAST_PROCESSES * START_S) / workloads, LEAST_BUDGET_S):.3g}")
    total_s = workloads * budget_s  # no extra time on a busy machine: the command takes as long as it was given
    return f"""name: doctor
description: How far apart does identical work lie here?
reference: one
implementations:
  - {{use: planted, as: one, options: {{repeats: 4}}}}
  - {{use: planted, as: twin, options: {{repeats: 4}}}}
workloads:
  - shapes: {SHAPES}
    phases: [inference]
sampling: {{processes: {LEAST_PROCESSES}, precision: 0.0005, budget_s: {budget_s}, budget_total_s: {total_s}}}
"""


def examine(*, seconds: float, make_observer: Callable[[Plan], Observer], say: Callable[[str], None]) -> Fitness:
    """Examine this machine; `seconds` for identical work, some more for the rest. `say` tells what comes next.

    Raises KeyboardInterrupt when the user ends it.
    """
    nvml = Nvml()
    read = read_machine(nvml)
    say("surveying the machine")
    surveys = [_survey("cpu")]
    say(f"measuring identical work for about {seconds:g} s")
    noise, run = _measure_noise(seconds, make_observer)
    say("trying what is installed")
    trials = tuple(_try(name) for name in TRIALS)
    if any(trial.name == "gpu" and trial.status == "works" for trial in trials):
        say("surveying the GPU")
        surveys.append(_survey("cuda"))
    found = tuple(survey for survey in surveys if survey is not None)
    return Fitness(read, found, noise, trials, weigh(read, found, noise, trials, run=run))


def read_machine(nvml: Nvml) -> Read:
    """What can be read without measuring, in half a second."""
    watch = BusyWatch(lambda _: None)
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return Read(
        environment=read_environment(nvml),
        load=psutil.getloadavg()[0],
        on_battery=None if battery is None else not battery.power_plugged,
        free_memory_b=psutil.virtual_memory().available,
        shadowing=shadowing_pynvml(),
        look=watch.before(usable_physical_cores()),
    )


def shadowing_pynvml() -> str:
    """The version of an old `pynvml` distribution that brings a module of that name itself; "" without one.

    Up to 11.5 it shipped the whole `pynvml` package, which Python finds before nvidia-ml-py's module; from 12 on it
    depends on nvidia-ml-py and brings other modules only.
    """
    try:
        found = distribution("pynvml")
    except PackageNotFoundError:
        return ""
    files = {str(file) for file in found.files or ()}
    return found.version if files & {"pynvml/__init__.py", "pynvml.py"} else ""


def _survey(device: str) -> Survey | None:
    answer = call_worker(["--survey", str(usable_physical_cores()), device], timeout_s=SURVEY_TIMEOUT_S)
    try:
        return Survey.model_validate_json(answer.text)
    except ValidationError:
        return None


def _try(name: str) -> Trial:
    answer = call_worker(["--try", name], timeout_s=TRIAL_TIMEOUT_S)
    if answer.failure:
        return Trial(name=name, status="fails", detail=answer.failure)
    return Trial.model_validate_json(answer.text)


def _measure_noise(seconds: float, make_observer: Callable[[Plan], Observer]) -> tuple[Noise | None, Run | None]:
    """None and None where identical work can't be measured at all."""
    started = monotonic()
    with tempfile.TemporaryDirectory(prefix="lnbench-doctor-") as name:
        suite = Path(name, "doctor.yaml")
        suite.write_text(suite_text(seconds), encoding="utf-8")
        try:
            prepared = _held_against_twin(prepare(Request(suite=str(suite), plugins=(PLANTED,))))
            options = RunOptions(reports=Path(name), folder=Path(name, "run"), seed=None, timeout_s=DEFAULT_TIMEOUT_S)
            outcome = measure(prepared, options, make_observer(prepared.plan), check=Check(source="doctor"))
        except LnbenchError:
            return None, None
    if outcome.exit_code is ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return noise_of(outcome.run, seconds=monotonic() - started), outcome.run


def _held_against_twin(prepared: Prepared) -> Prepared:
    """The plan with both cases held against the first one, in the same rounds."""
    cases = tuple(case.model_copy(update={"reference": "one"}) for case in prepared.plan.cases)
    return replace(prepared, plan=replace(prepared.plan, cases=cases))
