"""An examination of the machine for the terminal, on one screen, and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from lnbench.analysis.fitness import Fitness, Level, Noise
from lnbench.examined import Survey
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.units import format_bytes, format_percent, format_seconds, format_significant

_BAR_WIDTH = 40
_STYLES = {Level.FINE: "green", Level.NOTE: "", Level.WARNING: "yellow", Level.UNFIT: "bold red"}
_MARKS = {"works": "green", "fails": "bold red"}


def render_fitness(fitness: Fitness) -> RenderableType:
    """Machine, bandwidth, noise, what works, and what to do about what does not."""
    parts: list[RenderableType] = [_machine(fitness), Text()]
    for survey in fitness.surveys:
        parts += [_bandwidth(survey, is_busy=fitness.is_busy), Text()]
    if fitness.noise is not None:
        parts += [*_noise(fitness.noise), Text()]
    parts += [_trials(fitness), Text(), _findings(fitness)]
    verdict = Text("fit to measure on", style="bold green")
    if not fitness.is_fit:
        verdict = Text("unfit to measure on: see above", style="bold red")
    elif fitness.most_threads is not None:
        count = f"{fitness.most_threads} thread{'s' if fitness.most_threads != 1 else ''}"
        verdict = Text(f"busy: use at most {count}, or stop other work; see above", style="bold yellow")
    elif any(finding.level is Level.WARNING for finding in fitness.findings):
        verdict = Text("fit to measure on, with the warnings above", style="bold yellow")
    return Group(*parts, verdict)


def render_json(fitness: Fitness) -> str:
    """The same as JSON, in base units."""
    look = fitness.read.look
    read = asdict(fitness.read) | {
        "environment": fitness.read.environment.model_dump(mode="json"),
        "look": look and look.model_dump(mode="json"),
    }
    told = {
        "fit": fitness.is_fit,
        "most_threads": fitness.most_threads,
        "machine": read,
        "surveys": [survey.model_dump(mode="json") for survey in fitness.surveys],
        "noise": None if fitness.noise is None else asdict(fitness.noise),
        "works": [trial.model_dump(mode="json") for trial in fitness.trials],
        "findings": [asdict(finding) for finding in fitness.findings],
    }
    return json.dumps(told, indent=1, allow_nan=False) + "\n"


def _machine(fitness: Fitness) -> RenderableType:
    read, environment = fitness.read, fitness.read.environment
    cores = f"{environment.physical_cores} physical, {environment.logical_cores} logical"
    caches = ", ".join(
        f"{name} {format_bytes(size)}"
        for name, size in (("L2", environment.caches.l2_b), ("last level", environment.caches.last_level_b))
        if size is not None
    )
    rows = [
        ("processor", f"{environment.cpu}; {cores}; {caches}"),
        ("system", f"{environment.system} ({environment.machine}), {environment.libc}"),
        ("memory", f"{format_bytes(environment.memory_b)}, {format_bytes(read.free_memory_b)} free"),
        ("settings", ", ".join(f"{name} {value}" for name, value in environment.settings.items())),
        *((f"GPU {gpu.index}", gpu.name) for gpu in environment.gpus),
        ("versions", ", ".join(f"{n} {v}" for n, v in {"python": environment.python, **environment.versions}.items())),
    ]
    grid = WholeTable.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            grid.add_row(Text(name, style="dim"), Text(plain(value)))
    return grid


def _bandwidth(survey: Survey, *, is_busy: bool) -> RenderableType:
    threads = f"{survey.threads} thread{'s' if survey.threads != 1 else ''}"
    where = threads if survey.device == "cpu" else survey.device
    title = Text(f"copy bandwidth by working set, {where}", style="bold")
    if is_busy and survey.device == "cpu":
        title.append(": too low, since other processes used the cores", style="bold yellow")
    best = max(found.bytes_per_s for found in survey.bandwidths)
    grid = WholeTable.grid(padding=(0, 1))
    grid.add_column(justify="right")
    grid.add_column()
    grid.add_column(justify="right")
    for found in survey.bandwidths:
        length = round(_BAR_WIDTH * found.bytes_per_s / best)
        grid.add_row(
            format_bytes(found.working_set_b),
            Text("█" * max(length, 1), style="cyan"),
            f"{format_significant(found.bytes_per_s / 1e9, 3)} GB/s",
        )
    fault = "" if survey.fault_s is None else f"; a page fault costs {format_seconds(survey.fault_s, digits=2)}"
    clock = (
        f"clock: steps of {format_seconds(survey.timer_step_s, digits=2)}, two readings take "
        f"{format_seconds(survey.stamp_s, digits=2)}; a copy of one element "
        f"{format_seconds(survey.launch_s, digits=2)}{fault}"
    )
    return Group(title, grid, Text(clock, style="dim"))


def _noise(noise: Noise) -> Iterator[RenderableType]:
    yield Text(f"noise: score {100 * noise.processes:.2f}", style="bold")
    yield Text(
        f"identical work, {noise.seconds:.0f} s in three processes, standard deviations: its ratio "
        f"{format_percent(noise.rounds)} between rounds, {format_percent(noise.processes)} between processes (the "
        f"score, in percent); its absolute time {format_percent(noise.absolute)} between processes"
    )
    for count, half_width in noise.half_width.items():
        smallest = noise.smallest[count]
        known = "a slowdown is known " + ("not at all" if half_width is None else f"to ±{format_percent(half_width)}")
        caught = "none is" if smallest is None else f"+{format_percent(smallest)} and more are"
        yield Text(f"  {count} processes of this length: {known}; {caught} confirmed in 80 % of checks")


def _trials(fitness: Fitness) -> RenderableType:
    grid = WholeTable.grid(padding=(0, 2))
    grid.add_row(Text("tried", style="bold"))
    absent: dict[str, list[str]] = {}
    for trial in fitness.trials:
        if trial.status == "absent":
            absent.setdefault(trial.detail, []).append(trial.name)
            continue
        grid.add_row(Text(trial.name), Text(trial.status, style=_MARKS[trial.status]), Text(plain(trial.detail)))
    rest = (Text(f"absent: {', '.join(names)} ({plain(detail)})", style="dim") for detail, names in absent.items())
    return Group(grid, *rest)


def _findings(fitness: Fitness) -> RenderableType:
    table = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("", "what", "seen", "what to do"):
        table.add_column(head, overflow="fold")
    for finding in fitness.findings:
        style = _STYLES[finding.level]
        table.add_row(
            Text(finding.level.value, style=style), finding.subject, Text(plain(finding.seen)), Text(finding.advice)
        )
    return table
