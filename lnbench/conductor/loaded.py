"""The plug-ins of a run, as far as who carries it out has to know them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lnbench.planned import PluginSource


@dataclass(frozen=True)
class Loaded:
    """The plug-ins of a run: their files, and for each implementation the number of the one that registers it."""

    sources: tuple[PluginSource, ...] = ()
    owners: Mapping[str, int] = field(default_factory=dict)
