"""Every plot by its name: what it is called, what it tells, and whether a run has anything for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lnbench.render.plots import lines, over_time, rows
from lnbench.render.plots.palette import Looks
from lnbench.render.plots.style import AXIS_WIDTH, FIGURES_WIDTH, names_width

if TYPE_CHECKING:
    import altair as alt

POINTS, SAMPLES, CONDITIONS = "points", "samples", "conditions"
"""The names of the three sets of records."""


MARGIN = 20
"""Pixels left free at the right of a plot."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of plot. `draw` makes its chart for a width in pixels; it is drawn from `dataset`, and only from records
    in which `needs` is known. `panel`: what parts its panels. `shows_status`: rows without a time stand in it too."""

    title: str
    tells: str
    draw: Callable[..., "alt.FacetChart"]
    needs: str
    panel: str
    dataset: str = POINTS
    shows_status: bool = False

    def chosen(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The records that it is drawn from: those that have what it needs, or a status to show in its place; empty
        where none has."""
        known = [record.get(self.needs) not in {None, ""} for record in records]
        if self.shows_status and any(known):
            return list(records)
        return [record for record, is_known in zip(records, known, strict=True) if is_known]


PLOTS: Mapping[str, Plot] = MappingProxyType(
    {
        "speedup": Plot(
            "Speedup by workload",
            "How many times as fast as the reference, from turns in the same rounds, with 95 % intervals. Intervals "
            "crossing the dashed line: no significant difference; * is the fastest, or tied with it; "
            "† computes another function.",
            rows.speedup_chart,
            "speedup",
            "place",
            shows_status=True,
        ),
        "time": Plot(
            "Time by workload",
            "The median time of a call with its 95 % interval. Absolute times move with the machine; the speedups are "
            "what to compare.",
            rows.time_chart,
            "median_s",
            "place",
            shows_status=True,
        ),
        "bandwidth": Plot(
            "Bandwidth by size",
            "The fewest bytes that the phase can move, over the time taken, against a plain copy in the same rounds. "
            "At 100 % only fewer bytes would be faster.",
            lines.bandwidth_chart,
            "percent_of_copy",
            "conditions",
        ),
        "memory": Plot(
            "Memory above the inputs",
            "What a call returns, saves for backward, and needs for a while, where the allocator can tell them apart. "
            "The tick is the most alive at once: the parts need not be, and in backward it holds y too.",
            rows.memory_chart,
            "output_bytes",
            "place",
        ),
        "batch": Plot(
            "Time by batch size",
            "The same work for more and more rows: where two lines cross, the other one is faster. A batch norm "
            "computes another function than a layer norm.",
            lines.batch_chart,
            "batch_of",
            "batch_of",
        ),
        "samples": Plot(
            "Samples by round and process",
            "Every sample that counts (spoiled rounds do not), or where there are many the median of neighbouring "
            "rounds with their least and greatest. "
            "What moves a case and its reference together is the machine's drift.",
            over_time.samples_chart,
            "median_s",
            "process",
            SAMPLES,
        ),
        "conditions": Plot(
            "Conditions over time",
            "The state of the machine while the workload was measured.",
            over_time.conditions_chart,
            "value",
            "reading",
            CONDITIONS,
        ),
    }
)
"""In the order of a report."""


def chart(name: str, looks: Looks, *, width: int, narrow: bool = False) -> dict[str, Any]:
    """A plot's Vega-Lite specification without its records, which it looks for under the name of its dataset.

    `width`: pixels of a panel, without what stands beside it.
    """
    found: dict[str, Any] = PLOTS[name].draw(looks, width=width, narrow=narrow).to_dict(validate=False)
    return found


def beside(name: str, looks: Looks, *, narrow: bool = False) -> int:
    """Pixels that a plot takes beside the width of its panels."""
    match PLOTS[name].panel:
        case "place":
            return names_width(looks, narrow=narrow) + (0 if narrow else FIGURES_WIDTH) + MARGIN
        case "conditions" | "batch_of":
            return AXIS_WIDTH + (0 if narrow else names_width(looks, narrow=False)) + MARGIN
        case _:
            return AXIS_WIDTH + MARGIN
