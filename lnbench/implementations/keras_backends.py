"""TensorFlow, and Keras on either of its backends, in one process beside PyTorch."""

import os
import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

from lnbench.workload import Workload

Backend = Literal["tensorflow", "torch"]

_keras: dict[Backend, dict[str, ModuleType]] = {}
_tensorflow: list[Any] = []


def import_tensorflow(workload: Workload) -> Any:
    """TensorFlow with the workload's threads, and on a GPU no more memory than it needs.

    Triton goes first where it is installed: loaded after TensorFlow 2.21 it ends the process, because both bring an
    LLVM and the second to register its options gives up.
    """
    if _tensorflow:
        return _tensorflow[0]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with suppress(ImportError):
        import_module("triton._C.libtriton")
    tensorflow: Any = import_module("tensorflow")
    tensorflow.config.threading.set_intra_op_parallelism_threads(workload.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    gpus = tensorflow.config.list_physical_devices("GPU")
    if workload.is_cuda:
        index = int(workload.device.partition(":")[2] or 0)
        tensorflow.config.set_visible_devices(gpus[index : index + 1], "GPU")
        for gpu in gpus[index : index + 1]:
            tensorflow.config.experimental.set_memory_growth(gpu, True)
    else:  # it puts operations on a GPU that it sees, wherever their inputs are
        tensorflow.config.set_visible_devices([], "GPU")
    _tensorflow.append(tensorflow)
    return tensorflow


def import_keras(backend: Backend, *, device: str = "cpu") -> Any:
    """Keras on a backend, which it settles when it is imported: each backend gets a copy of its modules.

    `device`: where Keras on PyTorch puts everything; by itself it takes a GPU wherever there is one.

    Only the copy that was asked for last stands in `sys.modules`, where Keras looks up parts of itself late.
    """
    loaded = {name for name in sys.modules if name == "keras" or name.startswith("keras.")}
    for name in loaded:
        del sys.modules[name]
    if backend not in _keras:
        before = os.environ.get("KERAS_BACKEND")
        os.environ["KERAS_BACKEND"] = backend
        os.environ["KERAS_TORCH_DEVICE"] = device
        try:
            import_module("keras")
        finally:
            if before is None:
                del os.environ["KERAS_BACKEND"]
            else:
                os.environ["KERAS_BACKEND"] = before
        _keras[backend] = {
            name: module for name, module in sys.modules.items() if name == "keras" or name.startswith("keras.")
        }
    sys.modules.update(_keras[backend])
    return sys.modules["keras"]
