"""Plots over the course of a run: the samples of a case beside its reference's, and the state of the machine."""

from typing import TYPE_CHECKING

from lnbench.condition_points import READINGS
from lnbench.render.plots.palette import Looks
from lnbench.render.plots.style import SECONDS, colour, seconds_text

if TYPE_CHECKING:
    import altair as alt

SAMPLES_HEIGHT = 150
CONDITIONS_HEIGHT = 90
PROCESS_COLOURS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6")


def samples_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """A case's samples by round in a panel per process, and its reference's of the same rounds: drift moves both."""
    import altair as alt

    x = alt.X("round:Q", title="round", axis=alt.Axis(grid=False, tickMinStep=1))
    y = alt.Y(
        "median_s:Q",
        title="time of a call",
        scale=alt.Scale(type="log", nice=False, padding=6),
        axis=alt.Axis(labelExpr=SECONDS, tickCount=5),
    )
    tooltip = [
        alt.Tooltip("implementation:N"),
        alt.Tooltip("process:O"),
        alt.Tooltip("round:Q", title="from round"),
        alt.Tooltip("samples:Q"),
        alt.Tooltip("median:N"),
    ]
    base = alt.Chart()
    legend = alt.Legend(
        orient="top", symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3, columns=1 if narrow else 3
    )
    key = colour(looks, legend=legend)
    chart = alt.layer(
        base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("low_s:Q", title="time of a call"), y2="high_s:Q", color=key),
        base.mark_line(strokeWidth=1.5).encode(x=x, y=y, color=key),
        base.mark_point(filled=True, size=25).encode(x=x, y=y, color=key, tooltip=tooltip),
    ).properties(width=width, height=SAMPLES_HEIGHT)
    header = alt.Header(title=None, labelOrient="top", labelAnchor="start", labelExpr="'process ' + datum.value")
    row = alt.Row("process:O", header=header)
    faceted = chart.facet(row=row, data=alt.NamedData(name="samples"), spacing=10)
    told: alt.FacetChart = faceted.transform_calculate(median=seconds_text("median_s"))
    return told


def conditions_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """Each reading of the machine over the seconds that a workload took, a line per process."""
    import altair as alt

    colours = [looks.named[name] for name in PROCESS_COLOURS]
    legend = alt.Legend(title="process", orient="top", symbolType="stroke", columns=5 if narrow else 10)
    process = alt.Color("process:O", scale=alt.Scale(range=colours), legend=legend)
    x = alt.X("second:Q", title="seconds since the workload began", axis=alt.Axis(grid=False))
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=4, format="~s"))
    tooltip = [
        alt.Tooltip("reading:N"),
        alt.Tooltip("process:O"),
        alt.Tooltip("second:Q", format=".1f"),
        alt.Tooltip("value:Q", format=".4~g"),
    ]
    chart = alt.layer(
        alt.Chart().mark_line(strokeWidth=1.5).encode(x=x, y=y, color=process),
        alt.Chart().mark_point(filled=True, size=20).encode(x=x, y=y, color=process, tooltip=tooltip),
    ).properties(width=width, height=CONDITIONS_HEIGHT)
    header = alt.Header(title=None, labelOrient="top", labelAnchor="start")
    row = alt.Row("reading:N", sort=[reading.title for reading in READINGS.values()], header=header)
    faceted = chart.facet(row=row, data=alt.NamedData(name="conditions"), spacing=10)
    apart: alt.FacetChart = faceted.resolve_scale(y="independent")
    return apart
