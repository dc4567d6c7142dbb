"""A history for the terminal, with rich: what changed when comes first, then every row as a line over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from lnbench.analysis.timeline import History, Moment, Section, Track
from lnbench.render.history_cells import (
    HOW_TO_READ,
    change_lines,
    gap_reasons,
    headline,
    last_text,
    line,
    marker_lines,
    moment_title,
    state_text,
    title,
    track_title,
)
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable
from lnbench.verdict import Verdict

STYLES = {Verdict.SLOWER.value: "bold red", Verdict.FASTER.value: "green"}

_LEAST_LINE, _MOST_LINE = 10, 60
_MOST_TITLE = 30
_BESIDE_LINE = 36
"""Columns that the newest speedup, a change and the gaps between columns take."""


def render_history(history: History) -> RenderableType:
    """Every suite: headline, changes, versions that changed, and its rows; then how to read it."""
    parts: list[RenderableType] = []
    for section in history.sections:
        parts += [*_section(section), Text()]
    parts += [Text(f"note: {plain(note)}", style="yellow") for note in history.notes]
    return Group(*parts, Text(HOW_TO_READ, style="dim"))


def _section(section: Section) -> Iterator[RenderableType]:
    yield Text(plain(f"{section.suite}: {headline(section)}"), style="bold")
    moments = section.moments
    if moments:
        yield from (Text(), Text("What changed when", style="bold"))
        for moment in moments:
            yield from _moment(section, moment)
    markers = marker_lines(section)
    if markers:
        yield from (Text(), Text("Versions and settings on the way", style="bold"))
        yield from (Text(plain(f"  {day}  {what}")) for day, what in markers)
    for track in section.tracks:
        yield from (Text(), Text(plain(track_title(section, track)), style="bold"), _Rows(track))
    yield from (Text(plain(f"  {reason}"), style="dim") for reason in gap_reasons(section.tracks))


def _moment(section: Section, moment: Moment) -> Iterator[RenderableType]:
    yield Text(plain(moment_title(section, moment)))
    for workload, lines in groupby(change_lines(section, moment), key=lambda found: found.workload):
        yield Text(f"  {plain(workload)}", style="dim")
        table = WholeTable(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
        for is_whole in (False, True, False):
            table.add_column(overflow="fold", no_wrap=is_whole)
        for found in lines:
            size = f"{found.kind} {found.change} {found.interval}".rstrip()
            style = STYLES.get(found.kind, "yellow")
            table.add_row(Text(f"    {plain(found.row)}"), Text(size, style=style), Text(plain(found.note)))
        yield table


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a track, with lines as long as the terminal leaves room for."""

    track: Track

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        del console
        names = [plain(title(series, self.track)) for series in self.track.series]
        longest = min(max(map(len, names)), _MOST_TITLE)
        width = min(max(options.max_width - longest - _BESIDE_LINE, _LEAST_LINE), _MOST_LINE)
        table = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("row", overflow="fold", min_width=longest)
        table.add_column(f"{len(self.track.runs)} run{'s' if len(self.track.runs) != 1 else ''}", no_wrap=True)
        table.add_column("newest speedup", no_wrap=True)
        table.add_column("change", overflow="fold")
        for name, series in zip(names, self.track.series, strict=True):
            kinds = [change.direction for change in series.changes if not change.together]
            table.add_row(
                Text(name),
                Text(line(series, width=width)),
                Text(last_text(series)),
                Text(plain(state_text(series)), style=STYLES[kinds[-1]] if kinds else "yellow"),
            )
        yield table
