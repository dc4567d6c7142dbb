"""What all plots have in common: fonts and lines, axes of seconds and bytes, and the colour and shape encodings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lnbench.render.plots.palette import Looks

if TYPE_CHECKING:
    import altair as alt

LETTER_WIDTH = 7
"""Pixels that a letter of a name takes, roughly."""

NAMES_WIDTH = (60, 230)
"""The least and the most pixels for names beside a panel; longer ones are cut, and whole in the tooltip."""

NARROW_NAMES_WIDTH = 105
"""The same on a phone."""

FIGURES_WIDTH = 180
"""Pixels for the figures behind each row: `0.0062 [0.0059, 0.0065]`."""

AXIS_WIDTH = 75
"""Pixels for an axis of times or percents, with its title."""

ROW_HEIGHT = 18

_SECONDS = (
    "(datum.value < 0.9999e-6 ? format(datum.value * 1e9, '~r') + ' ns' : "
    "datum.value < 0.9999e-3 ? format(datum.value * 1e6, '~r') + ' µs' : "
    "datum.value < 0.9999 ? format(datum.value * 1e3, '~r') + ' ms' : format(datum.value, '~r') + ' s')"
)


def _sparse(text: str, axis: str) -> str:
    """An axis label in Vega's expression language: where the axis is long, only at 1, 2, 5, 10 and so on."""
    return (
        f"log(domain('{axis}')[1] / domain('{axis}')[0]) < 1.4 || "
        "indexof([1, 2, 5], round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-6)) * 100) / 100) >= 0 "
        f"? {text} : ''"
    )


RATIOS = _sparse("format(datum.value, '~r') + 'x'", "x")
"""The label of a ratio on a logarithmic x axis."""

SECONDS_BELOW = _sparse(_SECONDS, "x")
"""The same for seconds."""

SECONDS = _SECONDS
"""The label of seconds on an axis at the side, where there is room for all."""

BYTES = (
    "datum.value < 1024 ? format(datum.value, '~r') + ' B' : "
    "datum.value < 1048576 ? format(datum.value / 1024, '~r') + ' KiB' : "
    "datum.value < 1073741824 ? format(datum.value / 1048576, '~r') + ' MiB' : "
    "format(datum.value / 1073741824, '~r') + ' GiB'"
)
"""The label of bytes."""


def seconds_text(field: str) -> str:
    """A time to four digits, in Vega's expression language."""
    return (
        f"datum.{field} < 1e-6 ? format(datum.{field} * 1e9, '.4~r') + ' ns' : "
        f"datum.{field} < 1e-3 ? format(datum.{field} * 1e6, '.4~r') + ' µs' : "
        f"datum.{field} < 1 ? format(datum.{field} * 1e3, '.4~r') + ' ms' : format(datum.{field}, '.4~r') + ' s'"
    )


def config(named: Mapping[str, str]) -> dict[str, Any]:
    """The look of a chart, in colours by their names."""
    font = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif"
    text = {"labelColor": named["ink"], "titleColor": named["ink"], "labelFontSize": 12, "titleFontSize": 12}
    return {
        "font": font,
        "background": None,
        "view": {"stroke": None},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "gridColor": named["grid"],
            "domainColor": named["faint"],
            "tickColor": named["faint"],
            "labelOverlap": True,
        },
        "legend": {**text, "titleFontWeight": "normal", "symbolSize": 80, "labelLimit": 220},
        "header": {**text, "labelFontWeight": "bold", "labelFontSize": 13},
        "text": {"color": named["ink"], "fontSize": 12},
        "rule": {"color": named["faint"]},
    }


def colour(looks: Looks, *, legend: "alt.Legend | None" = None) -> "alt.Color":
    """The colour of each implementation; without a legend where its name stands beside its marks."""
    import altair as alt

    scale = alt.Scale(domain=list(looks.titles), range=looks.colours)
    return alt.Color("implementation", type="nominal", title=None, scale=scale, legend=legend)


def shape(looks: Looks, *, legend: "alt.Legend | None" = None) -> "alt.Shape":
    """The shape of each implementation's points."""
    import altair as alt

    scale = alt.Scale(domain=list(looks.titles), range=list(looks.shapes))
    return alt.Shape("implementation", type="nominal", title=None, scale=scale, legend=legend)


def names_width(looks: Looks, *, narrow: bool) -> int:
    """Pixels for the names beside a panel."""
    least, most = NAMES_WIDTH
    longest = max([least, *(LETTER_WIDTH * len(title) + 12 for title in looks.titles)])
    return min(longest, NARROW_NAMES_WIDTH if narrow else most)


def names_axis(looks: Looks, *, narrow: bool) -> "alt.Y":
    """One row for each implementation, in the plan's order, its name at the left."""
    import altair as alt

    width = names_width(looks, narrow=narrow)
    axis = alt.Axis(
        title=None, domain=False, ticks=False, grid=False, minExtent=width, maxExtent=width, labelLimit=width - 6
    )
    return alt.Y("implementation", type="nominal", sort=list(looks.titles), axis=axis)


def panels(chart: Any, title: str = "place", order: str = "order") -> "alt.FacetChart":
    """The same chart for each value of a column, one below the other, each under its name; the x axis is shared."""
    import altair as alt

    header = alt.Header(title=None, labelOrient="top", labelAnchor="start", labelLimit=600)
    row = alt.Row(title, type="nominal", sort=alt.SortField(order), header=header)
    faceted: alt.FacetChart = chart.facet(row=row, data=alt.NamedData(name="points"), spacing=14).resolve_scale(
        y="independent"
    )
    return faceted
