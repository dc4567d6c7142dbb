"""One self-contained page: a frame with its style, script and libraries inside; it asks the network for nothing."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lnbench.render.outside import plain
from lnbench.render.plots.palette import DARK, LIGHT

if TYPE_CHECKING:
    from jinja2 import Environment

_SIGNIFICANT = 5
"""Digits of a plotted number: far below a pixel."""


def render_page(template: str, *, plots: Mapping[str, Any] | None, script: str, **values: Any) -> str:
    """The page that a template of this folder makes of these values; text in them is escaped.

    `plots`: what the page's script draws from; None for a page without plots, which then carries no library. `script`:
    the file of this folder that draws them.
    """
    page = environment().get_template(template)
    return page.render(
        **values,
        style=_text("report.css"),
        themes={"light": LIGHT, "dark": DARK},
        script=_text("page.js") + _text(script) if plots is not None else "",
        library=_library() if plots is not None else "",
        plots=None if plots is None else embedded_json(plots),
    )


def columns_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Records as one list per field, which is a third of the text; numbers to what a plot can show.

    Where texts repeat there are two lists instead: each text once, and for each record its number among them.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    return {name: _column([record.get(name) for record in records]) for name in names}


def embedded_json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _column(values: list[Any]) -> Any:
    if not any(isinstance(value, str) for value in values):
        return [_short(value) for value in values]
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return {"each": list(places), "at": [places[value] for value in values]}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT}g}")
    return value


def _text(name: str) -> str:
    return files("lnbench.render.html").joinpath(name).read_text(encoding="utf-8")


@cache
def environment() -> "Environment":
    """Where the templates are found, and how what stands in them is escaped; made once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("lnbench.render", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Text from outside as one line of what can be printed; what is ours (marked as safe) as it is."""
    return plain(value) if type(value) is str else value


def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that leaves `vegaEmbed` behind."""
    import vl_convert

    bundled: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return f"(() => {{{bundled}}})();".replace("</script", "<\\/script")
