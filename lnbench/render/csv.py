"""A table as CSV: full precision, base units, `.` decimals, empty where nothing was measured."""

from typing import TYPE_CHECKING

from lnbench.render.outside import cell
from lnbench.tables import Table

if TYPE_CHECKING:
    import pandas as pd


def render_csv(table: Table) -> str:
    """The table with a header line; `pandas.read_csv(..., dtype=table.dtypes, **READING)` reads it back.

    Text that a spreadsheet would take for a formula gets a leading apostrophe, the same in every file.
    """
    return to_frame(table).to_csv(index=False, lineterminator="\n")


def to_frame(table: Table) -> "pd.DataFrame":
    """The table as a data frame with its dtypes; empty text counts as not measured, as it does in the file."""
    import pandas as pd  # takes half a second, which other formats need not wait for

    frame = pd.DataFrame(
        [[_safe(value) for value in row] for row in table.rows], columns=[column.name for column in table.columns]
    )
    return frame.astype(table.dtypes)


def _safe(value: object) -> object:
    if isinstance(value, str):
        return cell(value) or None
    return value
