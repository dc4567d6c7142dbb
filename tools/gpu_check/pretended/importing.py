"""Puts the pretended GPU in place as a process imports what would look for a real one."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from os import environ, pathsep
from pathlib import Path
from types import ModuleType
from typing import Any

SITE = Path(__file__).resolve().parent / "site"
REPOSITORY = Path(__file__).resolve().parents[3]

LOCAL_VERSION = "pretended"
"""Stands in the recorded version of torch, so that no journal of a rehearsal passes for one of a card."""


def pretended_environment(environment: Mapping[str, str] = environ, *, first: Sequence[Path] = ()) -> dict[str, str]:
    """The environment variables under which a Python process, and those that it starts, find the pretended GPU.

    `first`: folders that come before the repository's root, and whose packages are imported instead of its own.
    """
    inherited = environment.get("PYTHONPATH", "")
    folders = [str(SITE), *map(str, first), str(REPOSITORY), *([inherited] if inherited else [])]
    return {**environment, "PYTHONPATH": pathsep.join(folders), "CUDA_VISIBLE_DEVICES": "0"}


def pretend_gpu() -> None:
    """Replace NVML, hide Triton, which needs a real driver, and replace parts of torch as it is imported."""
    from tools.gpu_check.pretended.nvml import pretended_pynvml

    sys.modules["pynvml"] = pretended_pynvml()
    sys.modules["triton"] = None  # type: ignore[assignment]  # Python then takes it for not installed
    real_version = importlib.metadata.version

    def version(distribution_name: str) -> str:
        found = real_version(distribution_name)
        return f"{found.partition('+')[0]}+{LOCAL_VERSION}" if distribution_name == "torch" else found

    importlib.metadata.version = version
    sys.modules["torch._inductor.cudagraph_trees"] = _no_graphs()
    sys.meta_path.insert(0, _Finder({"torch.cuda": _before_cuda}, {"torch": _after_torch}))


def _no_graphs() -> ModuleType:
    """What `torch._dynamo.reset()` calls where there is a GPU (torch 2.13): no CUDA graphs have to be forgotten.

    The real module imports the compiler, which takes seconds.
    """
    module = ModuleType("torch._inductor.cudagraph_trees")
    vars(module)["reset_cudagraph_trees"] = _nothing
    return module


def _before_cuda() -> None:
    """torch.cuda looks, when it is imported, for what the C extension has."""
    from tools.gpu_check.pretended.c_functions import add_c_functions

    add_c_functions(sys.modules["torch._C"])


def _after_torch() -> None:
    from tools.gpu_check.pretended.tensors import pretend_tensors

    pretend_tensors()


class _Finder(MetaPathFinder):
    """Finds modules as ever, and runs a function before or after some are executed."""

    def __init__(self, before: Mapping[str, Callable[[], None]], after: Mapping[str, Callable[[], None]]) -> None:
        self._before = before
        self._after = after

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._before and fullname not in self._after:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self._before.get(fullname, _nothing)()
            execute(module)
            self._after.get(fullname, _nothing)()

        loader.exec_module = exec_module
        return spec


def _nothing() -> None:
    pass
