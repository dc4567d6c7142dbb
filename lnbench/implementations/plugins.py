"""Plug-in files: run in a module tree of their own, for what they register."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lnbench.errors import PluginError, text_of
from lnbench.implementations.contract import Registration, collect
from lnbench.implementations.registry import BUILT_IN
from lnbench.implementations.trees import ModuleTree, shared_modules
from lnbench.planned import BASE_SUFFIX, PluginSource

_trees: list[ModuleTree] = []


def refuse_shared_modules() -> None:
    """Raise PluginError when both sides of a comparison use one copy of a module, so that one of them runs wrong code.

    Imports may come late, so this is asked again whenever something was built.
    """
    for name, file in shared_modules(_trees):
        raise PluginError(
            f"both sides would share the module {name} ({file})",
            hint="import it with an import statement, from a folder of the plug-in's own tree, or uninstall the copy",
        )


def load_plugin(source: PluginSource) -> list[Registration]:
    """Run a plug-in file and give what it registers; the old version of a name is told by a suffix.

    Raises PluginError with file and line when it fails, registers nothing, or takes a name of lnbench's own. This runs
    the file's code: it is called in a worker process only.
    """
    path = Path(source.path)
    collect()
    if source.digest and hashlib.sha256(path.read_bytes()).hexdigest() != source.digest:
        raise PluginError(f"{path}: the file was changed while the run measured", hint="start it anew")
    tree = ModuleTree(path, top=Path(source.tree) if source.tree else None)
    _trees.append(tree)
    try:
        tree.load()
    except Exception as error:
        raise _located(path, error, file=str(tree.file)) from error
    found = collect()
    if not found:
        raise PluginError(f"{path}: registers no implementation", hint="put @lnbench.implementation(...) on a builder")
    _refuse_taken_names(path, found)
    return [replace(it, name=f"{it.name}{BASE_SUFFIX}") for it in found] if source.is_base else found


def _refuse_taken_names(path: Path, found: Iterable[Registration]) -> None:
    """Raise PluginError when a plug-in registers a built-in name, or one name twice."""
    seen: set[str] = set()
    for registration in found:
        if registration.name in BUILT_IN or registration.name in seen:
            owner = "lnbench itself" if registration.name in BUILT_IN else "the same file"
            raise PluginError(f'{path}: the name "{registration.name}" is taken by {owner}', hint="choose another name")
        seen.add(registration.name)


def _located(path: Path, error: Exception, *, file: str) -> PluginError:
    """The error with the line of the plug-in where it came from; `file` is the plug-in's own absolute path."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == file else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    place = f"{path}:{line}" if line else str(path)
    if isinstance(error, PluginError):
        return PluginError(f"{place}: {error.message}", hint=error.hint)
    text = error.msg if isinstance(error, SyntaxError) else text_of(error)
    return PluginError(f"{place}: {type(error).__name__}: {text}")
