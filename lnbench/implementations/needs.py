"""The libraries that implementations need: found, or missing for a reason, without importing anything.

Only files and package metadata are looked at, so that `lnbench list` and `--dry-run` stay instant. Whether a library
that is there also works is for `list implementations --try` to find out.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Need:
    """A library: the module that is imported, the distributions of which one brings it, and how to install it.

    `module` may name a part, as in `apex.normalization`: another package of the same name does not hold it.
    """

    module: str
    distributions: tuple[str, ...]
    install: str

    @property
    def name(self) -> str:
        """What the library is called: its first distribution."""
        return self.distributions[0]


TENSORFLOW = Need("tensorflow", ("tensorflow", "tensorflow-cpu"), "pip install 'lnbench[tensorflow]'")
KERAS = Need("keras", ("keras",), "pip install 'lnbench[tensorflow]'")
NUMPY = Need("numpy", ("numpy",), "pip install numpy")
JAXLIB = Need("jaxlib", ("jaxlib",), "pip install 'lnbench[jax]'")
JAX = Need("jax", ("jax",), "pip install 'lnbench[jax]'")
EQUINOX = Need("equinox", ("equinox",), "pip install 'lnbench[jax]'")
ONNXRUNTIME = Need("onnxruntime", ("onnxruntime", "onnxruntime-gpu"), "pip install 'lnbench[onnxruntime]'")
ONNX = Need("onnx", ("onnx",), "pip install 'lnbench[onnxruntime]'")
TRITON = Need("triton", ("triton",), "pip install triton")
LIGER = Need("liger_kernel", ("liger-kernel",), "pip install 'lnbench[liger]'")
APEX = Need("apex.normalization", ("apex",), "build it from https://github.com/NVIDIA/apex")
QUACK = Need("quack", ("quack-kernels",), "pip install quack-kernels")
TRANSFORMER_ENGINE = Need(
    "transformer_engine",
    ("transformer-engine", "transformer_engine"),
    "pip install --no-build-isolation 'transformer-engine[pytorch]'",
)


def missing_library(needs: Sequence[Need]) -> str:
    """The first of these libraries that is not installed, and how to get it; "" when all are there."""
    for need in needs:
        if not is_installed(need):
            return f"needs {need.name}, which is not installed: {need.install}"
    return ""


def is_installed(need: Need) -> bool:
    """True when Python would find the module. A mere folder of that name, as one finds anywhere, does not count."""
    top, *parts = need.module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # a module without a spec stands in its place
        return not parts and top in sys.modules
    if spec is None or (spec.origin is None and not installed_version(need)):
        return False
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    suffixes = ("", *SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
    return not parts or any(
        folder.joinpath(*parts).with_name(parts[-1] + it).exists() for folder in folders for it in suffixes
    )


def installed_version(need: Need) -> str:
    """The version of the distribution that brings the library; "" where no metadata tells."""
    for distribution in need.distributions:
        try:
            return version(distribution) or ""
        except (PackageNotFoundError, KeyError):  # KeyError: metadata that lacks a version
            continue
    return ""
