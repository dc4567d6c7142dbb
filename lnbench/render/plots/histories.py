"""The plot of a history: a panel per row, its speedup with the interval's band over time, and rules at changes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lnbench.analysis.history_tables import bounds
from lnbench.analysis.timeline import Change, History, Section, Series, Track
from lnbench.render.cells import ratio_text
from lnbench.render.history_cells import kind_text, revisions, title, track_title
from lnbench.render.outside import plain
from lnbench.render.plots.palette import Looks
from lnbench.render.plots.style import colour, shape
from lnbench.units import format_change

if TYPE_CHECKING:
    import altair as alt

HEIGHT = 80
BESIDE = 80
"""Pixels for the axis beside a panel."""

_NO_TIME = 1
"""The year of a run that does not tell when it was."""

Record = dict[str, str | float | int | None]


def history_records(history: History) -> list[Record]:
    """Every point of every row, with what the plot shows of it; null where a run has no ratio. Text is one line."""
    return [
        record
        for section in history.sections
        for track in section.tracks
        for series in track.series
        for record in _records(section, track, series)
    ]


def history_chart(looks: Looks, *, width: int, narrow: bool = False) -> dict[str, Any]:
    """The Vega-Lite specification without its records, which it looks for under `history`. `narrow`: for a phone."""
    import altair as alt

    x = alt.X("at:T", title=None, axis=alt.Axis(grid=False, tickCount=5 if narrow else 10))
    scale = alt.Scale(zero=False, nice=False, padding=4)
    y = alt.Y("speedup:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4, format="~r"))
    base = alt.Chart()
    kinds = alt.Scale(domain=["slower", "faster", "reference moved"], range=_kind_colours(looks.named))
    kind = alt.Color("kind:N", scale=kinds, legend=None)
    changed = base.transform_filter("datum.kind !== ''")
    layers = [
        # Nothing to see: every panel reaches over twice its margin at least, so that noise looks flat.
        base.mark_rule(opacity=0).encode(x=x, y=alt.Y("floor:Q", title=None, scale=scale), y2="ceiling:Q"),
        base.mark_area(opacity=0.25).encode(
            x=x, y=alt.Y("low:Q", title=None, scale=scale), y2="high:Q", color=colour(looks)
        ),
        base.mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour(looks)),
        base.mark_point(filled=True, size=36, opacity=1).encode(
            x=x, y=y, color=colour(looks), shape=shape(looks), tooltip=_tooltip()
        ),
        changed.mark_rule(strokeDash=[5, 3], strokeWidth=1.5).encode(x=x, color=kind, tooltip=_tooltip()),
    ]
    if not narrow:
        text = changed.mark_text(align="left", baseline="top", dx=5, fontSize=11)
        layers.append(text.encode(x=x, y=alt.value(1), text="rule_text:N", color=kind))
    panels = alt.layer(*layers).properties(width=width, height=HEIGHT).resolve_scale(color="independent")
    header = alt.Header(title=None, labelOrient="top", labelAnchor="start", labelLimit=600)
    row = alt.Row("row:N", sort=alt.SortField("order"), header=header)
    faceted = panels.facet(row=row, data=alt.NamedData(name="history"), spacing=12).resolve_scale(y="independent")
    found: dict[str, Any] = faceted.to_dict(validate=False)
    return found


def _kind_colours(named: Mapping[str, str]) -> list[str]:
    return [named["c1"], named["c2"], named["faint"]]


def _tooltip() -> list["alt.Tooltip"]:
    import altair as alt

    fields = (
        ("row", "row"),
        ("day", "run of"),
        ("run_id", "run"),
        ("revision", "commit"),
        ("torch", "torch"),
        ("speedup_text", "speedup"),
        ("change_text", "change"),
        ("where", "in"),
    )
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in fields]


def _records(section: Section, track: Track, series: Series) -> list[Record]:
    changes = {change.after: change for change in series.changes}
    known = [point.interval.exp().value for point in series.points if point.interval is not None]
    middle, least = (min(known) * max(known)) ** 0.5, 1 + series.margin
    found: list[Record] = []
    for number, point, torch in zip(track.runs, series.points, series.torch_versions, strict=True):
        mark, (value, low, high) = section.runs[number], bounds(point.interval)
        at = mark.order[0]
        found.append(
            {
                "suite": plain(section.suite),
                "workload": plain(track_title(section, track)),
                "phase": series.key.phase,
                "implementation": plain(series.title),
                "row": plain(title(series, track)),
                "order": track.series.index(series),
                "at": None if at.year == _NO_TIME else round(1000 * at.timestamp()),
                "day": plain(mark.day),
                "run_id": plain(mark.run_id),
                "revision": mark.revision,
                "torch": plain(torch),
                "speedup": value,
                "low": low,
                "high": high,
                "speedup_text": "" if value is None else ratio_text(value, low, high),
                "floor": middle / least,
                "ceiling": middle * least,
                **_change(section, changes.get(number)),
            }
        )
    return found


def _change(section: Section, change: Change | None) -> Record:
    if change is None:
        return {"kind": "", "change_text": "", "where": "", "rule_text": ""}
    size = format_change(change.slowdown.exp().value)
    where = plain(revisions(section, change.before, change.after))
    kind = kind_text(change)
    return {"kind": kind, "change_text": f"{kind} {size}", "where": where, "rule_text": f"{size} {where}"}
