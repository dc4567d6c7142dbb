"""The rows of a run's results.csv, read without any library, for a look at a machine where some may be missing."""

import csv
from collections.abc import Iterable
from pathlib import Path

Row = dict[str, str]

SHOWN_PHASES = ("inference", "forward_backward")


def rows(run: Path) -> list[Row]:
    """The rows of a run folder; none where it has no results."""
    try:
        with (run / "results.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


def number(text: str | None) -> float | None:
    """A cell's number; None where it is empty."""
    try:
        return float(text or "")
    except ValueError:
        return None


def counts(table: Iterable[Row]) -> dict[str, int]:
    """How many rows have each status."""
    found: dict[str, int] = {}
    for row in table:
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


def reasons(table: Iterable[Row]) -> dict[str, dict[str, str]]:
    """Why rows were not measured: by implementation and status, one reason each."""
    found: dict[str, dict[str, str]] = {}
    for row in table:
        if row["status"] != "ok":
            found.setdefault(row["implementation"], {})[row["status"]] = row.get("reason", "")[:200]
    return found


def lines(table: Iterable[Row]) -> list[str]:
    """A line per row with its time, its speedup and its notices."""
    return [_line(row) for row in table if row["phase"] in SHOWN_PHASES]


def _line(row: Row) -> str:
    median_s, speedup = number(row["median_s"]), number(row["speedup"])
    interval = f"[{row.get('speedup_low', '')[:6]},{row.get('speedup_high', '')[:6]}]"
    parts = [row[name] for name in ("workload", "implementation", "norm_mode", "phase", "clock", "status")]
    parts.append("-" if median_s is None else f"{1e6 * median_s:.2f}us")
    parts.append("-" if speedup is None else f"x{speedup:.3f} {interval}")
    parts += [f"copy%{row.get('percent_of_copy', '')[:5]}", row.get("notices", "")]
    return " ".join(part for part in parts if part)
