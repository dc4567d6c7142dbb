"""A module tree of its own for every plug-in file, so that two versions of one project never share a module.

A plug-in and all that it imports from its folders live below a made-up package, one per file. The import statement of
those modules looks there first, also inside functions that run much later; everything else is imported as usual.
"""

import builtins
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

NEVER_FROM_A_TREE = sys.stdlib_module_names | {"lnbench", "torch", "numpy", "triton"}
"""Modules that both sides have to share: the language's, the tool's, and the framework that holds the tensors."""

_PREFIX = "lnbench_plugin_"


class ModuleTree:
    """The modules of one plug-in file: those in its folder, and those in the folders above it up to `top`."""

    _made = 0

    def __init__(self, file: Path, *, top: Path | None = None) -> None:
        self.file = file.resolve()
        self.top = (top or file.parent).resolve()
        above = [folder for folder in self.file.parents if folder.is_relative_to(self.top)]
        self._folders = above or [self.file.parent]
        self.name = f"{_PREFIX}{ModuleTree._made}"
        ModuleTree._made += 1
        self._known: dict[str, bool] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}
        package = ModuleType(self.name, f"The modules of {self.file.name} and of what lies beside it.")
        package.__path__ = [str(folder) for folder in self._folders]
        sys.modules[self.name] = package
        sys.meta_path.insert(0, _Finder(self.name, self._builtins))

    def load(self) -> ModuleType:
        """Run the plug-in file itself, as a module of its package where it stands in one."""
        packages: list[str] = []
        for folder in self._folders[:-1]:
            if not (folder / "__init__.py").is_file():
                break
            packages.insert(0, folder.name)
        return importlib.import_module(".".join([self.name, *packages, self.file.stem]))

    def holds(self, module: str) -> bool:
        """True for the full name of a module of this tree."""
        return module == self.name or module.startswith(f"{self.name}.")

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What `import` does in this tree's modules."""
        top = name.partition(".")[0]
        if level or not self._has(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        full = f"{self.name}.{name}"
        if fromlist:
            return builtins.__import__(full, globals, locals, fromlist, 0)
        importlib.import_module(full)
        return sys.modules[f"{self.name}.{top}"]

    def _has(self, top: str) -> bool:
        """True when a top-level name stands in one of the folders; above the file's own, only whole packages count."""
        if not top or top in NEVER_FROM_A_TREE:
            return False
        if top not in self._known:
            own, *above = self._folders
            found = _stands_in(own, top, or_folder=True) or any(_stands_in(it, top, or_folder=False) for it in above)
            self._known[top] = found
        return self._known[top]


def shared_modules(trees: Sequence[ModuleTree]) -> Iterator[tuple[str, Path]]:
    """Modules that are in use outside of every tree although another tree holds the same file: one copy for two sides.

    That happens where the project is installed in editable mode and something imports it by its full name in a way that
    the trees do not see. Gives the module's name and its file.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.partition(".")[0] == "lnbench" or any(tree.holds(name) for tree in trees):
            continue
        path = Path(file).resolve()
        for tree in trees:
            if path.is_relative_to(tree.top) and _is_elsewhere(path.relative_to(tree.top), trees, tree):
                yield name, path
                break


def _is_elsewhere(relative: Path, trees: Sequence[ModuleTree], own: ModuleTree) -> bool:
    return any((tree.top / relative).exists() for tree in trees if tree.top != own.top)


def _stands_in(folder: Path, name: str, *, or_folder: bool) -> bool:
    suffixes = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
    if any((folder / f"{name}{suffix}").is_file() for suffix in suffixes) or (folder / name / "__init__.py").is_file():
        return True
    return or_folder and (folder / name).is_dir() and not name.startswith("__")


def _Loader(namespace: Mapping[str, Any]) -> Callable[[str, str], SourceFileLoader]:  # noqa: N802  (makes a class)
    """A loader of source files whose modules import through `namespace`."""

    class Loader(SourceFileLoader):
        def exec_module(self, module: ModuleType) -> None:
            module.__dict__["__builtins__"] = namespace
            super().exec_module(module)

    return Loader


class _Finder:
    """Finds the modules below one tree's package, and gives them its way to import."""

    def __init__(self, package: str, namespace: Mapping[str, Any]) -> None:
        self._package = package
        self._loaders = (
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (_Loader(namespace), SOURCE_SUFFIXES),
        )

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module of this tree; None for all others."""
        del target
        if not name.startswith(f"{self._package}."):
            return None
        namespaces: list[str] = []
        for folder in path or ():
            finder = FileFinder(folder, *self._loaders)  # type: ignore[arg-type]  # typeshed wants classes
            spec = finder.find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
            namespaces += list(spec.submodule_search_locations or ()) if spec is not None else []
        if not namespaces:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = namespaces
        return spec
