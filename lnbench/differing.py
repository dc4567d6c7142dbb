"""In what several runs differ, with the value of each: `conditions` for more than two."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from lnbench.conditions import Circumstances, conditions, details, header_settings
from lnbench.record import Header


class Differing(NamedTuple):
    """A condition or setting in which runs differ, with its value in each of them, "" where there is none.

    `rows`: of a condition, in how many rows it differs; `values` is empty where it differs from row to row.
    """

    name: str
    values: tuple[str, ...]
    rows: int = 0


def differing_conditions(rows: Iterable[Sequence[Circumstances | None]]) -> tuple[Differing, ...]:
    """What must match before rows are compared, and is not the same in all runs that have a row.

    `rows`: for each the circumstances in every run, None where a run has no such row.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        told = [None if known is None else conditions(known) for known in row]
        for name in next((known for known in told if known is not None), {}):
            if len({known[name] for known in told if known is not None}) > 1:
                values = tuple("" if known is None else known[name] for known in told)
                found.setdefault(name, []).append(values)
        more = [{} if known is None else details(known) for known in row]
        for name in dict.fromkeys(name for known in more for name in known):
            values = tuple(known.get(name, "") for known in more)
            if len({*values} - {""}) > 1:
                found.setdefault(name, []).append(values)
    return tuple(
        Differing(name, values[0] if len(set(values)) == 1 else (), len(values)) for name, values in found.items()
    )


def differing_settings(headers: Sequence[Header], *, told: AbstractSet[str]) -> tuple[Differing, ...]:
    """Everything else about machines, versions and settings that is not the same in all runs."""
    settings = [dict(header_settings(header)) for header in headers]
    names = dict.fromkeys(name for found in settings for name in found)
    every = (Differing(name, tuple(found.get(name, "") for found in settings)) for name in names if name not in told)
    return tuple(found for found in every if len(set(found.values)) > 1)


def grouped(found: Differing, letters: Sequence[str]) -> str:
    """A difference in one line, equal values together: `torch: 2.13.0 (A, B); 2.12.1 (C)`."""
    if not found.values:
        return f"{found.name}: differs from row to row, in {found.rows} row{'s' if found.rows != 1 else ''}"
    having: dict[str, list[str]] = {}
    for value, name in zip(found.values, letters, strict=True):
        having.setdefault(value or "none", []).append(name)
    told = (f"{value} ({', '.join(names)})" for value, names in having.items())
    return f"{found.name}: {'; '.join(told)}"
