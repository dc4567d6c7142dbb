"""The list of implementations for a terminal of any width, and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from lnbench.examined import Listed
from lnbench.planned import InstalledSource
from lnbench.render.outside import plain
from lnbench.render.whole_table import WholeTable

HEADINGS = ("name", "function", "from", "needs", "here", "what it is")

UNKNOWN = "unknown"
"""The function of what was not loaded."""

_LEAST_TEXT_WIDTH = 28
"""Narrower columns of whole sentences are not read well; then two columns stand in one."""

_NAME_WIDTH = 32
"""Longer ones are broken, where cells have several lines anyway."""

_GAP = 2
_INDENT = "  "


def render_implementations(found: Sequence[Listed]) -> RenderableType:
    """One row each: all side by side where the last two columns have room, else in two columns of a few lines."""
    return _Responsive(tuple(found))


def render_json(found: Sequence[Listed]) -> str:
    """The same as JSON; null is what is not known without loading a package, or was not tried."""
    return json.dumps([_told(listed) for listed in found], indent=2) + "\n"


def here_text(listed: Listed) -> str:
    """Whether it can be used here, with the versions of its libraries, or why not; if it was tried, how that went."""
    tried = listed.rehearsal
    if tried is not None and tried.status != "works":
        return f"{'fails' if tried.status == 'fails' else 'no'}: {tried.detail}"
    if listed.missing:
        return f"no: {listed.missing}"
    versions = [f"{name} {version}".rstrip() for name, version in listed.needs]
    if len(listed.needs) == 1:
        versions = list(filter(None, (version for _, version in listed.needs)))
    return ", ".join(["yes" if tried is None else "works", *versions])


def _told(listed: Listed) -> dict[str, object]:
    tried = listed.rehearsal
    return {
        "name": listed.name,
        "function": listed.function or None,
        "from": listed.origin,
        "needs": [{"name": name, "version": version or None} for name, version in listed.needs],
        "here": not listed.missing,
        "missing": listed.missing or None,
        "tried": None if tried is None else {"status": tried.status, "detail": tried.detail},
        "what_it_is": listed.summary or None,
        "options": dict(listed.options) if listed.function else None,
    }


def _cells(listed: Listed) -> tuple[str, ...]:
    """What stands under the headings."""
    needs = ", ".join(name for name, _ in listed.needs)
    summary = listed.summary
    if not summary and isinstance(listed.source, InstalledSource):
        summary = listed.source.value + (", not loaded" if listed.rehearsal is None else "")
    if listed.options:
        summary = f"{summary} (options: {', '.join(listed.options)})".strip()
    texts = (listed.name, listed.function or UNKNOWN, listed.origin, needs, here_text(listed), summary)
    return tuple(plain(text) for text in texts)


def _style(listed: Listed) -> str:
    tried = listed.rehearsal
    if tried is not None and tried.status == "fails":
        return "red"
    if listed.missing or (tried is not None and tried.status == "absent"):
        return "dim"
    return "green" if tried is not None else ""


@dataclass(frozen=True, slots=True)
class _Responsive:
    """The table, laid out for the width that it is shown in."""

    found: tuple[Listed, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        rows = [_cells(listed) for listed in self.found]
        fixed = sum(max(cell_len(row[column]) for row in (HEADINGS, *rows)) + _GAP for column in range(4))
        fits = fixed + 2 * (_LEAST_TEXT_WIDTH + _GAP) <= options.max_width
        yield _side_by_side(self.found, rows) if fits else _stacked(self.found, rows)


def _side_by_side(found: Sequence[Listed], rows: Sequence[Sequence[str]]) -> WholeTable:
    table = _table(HEADINGS)
    for column in table.columns[:4]:
        column.no_wrap = True
    for listed, row in zip(found, rows, strict=True):
        *fixed, here, summary = row
        table.add_row(*map(Text, fixed), Text(here, style=_style(listed)), Text(summary))
    return table


def _stacked(found: Sequence[Listed], rows: Sequence[Sequence[str]]) -> WholeTable:
    """Name over function and origin; beside it whether it is here, over what it needs and what it is."""
    name, function, origin, *right = HEADINGS
    table = _table([_lines(name, f"{function}, {origin}") + "\n ", _lines(right[1], right[0], right[2])])
    table.columns[0].max_width = _NAME_WIDTH
    for listed, row in zip(found, rows, strict=True):
        name, function, origin, needs, here, summary = row
        is_told = all(library in here for library, _ in listed.needs)
        table.add_row(
            Text(_lines(name, f"{function}, {origin}")),
            Text.assemble((here, _style(listed)), _lines("", "" if is_told else f"needs {needs}", summary)),
        )
    return table


def _lines(first: str, *others: str) -> str:
    """Lines of one cell, of which all but the first are set in; empty ones are left out."""
    return "\n".join([first, *(f"{_INDENT}{line}" for line in others if line)])


def _table(headings: Sequence[str]) -> WholeTable:
    table = WholeTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
