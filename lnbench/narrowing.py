"""Why `--only` leaves nothing of a suite: the first column of which no case has a value that was asked for."""

from collections.abc import Iterable, Mapping, Sequence

from lnbench.axes import Machine, multiply_out, settle_cache
from lnbench.errors import NothingMeasuredError, nearest
from lnbench.lineup import Entrant
from lnbench.selection import WORKLOAD_COLUMNS, Filter, matches
from lnbench.suite_entries import WorkloadEntry


def refuse_unmatched(
    only: Filter, planned: Iterable[tuple[WorkloadEntry, Sequence[Entrant]]], machine: Machine
) -> None:
    """Raise NothingMeasuredError, with the nearest value, for a column whose patterns match no case.

    `planned`: the workload entries of the suite, each with those that take part in it.
    """
    for column, values in _values(only, planned, machine).items():
        if not any(matches(value, only[column]) for value in values):
            wanted = " or ".join(f"{column}={pattern}" for pattern in only[column])
            raise NothingMeasuredError(
                f"nothing to measure: --only: no case has {wanted}", hint=nearest(only[column][0], values)
            )


def _values(
    only: Filter, planned: Iterable[tuple[WorkloadEntry, Sequence[Entrant]]], machine: Machine
) -> Mapping[str, set[str]]:
    """The values of the whole suite in each column of the filter."""
    found: dict[str, set[str]] = {column: set() for column in only}
    for entry, entrants in planned:
        of_cases = {
            "implementation": {entrant.implementation for entrant in entrants},
            "function": {entrant.function.name for entrant in entrants},
            "norm_mode": {entrant.norm_mode for entrant in entrants},
            "phase": set(entry.phases),
        }
        for column in found.keys() & of_cases.keys():
            found[column] |= of_cases[column]
        columns = found.keys() & WORKLOAD_COLUMNS.keys()
        for _, asked in multiply_out(entry, default_threads=machine.default_threads) if columns else ():
            workload = settle_cache(asked, machine)
            name = workload.name(default_threads=machine.threads)
            for column in columns:
                found[column].add(WORKLOAD_COLUMNS[column](workload, name))
    return found
