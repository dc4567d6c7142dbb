"""One plot of a run as an image, or all that a report shows: SVG and PNG without a browser."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from textwrap import wrap
from typing import Any, Literal, NamedTuple

from lnbench.errors import UsageError, nearest
from lnbench.record import Run
from lnbench.render.libraries import needed_for
from lnbench.render.outside import plain
from lnbench.render.plots.catalogue import CONDITIONS, PLOTS, POINTS, SAMPLES, chart
from lnbench.render.plots.datasets import Records, condition_records, point_records, sample_records
from lnbench.render.plots.palette import LIGHT, Looks, base_name, looks
from lnbench.render.plots.style import config
from lnbench.tables import Value
from lnbench.view import RunView
from lnbench.workload import Phase, main_phase

WIDTH = 480
"""Pixels of a panel: with names and figures beside it, what a forge shows without making it smaller."""

SCALE = 2.0
"""A PNG has so many dots for each pixel, for screens that show as many."""

MOST_PANELS = 40
"""More make an image that nobody looks at."""

SUBTITLE_WIDTH = 80
"""Letters of a line below the title, which so is no wider than a panel."""

DEFAULT_PLOT = "speedup"
ImageFormat = Literal["svg", "png"]


class Drawn(NamedTuple):
    """A plot's name and its Vega-Lite specification, records and all."""

    name: str
    specification: dict[str, Any]


class Drawing:
    """The plots of a run. `view`: the rows that they show; samples need a view of one case, conditions one of one
    workload. Where it holds several phases, the plots show that of a whole step."""

    def __init__(self, run: Run, view: RunView) -> None:
        self._busy = view.busy
        self._looks = looks([plain(case.title) for case in run.header.cases])
        self._records: Mapping[str, Callable[[], Records]] = {
            POINTS: cache(lambda: point_records(view, self._looks)),
            SAMPLES: cache(lambda: sample_records(run, view)),
            CONDITIONS: cache(lambda: condition_records(run, view)),
        }

    def draw(self, name: str) -> Drawn:
        """One plot.

        Raises UsageError for a name that is none, for a plot that the run has nothing for, or with too many panels.
        """
        if name not in PLOTS:
            raise UsageError(f'--plot: unknown plot "{name}"', hint=nearest(name, PLOTS))
        plot = PLOTS[name]
        records = plot.chosen(_of_main_phase(self._records[plot.dataset]()))
        if not records:
            others = ", ".join(filter(self._has, PLOTS)) or "no plots"
            raise UsageError(f"--plot {name}: the run has nothing for it", hint=f"it has {others}")
        if name == "samples":
            _check_few(records, "case", most=2)
        if name == "conditions":
            _check_few(records, "workload", most=1)
        panels = len({record[plot.panel] for record in records})
        if panels > MOST_PANELS:
            raise UsageError(f"--plot {name}: {panels} panels are too many for an image", hint="choose with --only")
        with needed_for("plots"):
            return Drawn(name, _specification(name, self._looks, records, busy=self._busy))

    def draw_all(self, names: Sequence[str]) -> tuple[list[Drawn], list[str]]:
        """Those of these plots that the run has something for, and why any of them is left out all the same."""
        found, left_out = [], []
        for name in filter(self._has, names):
            try:
                found.append(self.draw(name))
            except UsageError as error:
                left_out.append(f"{error.message}; {error.hint}")
        return found, left_out

    def _has(self, name: str) -> bool:
        return bool(PLOTS[name].chosen(self._records[PLOTS[name].dataset]()))


def image(drawn: Drawn, format: ImageFormat) -> bytes:
    """The plot as a file's content."""
    with needed_for("plots"):
        import vl_convert
    if format == "svg":
        return str(vl_convert.vegalite_to_svg(drawn.specification)).encode()
    return bytes(vl_convert.vegalite_to_png(drawn.specification, scale=SCALE))


def _of_main_phase(records: Records) -> Records:
    """Of each workload the records of its main phase; all where records have no phase."""
    phases: dict[Value, set[Phase]] = defaultdict(set)
    for record in records:
        if "phase" in record:
            phases[record["workload"]].add(Phase(str(record["phase"])))
    shown = {workload: main_phase(found) for workload, found in phases.items()}
    return [it for it in records if not shown or it["phase"] == shown[it["workload"]]]


def _check_few(records: Records, what: str, *, most: int) -> None:
    """Raise UsageError where more would lie in one plot than it can show."""
    found = len({record[what] for record in records})
    if found > most:
        wanted = "one case beside its reference" if what == "case" else "one workload"
        raise UsageError(
            f"--plot: this plot shows {wanted}, and {found} {what}s match",
            hint=f"choose with --only, as in --only {_example(records[-1])}",
        )


def _example(record: Mapping[str, Value]) -> str:
    name = base_name(str(record["implementation"])) if "implementation" in record else ""
    return f"{f'implementation={name},' if name else ''}workload={record['workload']}"


def _subtitle(records: Records) -> str:
    """The phase and the clock that all figures of a plot have, or each with its device."""
    phases = ", ".join(dict.fromkeys(str(record["phase"]) for record in records if "phase" in record))
    clocks = {record["clock"] for record in records if "clock" in record}
    if len(clocks) > 1:
        return f"{phases}; on the CPU the wall clock, on CUDA the device's"
    return "; ".join(filter(None, (phases, *(f"{clock} clock" for clock in clocks))))


def _specification(name: str, found: Looks, records: Records, *, busy: str) -> dict[str, Any]:
    made = chart(name, found, width=WIDTH)
    if name == "samples":
        shown = list(dict.fromkeys(record["implementation"] for record in records))
        for layer in made["spec"]["layer"]:
            if layer["encoding"]["color"].get("legend"):
                layer["encoding"]["color"]["legend"]["values"] = shown
    return made | {
        "title": {
            "text": PLOTS[name].title,
            "subtitle": [_subtitle(records), *wrap(busy, SUBTITLE_WIDTH)] if busy else _subtitle(records),
            "anchor": "start",
            "offset": 12,
            "color": LIGHT["ink"],
            "subtitleColor": LIGHT["faint"],
        },
        "datasets": {PLOTS[name].dataset: records},
        "config": config(LIGHT) | {"background": LIGHT["paper"]},
        "padding": 12,
    }
