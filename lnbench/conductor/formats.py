"""The formats by name: of a run, a check, two runs compared, runs over time, and what to use."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from lnbench.analysis.history_tables import points_table
from lnbench.analysis.recommend import Recommendation
from lnbench.analysis.timeline import History
from lnbench.compared import Comparison
from lnbench.comparison_tables import rows_table
from lnbench.conductor.plain_text import plain_text
from lnbench.conductor.shown_run import ShownRun
from lnbench.render import comparison as comparison_terminal
from lnbench.render import comparison_markdown, history_json, history_markdown, json, recommendation
from lnbench.render import history as history_terminal
from lnbench.render.csv import render_csv
from lnbench.render.libraries import needed_for

Text = Callable[[ShownRun], str]

EXCHANGE_FORMATS: Mapping[str, Text] = MappingProxyType(
    {
        "pytest-benchmark": ShownRun.pytest_benchmark,
        "github-action-benchmark": ShownRun.github_action_benchmark,
        "bencher": ShownRun.bencher,
    }
)
"""What other benchmark tools read."""

RUN_FORMATS: Mapping[str, Text] = MappingProxyType(
    {
        "terminal": ShownRun.terminal,
        "markdown": ShownRun.markdown,
        "csv": ShownRun.csv,
        "json": ShownRun.json,
        "html": ShownRun.html,
        "latex": ShownRun.latex,
        **EXCHANGE_FORMATS,
    }
)
"""How every run can be shown as text."""

IMAGES: Mapping[str, Callable[[ShownRun], bytes]] = MappingProxyType(
    {"svg": lambda shown: shown.image("svg"), "png": lambda shown: shown.image("png")}
)
"""How one of its plots can be shown."""

CHECK_FORMATS: Mapping[str, Text] = MappingProxyType(
    {
        **RUN_FORMATS,
        "markdown": ShownRun.summary,
        "github": ShownRun.github,
        "junit": ShownRun.junit,
        "gitlab": ShownRun.gitlab,
    }
)
"""How a check can be shown."""

REPORT_FORMATS: Mapping[str, Callable[[ShownRun], str | bytes]] = MappingProxyType(
    {**CHECK_FORMATS, **RUN_FORMATS, **IMAGES}
)
"""How `report` shows a run or a check: its markdown is the whole report."""

COMPARISON_FORMATS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {
        "terminal": lambda comparison: plain_text(comparison_terminal.render_comparison(comparison)),
        "markdown": comparison_markdown.render_comparison,
        "csv": lambda comparison: render_csv(rows_table(comparison)),
        "json": json.render_comparison,
    }
)
"""How two runs compared can be shown."""


def _history_page(history: History) -> str:
    from lnbench.render.html.history import render_html

    with needed_for("pages"):
        return render_html(history)


HISTORY_FORMATS: Mapping[str, Callable[[History], str]] = MappingProxyType(
    {
        "terminal": lambda history: plain_text(history_terminal.render_history(history)),
        "markdown": history_markdown.render_history,
        "csv": lambda history: render_csv(points_table(history)),
        "json": history_json.render_history,
        "html": _history_page,
    }
)
"""How runs over time can be shown."""


def recommendation_formats(busy: str) -> Mapping[str, Callable[[Sequence[Recommendation]], str]]:
    """How recommendations can be shown. `busy`: a line for the top where other processes kept the machine busy."""
    return {
        "terminal": lambda found: plain_text(recommendation.render_recommendations(found, busy=busy)),
        "markdown": lambda found: recommendation.render_markdown(found, busy=busy),
        "json": lambda found: recommendation.render_json(found, busy=busy),
    }


RECOMMENDATION_FORMATS = MappingProxyType(recommendation_formats(""))
"""The same of a run on a machine that was not busy."""
