"""A table of which nothing is cut, however narrow the terminal."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

_UNLIMITED = 10_000
_LEAST_COLUMN = 14
"""Columns that may wrap are not made narrower than this: it holds a number with its unit."""


class WholeTable(Table):
    """A table whose lines run past a width that is too narrow for it; rich cuts the cells instead.

    Columns that may wrap give way first, down to a few letters, and break words that are longer. What prints it must
    not crop lines.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update_width(_UNLIMITED)
        to_spare = 0
        for column in self.columns:
            if not column.no_wrap:
                column.overflow = "fold"
                to_spare += max(_width(column, console, unlimited) - _LEAST_COLUMN, 0)
        least = Measurement.get(console, unlimited, self).maximum - to_spare
        yield from super().__rich_console__(console, options.update_width(max(options.max_width, least)))


def _width(column: Column, console: Console, options: ConsoleOptions) -> int:
    """How wide a column is where there is room."""
    cells = (column.header, *column.cells)
    widest = max(Measurement.get(console, options, cell).maximum for cell in cells)
    return widest if column.max_width is None else min(widest, column.max_width)
