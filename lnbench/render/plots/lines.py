"""Plots of one line per implementation over the size of the work: percent of a copy's bandwidth, and batch sizes."""

from typing import TYPE_CHECKING

from lnbench.render.plots.palette import Looks
from lnbench.render.plots.style import BYTES, SECONDS, colour, names_width, panels, shape

if TYPE_CHECKING:
    import altair as alt

HEIGHT = 260


def bandwidth_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """Percent of the copy's bandwidth by the fewest bytes of a call; the line at 100 is what the machine can do."""
    import altair as alt

    x = alt.X(
        "minimum_bytes:Q",
        title="bytes that have to be moved",
        scale=alt.Scale(type="log", base=2, nice=False, padding=12),
        axis=alt.Axis(labelExpr=BYTES, tickCount=6, grid=False),
    )
    title = "% of the copy's bandwidth"
    y = alt.Y("percent_of_copy:Q", title=title, axis=alt.Axis(tickCount=6))
    roof = alt.Chart().mark_rule(strokeDash=[4, 3]).encode(y=alt.YDatum(100))
    chart = _lines(looks, x, y, end="percent_of_copy", title=title, narrow=narrow)
    return panels(alt.layer(roof, *chart).properties(width=width, height=HEIGHT), "conditions")


def batch_chart(looks: Looks, *, width: int, narrow: bool = False) -> "alt.FacetChart":
    """Time by batch size, both logarithmic: where lines cross, the other one is faster."""
    import altair as alt

    x = alt.X(
        "batch:Q",
        title="batch size (the first axis of x)",
        scale=alt.Scale(type="log", base=2, nice=False, padding=12),
        axis=alt.Axis(format="~r", tickCount=8, grid=False),
    )
    title = "median time of a call"
    y = alt.Y(
        "median_s:Q",
        title=title,
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(labelExpr=SECONDS, tickCount=6),
    )
    legend = alt.Legend(orient="bottom", columns=2, symbolOpacity=1) if narrow else None
    band = (
        alt.Chart()
        .mark_area(opacity=0.2)
        .encode(x=x, y=alt.Y("low_s:Q", title=title), y2="high_s:Q", color=colour(looks, legend=legend))
    )
    chart = alt.layer(band, *_lines(looks, x, y, end="median_s", title=title, narrow=narrow))
    return panels(chart.properties(width=width, height=HEIGHT), "batch_of")


def _lines(looks: Looks, x: "alt.X", y: "alt.Y", *, end: str, title: str, narrow: bool) -> list["alt.Chart"]:
    import altair as alt

    base = alt.Chart()
    tooltip = [
        alt.Tooltip(f"{field}:N", title=title)
        for field, title in (
            ("implementation", "implementation"),
            ("function", "function"),
            ("workload", "workload"),
            ("phase", "phase"),
            ("time_text", "time"),
            ("speedup_text", "speedup"),
            ("bandwidth_text", "bandwidth"),
        )
    ]
    legend = alt.Legend(orient="bottom", columns=2, symbolOpacity=1) if narrow else None
    points = {"color": colour(looks, legend=legend), "shape": shape(looks, legend=legend), "tooltip": tooltip}
    found = [
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour(looks, legend=legend)),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y, **points),
    ]
    if not narrow:
        name = base.mark_text(align="left", dx=10, limit=names_width(looks, narrow=False))
        at = alt.Y(f"{end}_label:Q", title=title)
        found.append(name.encode(x=x, y=at, text="label:N", color=colour(looks)))
    return found
