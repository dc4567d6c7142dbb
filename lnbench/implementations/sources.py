"""Whatever brings implementations from outside, loaded alike: plug-in files, and entry points of installed packages."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from lnbench.errors import PluginError, TerminatedError, in_a_line
from lnbench.implementations.contract import Registration
from lnbench.implementations.operators import replaced_operators
from lnbench.implementations.packages import load_installed
from lnbench.implementations.plugins import load_plugin, refuse_shared_modules
from lnbench.planned import InstalledSource, PluginSource, Source


def load_source(source: Source) -> list[Registration]:
    """Run a source's code, in a worker process only, and give what it registers.

    Raises PluginError when it fails, registers nothing, or takes what is another's.
    """
    before = replaced_operators()
    match source:
        case PluginSource():
            found = load_plugin(source)
        case InstalledSource():
            found = [load_installed(source)]
        case _:
            assert_never(source)
    for replaced in replaced_operators():
        if replaced not in before:
            raise replaced.error(source.title)
    return found


def load_sources(sources: Sequence[Source]) -> Iterator[list[Registration] | PluginError]:
    """Load sources in their order, and give for each what it registers, or why it can't be loaded."""
    return map(_loaded, sources)


def _loaded(source: Source) -> list[Registration] | PluginError:
    """What a source registers, or why not; it may raise anything, SystemExit too, and that is then why."""
    try:
        found = load_source(source)
        refuse_shared_modules()
    except PluginError as error:
        return error
    except TerminatedError:
        raise
    except BaseException as error:
        return PluginError(f"{source.title}: {in_a_line(error)}")
    return found
