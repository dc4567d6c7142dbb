"""A LayerNorm for a framework that is not PyTorch: a builder with a second argument, which gives an object with phases.

NumPy stands in for that framework. It reads the very memory that PyTorch's implementations read; one that can't (DLPack
is the usual way) copies `arrays` when it is built and again in `refresh()`, and names in `copies` what it has copied.
"""

from typing import Any

import numpy as np

from lnbench import Unsupported, implementation
from lnbench.workload import Workload


@implementation("example_numpy", function="layer_norm", summary="NumPy, with its backward by hand")
def example_numpy(workload: Workload, arrays: Any) -> "NumpyLayerNorm":
    """Say what can't be done; the reason is shown. The rest is built untimed."""
    if workload.device != "cpu":
        raise Unsupported("NumPy computes on the CPU")
    if not {workload.dtype, workload.param_dtype} <= {"float32", "float64"}:
        raise Unsupported("sums in 16 bits lose too much")
    return NumpyLayerNorm(workload, arrays)


class NumpyLayerNorm:
    """The phases of one case. `inference`, `forward` and `backward` are timed, each until `wait` returns."""

    def __init__(self, workload: Workload, arrays: Any) -> None:
        self._axes = tuple(range(-len(workload.normalized_shape), 0))
        self._rows = tuple(range(len(workload.shape) - len(workload.normalized_shape)))
        self._eps = workload.eps
        self._pairs = [(x.numpy(), dy.numpy()) for x, dy in arrays.pairs]
        self._weight = None if arrays.weight is None else arrays.weight.numpy()
        self._bias = None if arrays.bias is None else arrays.bias.numpy()
        self._gradients = arrays.gradients
        self.select(0)

    def select(self, index: int) -> None:
        """Read from this pair of x and dy from now on; there are several where caches are to be cold."""
        self._x, self._dy = self._pairs[index]

    def inference(self) -> Any:
        """y alone."""
        normalized, _ = self._normalized()
        return self._scaled(normalized)

    def forward(self) -> Any:
        """y, and what backward needs."""
        normalized, rstd = self._normalized()
        return self._scaled(normalized), normalized, rstd

    def backward(self, saved: Any) -> Any:
        """The gradients that are asked for, in their order.

        With g = dy * weight: dx = (g - mean(g) - normalized * mean(g * normalized)) * rstd.
        """
        _, normalized, rstd = saved
        return tuple(getattr(self, f"_{name}")(normalized, rstd) for name in self._gradients)

    def wait(self) -> None:
        """NumPy's calls return when they are done; a framework that only enqueues work waits for it here."""

    def outputs(self) -> dict[str, Any]:
        """Fresh results by name, for lnbench to hold against its own; before and after timing, never while."""
        saved = self.forward()
        gradients = dict(zip(self._gradients, self.backward(saved), strict=True))
        return {"inference_y": self.inference(), "y": saved[0], **gradients}

    def close(self) -> None:
        """Release what the case holds."""
        self._pairs.clear()

    def _normalized(self) -> tuple[Any, Any]:
        centred = self._x - self._x.mean(self._axes, keepdims=True)
        rstd = 1 / np.sqrt(np.square(centred).mean(self._axes, keepdims=True) + self._x.dtype.type(self._eps))
        return centred * rstd, rstd

    def _scaled(self, normalized: Any) -> Any:
        y = normalized if self._weight is None else normalized * self._weight
        y = y if self._bias is None else y + self._bias
        return y.astype(self._x.dtype, copy=False)

    def _dx(self, normalized: Any, rstd: Any) -> Any:
        g = self._dy if self._weight is None else self._dy * self._weight
        means = g.mean(self._axes, keepdims=True), (g * normalized).mean(self._axes, keepdims=True)
        return ((g - means[0] - normalized * means[1]) * rstd).astype(self._x.dtype, copy=False)

    def _dweight(self, normalized: Any, rstd: Any) -> Any:
        del rstd
        return (self._dy * normalized).sum(self._rows).astype(self._weight.dtype, copy=False)

    def _dbias(self, normalized: Any, rstd: Any) -> Any:
        del normalized, rstd
        return self._dy.sum(self._rows).astype(self._bias.dtype, copy=False)
