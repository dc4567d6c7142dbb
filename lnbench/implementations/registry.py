"""The one list of implementations: a row each, loaded on first use; plug-in files add theirs.

Reading the rows loads no framework, so `lnbench list` and `--dry-run` are instant.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lnbench.errors import PluginError
from lnbench.implementations.contract import Registration, collect


@dataclass(frozen=True, slots=True)
class Row:
    """A built-in implementation: what it is, and where its builder stands (`module:attribute`)."""

    name: str
    function: str
    summary: str
    builder: str
    fixed: Mapping[str, object] = field(default_factory=dict)

    @property
    def compiles(self) -> bool:
        """True when its first call compiles."""
        return self.builder.startswith("compiled:")

    def load(self) -> Registration:
        """Import the builder."""
        module, _, attribute = self.builder.partition(":")
        builder = getattr(import_module(f"lnbench.implementations.{module}"), attribute)
        return Registration(self.name, self.function, self.summary, _with_fixed(builder, self.fixed), {})


BUILT_IN: Mapping[str, Row] = MappingProxyType(
    {
        row.name: row
        for row in (
            Row("eager", "layer_norm", "composed PyTorch operations, float32 statistics", "eager:layer_norm"),
            Row("fused", "layer_norm", "torch.nn.functional.layer_norm", "fused:layer_norm"),
            Row("module", "layer_norm", "torch.nn.LayerNorm", "fused:layer_norm_module"),
            Row("compiled", "layer_norm", "torch.compile of eager: whole graph, static shapes", "compiled:layer_norm"),
            Row(
                "compiled_dynamic",
                "layer_norm",
                "torch.compile of eager: whole graph, dynamic shapes",
                "compiled:layer_norm",
                {"dynamic": True},
            ),
            Row(
                "compiled_max_autotune",
                "layer_norm",
                "torch.compile of eager: whole graph, static shapes, max-autotune without CUDA graphs",
                "compiled:layer_norm",
                {"mode": "max-autotune-no-cudagraphs"},
            ),
            Row("rms_norm", "rms_norm", "torch.nn.functional.rms_norm", "fused:rms_norm"),
            Row("batch_norm", "batch_norm", "torch.nn.functional.batch_norm", "fused:batch_norm"),
            Row("group_norm", "group_norm", "torch.nn.functional.group_norm", "fused:group_norm"),
            Row("instance_norm", "instance_norm", "torch.nn.functional.instance_norm", "fused:instance_norm"),
        )
    }
)


class Registry:
    """The built-in implementations and those of the plug-ins given."""

    def __init__(self, plugins: Iterable[Registration] = ()) -> None:
        self._added = {registration.name: registration for registration in plugins}

    def load(self, name: str) -> Registration:
        """The registration behind a name; imports its library on first use."""
        return self._added.get(name) or BUILT_IN[name].load()


def load_plugin(path: Path) -> list[Registration]:
    """Run a plug-in file and give what it registers.

    Modules beside the file can be imported by it. Raises PluginError with file and line when the file fails, registers
    nothing, or takes a name that is taken. This runs the file's code: it is called in a worker process only.
    """
    collect()
    spec = spec_from_file_location(f"lnbench_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: a plug-in is a Python file (.py)")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.append(str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _located(path, error, file=module.__file__) from error
    found = collect()
    if not found:
        raise PluginError(f"{path}: registers no implementation", hint="put @lnbench.implementation(...) on a builder")
    refuse_taken_names(path, found)
    return found


def refuse_taken_names(path: Path, found: Iterable[Registration]) -> None:
    """Raise PluginError when a plug-in registers a built-in name, or one name twice."""
    seen: set[str] = set()
    for registration in found:
        if registration.name in BUILT_IN or registration.name in seen:
            owner = "lnbench itself" if registration.name in BUILT_IN else "the same file"
            raise PluginError(f'{path}: the name "{registration.name}" is taken by {owner}', hint="choose another name")
        seen.add(registration.name)


def _located(path: Path, error: Exception, *, file: str | None) -> PluginError:
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
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return PluginError(f"{place}: {type(error).__name__}: {text}")


def _with_fixed(builder: Callable[..., Any], fixed: Mapping[str, object]) -> Callable[..., Any]:
    """The builder with the row's own settings."""
    return (lambda workload: builder(workload, **fixed)) if fixed else builder
