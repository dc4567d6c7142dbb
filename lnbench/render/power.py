"""What a check can tell apart, for the terminal: what resolves, what does not, and what it would take."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.text import Text

from lnbench.analysis.power import CLEAR_SHARE, MOST_PROCESSES, WANTED_CHANCE, Power
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.units import format_percent

LEGEND = (
    "Resolves: identical work can be called the same, and work slower by 5/3 of the margin is confirmed in 80 % of "
    "checks. The chances are for one slow row among all, and approximate."
)


def render_power(found: Sequence[Power], *, processes: int, spread: str) -> RenderableType:
    """Every row, those that do not resolve first; `spread` says where the spread comes from."""
    if not found:
        return Text("nothing can be said beforehand: no row has two processes to tell their spread", style="yellow")
    resolving = sum(power.resolves for power in found)
    style = "bold green" if resolving == len(found) else "bold yellow"
    summary = f"{resolving} of {len(found)} rows resolve at their margin with {processes} processes ({spread})"
    table = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("row", "resolves", "spread", "interval", "+5 %", "+10 %", "smallest", "takes"):
        table.add_column(head, overflow="fold", justify="left" if head in {"row", "resolves"} else "right")
    for power in sorted(found, key=lambda power: (power.resolves, -power.half_width)):
        table.add_row(
            Text(f"{plain(power.key.implementation)} {power.key.phase}\n  {plain(power.key.workload)}"),
            Text("yes", style="green") if power.resolves else Text("no", style="yellow"),
            format_percent(power.deviation),
            f"±{format_percent(power.half_width)}",
            f"{100 * power.chance_5:.0f} %",
            f"{100 * power.chance_10:.0f} %",
            "–" if power.smallest is None else f"+{format_percent(power.smallest)}",
            f">{MOST_PROCESSES}" if power.processes is None else str(power.processes),
        )
    return Group(
        Text(summary, style=style), Text(), table, Text(_advice(found), style="bold"), Text(LEGEND, style="dim")
    )


def _advice(found: Sequence[Power]) -> str:
    """What it would take for the rows that do not resolve."""
    open_rows = [power for power in found if not power.resolves]
    if not open_rows:
        return "Every row resolves."
    taking = [power.processes for power in open_rows if power.processes is not None]
    if len(taking) < len(open_rows):
        margin = max(power.smallest or 0.0 for power in open_rows) / CLEAR_SHARE
        wider = f"a margin of about {format_percent(margin)}" if margin else "another reference or a quieter machine"
        return f"Not even {MOST_PROCESSES} processes resolve {len(open_rows) - len(taking)} of them: they take {wider}."
    return f"{max(taking)} processes a side would resolve all ({WANTED_CHANCE:.0%} of clear slowdowns confirmed)."
