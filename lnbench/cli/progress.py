"""What a person sees while a run measures: a bar on a terminal, a line per workload elsewhere, nothing with --quiet."""

from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lnbench.busyness import is_busy, sentence, short_sentence
from lnbench.cli.common import message, progress_console
from lnbench.conductor.listening import Observer
from lnbench.events import Ended, Event, WorkloadFinished
from lnbench.observed import MachineLook
from lnbench.plan import Plan
from lnbench.planned import Stage
from lnbench.render.outside import plain
from lnbench.units import format_duration

STOPPING = "finishing the turn under way; once more to stop at once"
LONG_S = 3.0
REFRESH_S = 1.0
"""Drawing costs the measured process its second core, so it is done once a second and never by a thread."""


class Watching(Observer, Protocol):
    """An observer of a run that is also a context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def make_observer(plan: Plan, *, quiet: bool, units: int | None = None) -> Watching:
    """The observer that suits where stderr goes. `units`: workloads left in all processes, where some are done."""
    console = progress_console()
    if quiet:
        return Silence()
    pace = Pace(plan, units=units)
    return Bar(plan, pace, console) if console.is_terminal and not console.no_color else Lines(plan, pace)


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def workload_began(self, process: int, workload: int) -> None:
        pass

    def announced(self, case: int, stage: Stage) -> None:
        pass

    def progressed(self, share: float) -> None:
        pass

    def waited(self) -> None:
        pass

    def stopping(self) -> None:
        pass

    def more_to_do(self, workloads: int) -> None:
        pass

    def looked(self, look: MachineLook) -> None:
        pass

    def happened(self, event: Event) -> None:
        pass


class Lines(Silence):
    """A line as each workload begins, and one for each case that fails; for logs."""

    def __init__(self, plan: Plan, pace: "Pace") -> None:
        self._plan = plan
        self._pace = pace
        self._busy = ""

    def workload_began(self, process: int, workload: int) -> None:
        self._pace.begin()
        planned = self._plan.workloads[workload]
        message(
            f"[{self._pace.begun}/{self._pace.units}] {plain(planned.id)}, process {process + 1} of "
            f"{self._pace.processes}, about {format_duration(self._pace.left_s())} left{_after_comma(self._busy)}"
        )

    def stopping(self) -> None:
        message(STOPPING)

    def more_to_do(self, workloads: int) -> None:
        self._pace.extend(workloads)
        message("measuring what looks slower again, in fresh processes")

    def looked(self, look: MachineLook) -> None:
        busy = short_sentence(look) if is_busy(look) else ""
        if look.workload is None:
            if busy:
                message(sentence(look))
        elif bool(busy) != bool(self._busy):
            message(f"  {busy or 'machine no longer busy'}")
        self._busy = busy

    def happened(self, event: Event) -> None:
        if isinstance(event, Ended):
            message(f"  {plain(failure_text(self._plan, event))}")


class Bar(Silence):
    """A progress bar with the case now at work and the time left."""

    def __init__(self, plan: Plan, pace: "Pace", console: Console) -> None:
        self._plan = plan
        self._pace = pace
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=self._pace.units, left="")
        self._busy = ""
        self._drawn = 0.0
        self._at: tuple[int, Stage] | None = None
        self._since = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def workload_began(self, process: int, workload: int) -> None:
        del process, workload
        self._pace.begin()
        self._at = None
        self._draw()

    def announced(self, case: int, stage: Stage) -> None:
        if (case, stage) != self._at:
            self._at, self._since = (case, stage), monotonic()
        self._draw()

    def progressed(self, share: float) -> None:
        self._pace.share = share

    def waited(self) -> None:
        self._draw()

    def stopping(self) -> None:
        self._progress.console.print(STOPPING, markup=False)

    def more_to_do(self, workloads: int) -> None:
        self._pace.extend(workloads)
        self._progress.update(self._task, total=self._pace.units)
        self._progress.console.print("measuring what looks slower again, in fresh processes", markup=False)

    def looked(self, look: MachineLook) -> None:
        self._busy = short_sentence(look) if is_busy(look) else ""
        if self._busy and look.workload is None:
            self._progress.console.print(sentence(look), markup=False)
        self._draw()

    def happened(self, event: Event) -> None:
        if isinstance(event, Ended):
            self._progress.console.print(plain(failure_text(self._plan, event)), markup=False)
        elif isinstance(event, WorkloadFinished):
            self._pace.share = 1.0

    def _draw(self) -> None:
        if monotonic() - self._drawn < REFRESH_S:
            return
        self._drawn = monotonic()
        self._progress.update(
            self._task,
            description=plain(self._doing()),
            completed=max(self._pace.begun - 1, 0),
            left=f"{format_duration(self._pace.left_s())} left{_after_comma(self._busy)}",
        )
        self._progress.refresh()

    def _doing(self) -> str:
        """Who is at work on what, and for how long already where that is long."""
        if self._at is None:
            return "starting a worker"
        number, stage = self._at
        case = self._plan.cases[number]
        text = f"{stage} {case.title} {self._plan.workloads[case.workload].id}"
        since = monotonic() - self._since
        return f"{text} ({format_duration(since)})" if since >= LONG_S else text


class Pace:
    """How much of a plan is done, and how long the rest takes at the pace so far."""

    def __init__(self, plan: Plan, *, units: int | None = None) -> None:
        self.processes = plan.sampling.processes
        whole = max(self.processes * plan.measured_parts, 1)
        self.units = whole if units is None else max(units, 1)
        self.begun = 0
        self.share = 0.0
        self._unit_s = plan.estimated_s / whole
        self._started = monotonic()

    def begin(self) -> None:
        """A workload begins in a process."""
        self.begun += 1
        self.share = 0.0

    def extend(self, units: int) -> None:
        """A second pass over a part of the plan follows, in as many processes."""
        self.units += units
        self.processes *= 2

    def left_s(self) -> float:
        """Seconds left: by the plan's estimate at first, then by what the finished part took."""
        done = max(self.begun - 1, 0)
        unit_s = (monotonic() - self._started) / (done + self.share) if done else self._unit_s
        return max(unit_s * (self.units - done - self.share), 0.0)


def _after_comma(text: str) -> str:
    return f", {text}" if text else ""


def failure_text(plan: Plan, event: Ended) -> str:
    """One line about a case that ended otherwise than ok."""
    case = plan.cases[event.case]
    clock = f", {event.clock} clock" if event.clock else ""
    return f"{event.status}: {case.title} on {plan.workloads[case.workload].id}{clock}: {event.reason}"
