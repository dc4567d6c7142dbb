"""LayerNorm in JAX: jit of the plain formula, and Equinox's layer; the gradients come from `vjp`."""

import os
from collections.abc import Callable
from typing import Any

from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.implementations.framework import Arrays
from lnbench.implementations.framework_case import BufferedCase
from lnbench.workload import Workload

Norm = Callable[..., Any]
"""y from x and the parameters, which are None where the workload has none."""

_DIFFERENTIATED = {"dx": "x", "dweight": "weight", "dbias": "bias"}


def layer_norm(workload: Workload, arrays: Arrays) -> "JaxCase":
    """The formula as one writes it, with float32 statistics and products for 16-bit inputs; XLA fuses it."""
    jax = import_jax(workload)
    axes = tuple(range(-len(workload.normalized_shape), 0))
    eps, wide = workload.eps, jax.numpy.float64 if workload.dtype == "float64" else jax.numpy.float32

    def norm(x: Any, weight: Any | None, bias: Any | None) -> Any:
        wide_x = x.astype(wide)
        centred = wide_x - wide_x.mean(axes, keepdims=True)
        y = centred * jax.lax.rsqrt(jax.numpy.square(centred).mean(axes, keepdims=True) + eps)
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y + bias
        return y.astype(x.dtype)

    return JaxCase(jax, norm, arrays)


def equinox_layer_norm(workload: Workload, arrays: Arrays) -> "JaxCase":
    """`equinox.nn.LayerNorm`, mapped over the rows as its documentation asks for."""
    jax = import_jax(workload)
    import equinox

    shape, batch_dims = workload.normalized_shape, len(workload.shape) - len(workload.normalized_shape)
    layer = equinox.nn.LayerNorm(
        shape, eps=workload.eps, use_weight=workload.affine != "none", use_bias=workload.affine == "both"
    )

    def norm(x: Any, weight: Any | None, bias: Any | None) -> Any:
        def parts(it: Any) -> tuple[Any, Any]:
            return it.weight, it.bias

        own = equinox.tree_at(parts, layer, (weight, bias), is_leaf=lambda leaf: leaf is None)
        mapped = own
        for _ in range(batch_dims):
            mapped = jax.vmap(mapped)
        return mapped(x)

    return JaxCase(jax, norm, arrays)


class JaxCase(BufferedCase):
    """A function of x and parameters under jit: inference, forward with its residuals, backward, and a whole step.

    On the CPU a call is dispatched where it is made, and one of its results is waited for: they are done together. On a
    GPU `wait` waits for the last call.
    """

    compiles = True

    def __init__(self, jax: Any, norm: Norm, arrays: Arrays) -> None:
        self._jax = jax
        wanted = [_DIFFERENTIATED[name] for name in arrays.gradients]
        self._wanted = [name for name in wanted if name != "x"]
        self._with_x = "x" in wanted
        super().__init__(arrays)
        names, with_x = self._wanted, self._with_x

        def call(differentiated: tuple[Any, ...], x: Any, fixed: dict[str, Any]) -> Any:
            given = list(differentiated)
            inner = given.pop(0) if with_x else x
            named = fixed | dict(zip(names, given, strict=True))
            return norm(inner, named.get("weight"), named.get("bias"))

        def forward(differentiated: tuple[Any, ...], x: Any, fixed: dict[str, Any]) -> Any:
            return jax.vjp(lambda *it: call(it, x, fixed), *differentiated)

        def step(differentiated: tuple[Any, ...], x: Any, fixed: dict[str, Any], dy: Any) -> Any:
            y, pull_back = forward(differentiated, x, fixed)
            return y, pull_back(dy)

        self._inference = jax.jit(call)
        self._forward = jax.jit(forward)
        self._backward = jax.jit(lambda pull_back, dy: pull_back(dy))
        self._step = jax.jit(step)
        self._last: Any = None
        self._is_cuda = arrays.x.is_cuda

    def wrap(self, tensor: Tensor) -> Any:
        return self._jax.dlpack.from_dlpack(tensor)

    def address(self, array: Any) -> int:
        return int(array.unsafe_buffer_pointer())

    def to_numpy(self, array: Any) -> Any:
        import numpy as np

        return np.asarray(array)

    def select(self, index: int) -> None:
        super().select(index)
        differentiated = tuple(self.parameters[name] for name in self._wanted)
        fixed = {name: array for name, array in self.parameters.items() if name not in self._wanted}
        self._inputs = ((self.x, *differentiated) if self._with_x else differentiated, self.x, fixed)

    def inference(self) -> Any:
        y = self._inference(*self._inputs)
        self._finish(y)
        return y

    def forward(self) -> Any:
        saved = self._forward(*self._inputs)
        self._finish(saved[0])
        return saved

    def backward(self, saved: Any) -> Any:
        gradients = self._backward(saved[1], self.dy)
        self._finish(gradients[0])
        return gradients

    def forward_backward(self) -> Any:
        results = self._step(*self._inputs, self.dy)
        self._finish(results[0])
        return results

    def wait(self) -> None:
        if self._last is not None:
            self._last.block_until_ready()
            self._last = None

    def close(self) -> None:
        super().close()
        self._inputs, self._last = ((), None, {}), None

    def _finish(self, array: Any) -> None:
        if self._is_cuda:
            self._last = array
        else:
            array.block_until_ready()


def import_jax(workload: Workload) -> Any:
    """JAX, set up for a workload before it first looks at the devices. Raises Unsupported where it has no such device.

    64-bit types are on, for float64 workloads; all arrays here have the types that they come with. On the CPU calls are
    dispatched where they are made: handed to another thread and waited for, one of 13 us read 43 (32 x 128, 2 cores).
    """
    # XLA takes as much of a GPU as it can get unless told otherwise; the other cases need theirs.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    if not workload.is_cuda:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.config.update("jax_enable_x64", True)
    if workload.is_cuda and jax.default_backend() != "gpu":
        raise Unsupported(f"this JAX computes on {jax.default_backend()} only")
    return jax
