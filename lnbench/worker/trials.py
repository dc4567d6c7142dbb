"""Does it work here? Each thing is really tried, in a process of its own, which may die of it."""

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from lnbench.errors import TerminatedError
from lnbench.examined import Trial
from lnbench.measure.nvml import Nvml

MOST_DETAIL = 200
"""Letters of an error that are told."""

MEMORY_LIMITS: Mapping[str, str] = MappingProxyType(
    {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
)
"""By default JAX takes three quarters of a GPU's memory and TensorFlow all of it, for a few numbers; what a run that
begins meanwhile needs is then not there. What the user has set stays."""


class AbsentError(Exception):
    """What is to be tried is not there; the text says what is missing."""


def try_it(descriptor: int, name: str) -> None:
    """Try one thing, and write a Trial as JSON to an open descriptor."""
    for setting, value in MEMORY_LIMITS.items():
        os.environ.setdefault(setting, value)
    try:
        trial = Trial(name=name, status="works", detail=TRIALS[name]())
    except AbsentError as error:
        trial = Trial(name=name, status="absent", detail=str(error))
    except TerminatedError:
        raise
    # Anything may go wrong in a library that is broken; that is what is to be found out.
    except BaseException as error:
        text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        trial = Trial(name=name, status="fails", detail=text[:MOST_DETAIL])
    data = trial.model_dump_json().encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _torch() -> str:
    import torch

    x = torch.randn(4, 8, requires_grad=True)
    torch.autograd.grad(torch.nn.functional.layer_norm(x, (8,)), (x,), torch.ones(4, 8))
    return str(torch.__version__)


def _compiler() -> str:
    import torch

    doubled = torch.compile(lambda x: 2 * x + 1, fullgraph=True)(torch.ones(64))
    if not torch.equal(doubled, torch.full((64,), 3.0)):
        raise RuntimeError("a compiled function gives another result")
    return "torch.compile on the CPU"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        raise AbsentError(f"torch {torch.__version__} sees no CUDA device")
    x = torch.randn(64, 64, device="cuda")
    (x @ x).sum().item()
    return str(torch.cuda.get_device_name())


def _nvml() -> str:
    nvml = Nvml()
    if nvml.missing:
        raise AbsentError(nvml.missing)
    gpus = nvml.gpus()
    return f"driver {nvml.driver()}, {len(gpus)} GPU{'s' if len(gpus) != 1 else ''}"


def _triton() -> str:
    found = _installed("triton", "triton")
    import torch

    if not torch.cuda.is_available():
        raise AbsentError(f"Triton {found} is installed; it has no CUDA device to compile for")
    torch.compile(lambda x: 2 * x + 1, fullgraph=True)(torch.ones(64, device="cuda"))
    return found


def _tensorflow() -> str:
    found = _installed("tensorflow", "tensorflow", "tensorflow-cpu")
    tensorflow: Any = import_module("tensorflow")
    tensorflow.reduce_sum(tensorflow.ones((4, 8))).numpy()
    return found


def _keras() -> str:
    found = _installed("keras", "keras")
    keras: Any = import_module("keras")
    keras.layers.LayerNormalization(axis=-1)(keras.ops.ones((4, 8)))
    return f"{found} on {keras.backend.backend()}"


def _jax() -> str:
    found = _installed("jax", "jax")
    jax: Any = import_module("jax")
    jax.jit(lambda x: 2 * x)(jax.numpy.ones(8)).block_until_ready()
    return f"{found} on {jax.default_backend()}"


def _onnxruntime() -> str:
    found = _installed("onnxruntime", "onnxruntime", "onnxruntime-gpu")
    onnxruntime: Any = import_module("onnxruntime")
    return f"{found}: {', '.join(onnxruntime.get_available_providers())}"


def _importing(module: str, *packages: str) -> Callable[[], str]:
    """Libraries of GPU kernels, which can be imported but not run without a GPU."""

    def trial() -> str:
        found = _installed(module, *packages)
        import_module(module)
        return f"{found}, imported"

    return trial


def _installed(module: str, *packages: str) -> str:
    """The version of the first package that is installed; raises AbsentError when the module is not there."""
    if find_spec(module) is None:
        raise AbsentError("not installed")
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "without a version"


TRIALS: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "torch": _torch,
        "compiler": _compiler,
        "gpu": _gpu,
        "nvml": _nvml,
        "triton": _triton,
        "tensorflow": _tensorflow,
        "keras": _keras,
        "jax": _jax,
        "onnxruntime": _onnxruntime,
        "liger": _importing("liger_kernel", "liger-kernel"),
        "apex": _importing("apex", "apex"),
        "quack": _importing("quack", "quack-kernels"),
        "transformer_engine": _importing("transformer_engine", "transformer-engine"),
    }
)
"""What is tried, by name, in the order in which it is told. Each gives a version or the like, or raises."""
