"""A folder of runs, read one by one into their history; what can't be read is named and left out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lnbench.analysis.history import make_history
from lnbench.analysis.run_points import RunPoints, points_of
from lnbench.analysis.timeline import History
from lnbench.errors import JournalError, NothingMeasuredError
from lnbench.render.libraries import needed_for
from lnbench.selection import Filter, matches
from lnbench.store.reading import read_run
from lnbench.store.searching import suite_of


@dataclass(frozen=True, slots=True)
class FolderHistory:
    """The history of what could be read, and what was in the way of the rest."""

    history: History
    unreadable: tuple[str, ...]


def read_history(
    journals: Iterable[Path], *, suites: Sequence[str] = (), only: Filter | None = None, margin: float | None = None
) -> FolderHistory:
    """The history of these journals. `suites`: their names, or patterns; () for all.

    Only points are kept of each run, so that memory does not grow with the samples. Whoever gives the journals sees by
    their being taken how far it is.
    Raises NothingMeasuredError where no journal holds a row to show.
    """
    unreadable: list[str] = []
    with needed_for("change points"):
        history = make_history(_points(journals, unreadable, suites=suites, only=only), margin=margin)
    if not history.sections:
        told = "; ".join(unreadable[:1])
        raise NothingMeasuredError(
            f"no run has a row with a ratio to show{f' ({told})' if told else ''}",
            hint="`lnbench run` measures every case beside its reference; --suite and --only may leave too little",
        )
    return FolderHistory(history, tuple(unreadable))


def _points(
    journals: Iterable[Path], unreadable: list[str], *, suites: Sequence[str], only: Filter | None
) -> Iterator[RunPoints]:
    for file in journals:
        try:
            if suites and not matches(suite_of(file), tuple(suites)):
                continue
            yield points_of(read_run(file), only=only)
        except JournalError as error:
            unreadable.append(error.message)
