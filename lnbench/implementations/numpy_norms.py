"""LayerNorm in NumPy: the floor below all frameworks, on one thread."""

from typing import Any

import numpy as np
from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.implementations.framework import Arrays
from lnbench.implementations.framework_case import BufferedCase
from lnbench.workload import Workload


def layer_norm(workload: Workload, arrays: Arrays) -> "NumpyLayerNorm":
    """y = (x - mean) / sqrt(variance + eps) * weight + bias. Raises Unsupported for bfloat16."""
    if "bfloat16" in {workload.dtype, workload.param_dtype}:
        raise Unsupported("NumPy has no bfloat16")
    return NumpyLayerNorm(workload, arrays)


class NumpyLayerNorm(BufferedCase):
    """Inference in whole-array operations, as one writes them; statistics of 16-bit inputs are float32."""

    no_step = "NumPy has no automatic differentiation"

    def __init__(self, workload: Workload, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._axes = tuple(range(-len(workload.normalized_shape), 0))
        self._eps = workload.eps
        self._statistics = np.float64 if workload.dtype == "float64" else np.float32

    def wrap(self, tensor: Tensor) -> Any:
        return tensor.numpy()

    def wait(self) -> None:
        """Calls return when they are done."""

    def address(self, array: Any) -> int:
        return int(array.__array_interface__["data"][0])

    def to_numpy(self, array: Any) -> Any:
        return array

    def inference(self) -> Any:
        x = self.x
        centred = x - x.mean(self._axes, dtype=self._statistics, keepdims=True)
        variance = np.square(centred).mean(self._axes, dtype=self._statistics, keepdims=True)
        centred /= np.sqrt(variance + self._statistics(self._eps))
        if "weight" in self.parameters:
            centred *= self.parameters["weight"]
        if "bias" in self.parameters:
            centred += self.parameters["bias"]
        return centred.astype(x.dtype, copy=False)
