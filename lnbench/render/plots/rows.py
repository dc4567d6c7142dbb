"""Plots of one row per implementation in a panel per workload: speedups, times, and memory in parts."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from lnbench.render.plots.palette import Looks
from lnbench.render.plots.style import RATIOS, ROW_HEIGHT, SECONDS_BELOW, colour, names_axis, panels, shape

if TYPE_CHECKING:
    import altair as alt

PARTS = ("output", "saved", "temporary")
"""What memory goes into, in the order in which it is stacked."""


def speedup_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """Speedups with their intervals on a logarithmic axis, and a line at 1."""
    import altair as alt

    title = "speedup over the reference (right of 1 is faster)"
    layers = _intervals(looks, ("speedup", "speedup_low", "speedup_high"), title=title, labels=RATIOS)
    one = alt.Chart().mark_rule(strokeDash=[4, 3]).encode(x=alt.XDatum(1))
    return _panels(layers, looks, width=width, text="speedup_figures", narrow=narrow, behind=(one,))


def time_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """Times with their intervals on a logarithmic axis."""
    layers = _intervals(looks, ("median_s", "low_s", "high_s"), title="median time of a call", labels=SECONDS_BELOW)
    return _panels(layers, looks, width=width, text="time_figures", narrow=narrow)


def memory_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """What a call allocates above its inputs, stacked: what it returns, saves for backward, and needs for a while.

    In sizes of x, so that workloads of every size can stand on one axis.
    """
    import altair as alt

    title = "memory above the inputs, in sizes of x"
    axis = alt.Axis(tickCount=6, tickMinStep=1)
    scale = alt.Scale(domain=list(PARTS), range=[looks.named[name] for name in PARTS])
    legend = alt.Legend(title=None, orient="top")
    layers: list[alt.Chart] = []
    for begin, end in pairwise(("", *PARTS)):
        bar = alt.Chart().mark_bar(height={"band": 0.7})
        reach = alt.X2(f"{begin}_end") if begin else alt.X2(datum=0)
        layers.append(
            bar.encode(
                x=alt.X(f"{end}_end:Q", title=title, axis=axis),
                x2=reach,
                color=alt.ColorDatum(end, scale=scale, legend=legend),
                tooltip=_tooltip("memory_text"),
            )
        )
    peak = alt.Chart().mark_tick(thickness=2, color=looks.named["ink"], height=ROW_HEIGHT - 3)
    layers.append(peak.encode(x=alt.X("peak:Q", title=title), tooltip=_tooltip("memory_text")))
    shown = _panels(layers, looks, width=width, text="peak_text", narrow=narrow)
    return shown.transform_calculate(
        output_end="datum.output_bytes / datum.x_bytes",
        saved_end="datum.output_end + (datum.saved_bytes || 0) / datum.x_bytes",
        temporary_end="datum.saved_end + (datum.temporary_bytes || 0) / datum.x_bytes",
        peak="isValid(datum.peak_memory_bytes) ? datum.peak_memory_bytes / datum.x_bytes : null",
    )


def _intervals(looks: Looks, fields: tuple[str, str, str], *, title: str, labels: str) -> list["alt.Chart"]:
    """A point for each value, and the line of its interval; `labels`: of the axis, in Vega's expressions."""
    import altair as alt

    value, low, high = fields
    scale = alt.Scale(type="log", nice=False, padding=8)
    axis = alt.Axis(labelExpr=labels, tickCount=6, grid=False)
    at = {field: alt.X(field, type="quantitative", title=title, scale=scale, axis=axis) for field in (value, low)}
    tooltip = _tooltip("time_text", "speedup_text", "status")
    line = alt.Chart().mark_rule(strokeWidth=3, opacity=0.55)
    dot = alt.Chart().mark_point(filled=True, size=70, opacity=1)
    return [
        line.encode(x=at[low], x2=alt.X2(high), color=colour(looks), tooltip=tooltip),
        dot.encode(x=at[value], color=colour(looks), shape=shape(looks), tooltip=tooltip),
    ]


def _panels(
    layers: Sequence["alt.Chart"],
    looks: Looks,
    *,
    width: int,
    text: str,
    narrow: bool,
    behind: Sequence["alt.Chart"] = (),
) -> "alt.FacetChart":
    """Layers in panels; where there is room, the figures themselves behind each row, or why there are none."""
    import altair as alt

    y = names_axis(looks, narrow=narrow)
    rows = [layer.encode(y=y) for layer in layers]
    if narrow:
        untimed = alt.Chart().transform_filter("!isValid(datum.median_s)").mark_text(align="left", fontStyle="italic")
        rows.append(untimed.encode(x=alt.XValue(6), y=y, text="status:N"))
        fastest = alt.Chart().transform_filter("datum.is_fastest").mark_text(align="left", text="*", fontSize=15)
        rows.append(fastest.encode(x=alt.XValue("width"), y=y))
    else:
        figures = alt.Chart().mark_text(align="left", dx=10)
        rows.append(figures.encode(x=alt.XValue("width"), y=y, text=f"{text}:N"))
    return panels(alt.layer(*behind, *rows).properties(width=width, height=alt.Step(ROW_HEIGHT)))


def _tooltip(*fields: str) -> list["alt.Tooltip"]:
    import altair as alt

    names = {"time_text": "time", "speedup_text": "speedup", "memory_text": "memory", "peak_text": "peak"}
    shown = ("implementation", "function", "workload", "phase", *fields)
    return [
        alt.Tooltip(field if ":" in field else f"{field}:N", title=names.get(field, field.partition(":")[0]))
        for field in shown
    ]
