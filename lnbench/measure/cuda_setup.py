"""What PyTorch on CUDA is built and set up with, found without importing it."""

import os
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", re.MULTILINE)
_PLAIN = re.compile(r"[\w:.,;>\[\] -]{1,200}")
"""What settings of the allocator are written with; a journal takes nothing else from the environment."""


def cuda_versions() -> dict[str, str]:
    """The CUDA that PyTorch is built for, and the cuDNN that it came with; empty where it is built without."""
    cuda = _CUDA.search(_torch_version_file())
    if cuda is None:
        return {}
    found = {"cuda": cuda[1]}
    try:
        return found | {"cudnn": version(f"nvidia-cudnn-cu{cuda[1].partition('.')[0]}")}
    except PackageNotFoundError:  # as in builds that do not come from PyPI
        return found


def allocator_settings(environ: Mapping[str, str] = os.environ) -> str:
    """How PyTorch's allocator of GPU memory is set by the environment; "default" where it is not.

    Source: PyTorch's notes on CUDA semantics, "Optimizing memory usage". The first name is the newer one (2.9).
    """
    text = next((environ[it] for it in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF") if environ.get(it)), "")
    told = [",".join(sorted(filter(None, text.replace(" ", "").split(","))))] if _PLAIN.fullmatch(text) else []
    if text and not told:
        told = ["set"]
    if environ.get("PYTORCH_NO_CUDA_MEMORY_CACHING"):
        told.append("no caching")
    return ", ".join(filter(None, told)) or "default"


def _torch_version_file() -> str:
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    try:
        return Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
