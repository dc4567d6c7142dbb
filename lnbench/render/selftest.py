"""The selftest's rates for the terminal and as JSON."""

import json
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from lnbench.analysis.power import WANTED_CHANCE
from lnbench.analysis.rates import Rate
from lnbench.analysis.selftest import SelfTest
from lnbench.render.whole_table import WholeTable
from lnbench.units import format_percent


def render_selftest(result: SelfTest) -> RenderableType:
    """Every rate with its bounds, and the smallest slowdown that this machine resolves."""
    if not result.repetitions:
        return Text("no repetition was finished, so there is nothing to say", style="yellow")
    table = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("what", "how often", "rate", "95 % bounds"):
        table.add_column(head, justify="left" if head == "what" else "right")
    for name, rate in _rates(result):
        low, high = rate.bounds()
        value = "–" if rate.value is None else f"{100 * rate.value:.1f} %"
        table.add_row(name, f"{rate.hits} of {rate.trials}", value, f"{100 * low:.1f} to {100 * high:.1f} %")
    typical, worst = (None if it is None else f"+{format_percent(it)}" for it in result.smallest)
    smallest = (
        f"smallest slowdown confirmed in {WANTED_CHANCE:.0%} of checks of this length: "
        f"{typical or 'beyond measure'} for the median row, {worst or 'beyond measure'} for the worst"
    )
    count = f"{result.repetitions} repetition{'s' if result.repetitions != 1 else ''}"
    return Group(
        Text(f"{count} of six processes: three to screen, three to confirm", style="dim"),
        Text(),
        table,
        Text(smallest, style="bold"),
        Text(
            "A slowed row is judged as the one slow row among identical ones. Bounds: Clopper and Pearson.", style="dim"
        ),
    )


def render_json(result: SelfTest) -> str:
    """The same as JSON."""
    rates = {
        name: {"hits": rate.hits, "trials": rate.trials, "low": rate.bounds().low, "high": rate.bounds().high}
        for name, rate in _rates(result)
    }
    typical, worst = result.smallest
    told = {
        "repetitions": result.repetitions,
        "rates": rates,
        "smallest_slowdown": {"median_row": typical, "worst_row": worst},
    }
    return json.dumps(told, indent=1) + "\n"


def _rates(result: SelfTest) -> Iterator[tuple[str, Rate]]:
    yield "identical, looked slower at first, per case", result.looked_slower
    yield "identical, false alarms after confirmation, per case", result.false_alarms
    yield "identical, false alarms per check", result.false_checks
    for share, rate in sorted(result.detected.items()):
        yield f"+{format_percent(share)}, confirmed", rate
    for share, rate in sorted(result.covered.items()):
        yield f"intervals that hold the true +{format_percent(share)}" if share else "intervals that hold 0", rate
    if result.checks_against_earlier.trials:
        yield "against the repetition before: false alarms per case", result.against_earlier
        yield "against the repetition before: false alarms per check", result.checks_against_earlier
