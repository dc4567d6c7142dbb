"""Libraries that are loaded on first use, and may be missing on a machine that only measures."""

from collections.abc import Iterator
from contextlib import contextmanager

from lnbench.errors import MissingLibraryError

PACKAGES = {"vl_convert": "vl-convert-python", "altair": "altair", "jinja2": "jinja2", "ruptures": "ruptures"}
"""What is installed, by what is imported."""


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Load such libraries within; raises MissingLibraryError, which names what to install, where one is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = PACKAGES.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise MissingLibraryError(package, needed_for=what) from error
