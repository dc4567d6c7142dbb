"""Packages as an installer leaves them: modules and metadata in a folder that Python looks into."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

NORM = """
from torch.nn import functional
from lnbench import implementation


@implementation({name!r}, function="layer_norm", summary="a norm from a package")
def {name}(workload, *, scale=1.0):
    return lambda x, weight, bias: functional.layer_norm(x, workload.normalized_shape, weight, bias, workload.eps)
"""


def norm(name: str) -> str:
    """The text of a module that registers one right layer norm, with an option."""
    return NORM.format(name=name)


def install(
    site: Path,
    distribution: str,
    entries: Mapping[str, str],
    modules: Mapping[str, str],
    *,
    version: str = "1.0",
    group: str = "lnbench.implementations",
) -> None:
    """Install a package with these entry points, and modules with these texts."""
    site.mkdir(exist_ok=True)
    for name, text in modules.items():
        (site / f"{name}.py").write_text(text)
    metadata = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    points = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{points}")


def looking_into(*sites: Path) -> dict[str, str]:
    """The environment in which Python looks into these folders first."""
    return {"PYTHONPATH": os.pathsep.join([*map(str, sites), *_inherited()])}


def _inherited() -> Iterable[str]:
    return filter(None, [os.environ.get("PYTHONPATH", "")])
