"""Whatever brings implementations from outside, loaded alike: plug-in files, and entry points of installed packages."""

import sys
from collections.abc import Iterator, Sequence
from typing import assert_never

from lnbench.errors import PluginError, in_a_line
from lnbench.implementations.contract import Registration
from lnbench.implementations.packages import load_installed
from lnbench.implementations.plugins import load_plugin, refuse_shared_modules
from lnbench.planned import InstalledSource, PluginSource, Source


def load_source(source: Source) -> list[Registration]:
    """Run a source's code, in a worker process only, and give what it registers.

    Raises PluginError when it fails, registers nothing, or takes what is another's.
    """
    operators = _operators()
    match source:
        case PluginSource():
            found = load_plugin(source)
        case InstalledSource():
            found = [load_installed(source)]
        case _:
            assert_never(source)
    _refuse_replaced_operators(source.title, operators)
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
    except BaseException as error:
        return PluginError(f"{source.title}: {in_a_line(error)}")
    return found


def _operators() -> dict[str, object]:
    """PyTorch's custom operators that are registered now, as far as this version of it tells; none before it loads."""
    table: dict[str, object] = getattr(sys.modules.get("torch._library.custom_ops"), "OPDEFS", {})
    return dict(table)


def _refuse_replaced_operators(owner: str, before: dict[str, object]) -> None:
    """PyTorch 2.13 replaces an operator that is registered again without a word, also for who registered it first."""
    now = _operators()
    for name, operator in before.items():
        if now.get(name, operator) is not operator:
            raise PluginError(
                f"{owner}: registers the operator {name}, which another plug-in has registered",
                hint="a process has one operator of a name: call the function behind it, or name it by version",
            )
