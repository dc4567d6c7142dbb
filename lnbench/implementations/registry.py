"""The one list of implementations: a row each, loaded on first use; those of plug-in files stand beside it.

Reading the rows loads no framework, so `lnbench list` and `--dry-run` are instant.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

from lnbench.implementations.contract import Registration


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
            Row(
                "add_layer_norm",
                "add_layer_norm",
                "x + residual, then torch.nn.functional.layer_norm: not fused",
                "fused:add_layer_norm",
            ),
            Row(
                "add_layer_norm_compiled",
                "add_layer_norm",
                "torch.compile of x + residual and eager: one fused graph",
                "compiled:add_layer_norm",
            ),
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


def _with_fixed(builder: Callable[..., Any], fixed: Mapping[str, object]) -> Callable[..., Any]:
    """The builder with the row's own settings."""
    return (lambda workload: builder(workload, **fixed)) if fixed else builder
