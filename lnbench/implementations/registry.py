"""The one list of implementations: lnbench's own, loaded on first use, and beside them those of plug-in files."""

from collections.abc import Iterable

from lnbench.implementations.built_in import BUILT_IN, Row
from lnbench.implementations.contract import Registration
from lnbench.implementations.needs import missing_library

__all__ = ["BUILT_IN", "Registry", "Row", "availability"]


def availability(row: Row) -> str:
    """Why an implementation can't be built here, and what would help; "" when its libraries are there.

    Nothing is imported: a library that is there may still fail when it is loaded.
    """
    return missing_library(row.needs)


class Registry:
    """The built-in implementations and those of the plug-ins given."""

    def __init__(self, plugins: Iterable[Registration] = ()) -> None:
        self._added = {registration.name: registration for registration in plugins}

    def load(self, name: str) -> Registration:
        """The registration behind a name; imports its library on first use."""
        return self._added.get(name) or BUILT_IN[name].load()

    def package(self, name: str) -> str:
        """The top-level package that a plug-in's builder was defined in; "" for lnbench's own."""
        found = self._added.get(name)
        return "" if found is None else str(getattr(found.build, "__module__", "")).partition(".")[0]
