"""A comparison, a check or a run as JSON: plain numbers, and null for what is not known."""

import json
import math
import re
from typing import Any

from lnbench.compared import Comparison
from lnbench.comparison_tables import groups_table, rows_table
from lnbench.decision import Decision
from lnbench.render.outside import steers
from lnbench.tables import Table, Value

_UNUSUAL = re.compile(r"[^\n -~]")


def render_comparison(comparison: Comparison, decision: Decision | None = None) -> str:
    """What was compared, row by row; of a check also what it comes to."""
    found: dict[str, Any] = {
        "busy_machine": list(comparison.busy),
        "base": comparison.base,
        "head": comparison.head,
    }
    if decision is not None:
        found["exit_code"] = int(decision.exit_code)
        found["headline"] = decision.headline
        found["findings"] = [{"exit_code": int(code), "text": text} for code, text in decision.findings]
    found["counts"] = {verdict.value: count for verdict, count in comparison.counts.items()}
    found["rows"] = _records(rows_table(comparison))
    found["groups"] = _records(groups_table(comparison))
    found["differences"] = [difference._asdict() for difference in comparison.differences]
    found["notes"] = list(comparison.notes)
    return json_text(found)


def render_results(table: Table, **facts: Any) -> str:
    """The rows of a results table, and what is to be said beside them."""
    return json_text({**facts, "rows": _records(table)})


def _records(table: Table) -> list[dict[str, Value]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, map(_finite, row), strict=True)) for row in table.rows]


def _finite(value: Value) -> Value:
    """JSON has no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(found: dict[str, Any] | list[Any]) -> str:
    """A value as JSON that shows as itself wherever it is printed; its numbers have to be finite."""
    text = json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False)
    # Whoever prints it must not be steered by it; json itself escapes only the oldest control characters.
    return _UNUSUAL.sub(lambda letter: _escaped(letter[0]) if steers(letter[0]) else letter[0], text) + "\n"


def _escaped(letter: str) -> str:
    """`\\u202e`, and two of them for what lies beyond 16 bits."""
    return "\\u007f" if letter == "\x7f" else json.dumps(letter)[1:-1]
