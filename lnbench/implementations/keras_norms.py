"""Keras's layers: on TensorFlow as they are, under `tf.function` and under XLA, and on PyTorch.

On TensorFlow the gradients come from a GradientTape for x, gamma and beta; a layer's own variables hold the values of
the shared parameters.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lnbench.errors import Unsupported
from lnbench.functions import channel_axis
from lnbench.implementations.framework import Arrays
from lnbench.implementations.framework_case import BufferedCase
from lnbench.implementations.keras_backends import import_keras, import_tensorflow
from lnbench.workload import Workload

_MOMENTUM = 0.9
"""Keras's is the share of the old statistics: PyTorch's 0.1."""

_VARIABLES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_GRADIENTS = {"dweight": "gamma", "dbias": "beta"}


def layer_norm(workload: Workload, arrays: Arrays) -> "TensorflowCase":
    """`keras.layers.LayerNormalization` on TensorFlow, called as a layer."""
    return TensorflowCase(workload, arrays, _layer_norm)


def graph_layer_norm(workload: Workload, arrays: Arrays) -> "GraphCase":
    """The layer under `tf.function`."""
    return GraphCase(workload, arrays, _layer_norm, jit_compile=False)


def xla_layer_norm(workload: Workload, arrays: Arrays) -> "GraphCase":
    """The layer under `tf.function`, compiled by XLA."""
    return GraphCase(workload, arrays, _layer_norm, jit_compile=True)


def batch_norm(workload: Workload, arrays: Arrays) -> "TensorflowCase":
    """`keras.layers.BatchNormalization` on TensorFlow, called as a layer."""
    return TensorflowCase(workload, arrays, _batch_norm, training=workload.norm_mode == "train")


def torch_layer_norm(workload: Workload, arrays: Arrays) -> "TorchBackendCase":
    """`keras.layers.LayerNormalization` on PyTorch. Raises Unsupported for float64, which it computes in float32."""
    if workload.dtype == "float64":
        raise Unsupported("Keras on PyTorch computes float64 in float32")
    return TorchBackendCase(workload, arrays)


class TensorflowCase(BufferedCase):
    """A layer on TensorFlow, called eagerly."""

    def __init__(self, workload: Workload, arrays: Arrays, layer: Callable[..., Any], **how: bool) -> None:
        self._tensorflow = import_tensorflow(workload)
        if workload.is_cuda and not self._tensorflow.config.get_visible_devices("GPU"):
            raise Unsupported("this TensorFlow sees no GPU")
        keras = import_keras("tensorflow")
        self._how = how
        self.layer = layer(keras, workload)
        self.layer.build(workload.shape)
        self._call: Callable[..., Any] = self.layer
        super().__init__(arrays)
        self._variables = [getattr(self.layer, _GRADIENTS[name]).value for name in arrays.gradients if name != "dx"]
        self._with_x = "dx" in arrays.gradients
        self._watches_all = self._with_x and len(self._variables) == len(
            {"weight", "bias"} & arrays.parameters().keys()
        )
        self.copies = tuple(dict.fromkeys((*self.copies, *arrays.parameters())))
        self.refresh()

    def wrap(self, tensor: Tensor) -> Any:
        return self._tensorflow.experimental.dlpack.from_dlpack(tensor.__dlpack__())

    def address(self, array: Any) -> int:
        return int(torch.utils.dlpack.from_dlpack(self._tensorflow.experimental.dlpack.to_dlpack(array)).data_ptr())

    def to_numpy(self, array: Any) -> Any:
        return array.numpy()

    def refresh(self) -> None:
        super().refresh()
        for name, array in self.parameters.items():
            # Assigned as it is, a variable would lie in the shared memory, and whoever updates it would write there.
            getattr(self.layer, _VARIABLES[name]).assign(self._tensorflow.raw_ops.DeepCopy(x=array))

    def wait(self) -> None:
        if self._arrays.x.is_cuda:
            self._tensorflow.test.experimental.sync_devices()

    def inference(self) -> Any:
        return self._call(self.x, **self._how)

    def forward(self) -> Any:
        with self._tensorflow.GradientTape(watch_accessed_variables=self._watches_all) as tape:
            tape.watch(self.x if self._watches_all else self._sources())
            y = self._call(self.x, **self._how)
        return y, tape

    def backward(self, saved: Any) -> Any:
        y, tape = saved
        return tape.gradient(y, self._sources(), output_gradients=self.dy)

    def _sources(self) -> list[Any]:
        return [self.x, *self._variables] if self._with_x else self._variables


class GraphCase(TensorflowCase):
    """A layer under `tf.function`; a whole step is one function too, as in a compiled training loop."""

    compiles = True

    def __init__(self, workload: Workload, arrays: Arrays, layer: Callable[..., Any], *, jit_compile: bool) -> None:
        super().__init__(workload, arrays, layer)
        tensorflow, layer_call, variables, with_x = self._tensorflow, self.layer, self._variables, self._with_x
        watches_all = self._watches_all

        def step(x: Any, dy: Any) -> Any:
            sources = [x, *variables] if with_x else variables
            with tensorflow.GradientTape(watch_accessed_variables=watches_all) as tape:
                tape.watch(x if watches_all else sources)
                y = layer_call(x)
            return y, tape.gradient(y, sources, output_gradients=dy)

        def compiled(function: Callable[..., Any]) -> Any:
            return tensorflow.function(function, jit_compile=jit_compile, autograph=False)

        self._call = compiled(lambda x: layer_call(x))
        self._step = compiled(step)

    def forward_backward(self) -> Any:
        return self._step(self.x, self.dy)


class TorchBackendCase(BufferedCase):
    """A layer on PyTorch, whose parameters are the shared ones; autograd for backward."""

    on_torch_stream = True

    def __init__(self, workload: Workload, arrays: Arrays) -> None:
        self._layer = _layer_norm(import_keras("torch", device=workload.device), workload)
        self._layer.build(workload.shape)
        self._layer.to(workload.device)
        super().__init__(arrays)
        for name, tensor in self.parameters.items():
            getattr(self._layer, _VARIABLES[name]).value.data = tensor
        self._variables = [getattr(self._layer, _GRADIENTS[name]).value for name in arrays.gradients if name != "dx"]

    def wrap(self, tensor: Tensor) -> Tensor:
        return tensor.detach()

    def address(self, array: Tensor) -> int:
        return array.data_ptr()

    def to_numpy(self, array: Tensor) -> Any:
        import ml_dtypes

        plain = array.detach().cpu()
        if plain.dtype == torch.bfloat16:
            return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return plain.numpy()

    def select(self, index: int) -> None:
        super().select(index)
        self.x = self.x.detach().requires_grad_("dx" in self._arrays.gradients)

    def wait(self) -> None:
        if self._arrays.x.is_cuda:
            torch.cuda.synchronize(self._arrays.x.device)

    def inference(self) -> Tensor:
        with torch.no_grad():
            y: Tensor = self._layer(self.x)
        return y

    def forward(self) -> tuple[Tensor]:
        return (self._layer(self.x),)

    def backward(self, saved: tuple[Tensor]) -> Any:
        sources = [self.x, *self._variables] if self.x.requires_grad else self._variables
        return torch.autograd.grad(saved[0], sources, self.dy)


def _layer_norm(keras: Any, workload: Workload) -> Any:
    """The layer over the normalized axes: `LayerNormalization(axis=-1)` where that is the last one."""
    axes = list(range(-len(workload.normalized_shape), 0))
    return keras.layers.LayerNormalization(
        axis=axes if len(axes) > 1 else -1,
        epsilon=workload.eps,
        center=workload.affine == "both",
        scale=workload.affine != "none",
        dtype=_policy(keras, workload),
    )


def _batch_norm(keras: Any, workload: Workload) -> Any:
    return keras.layers.BatchNormalization(
        axis=channel_axis(workload),
        momentum=_MOMENTUM,
        epsilon=workload.eps,
        center=workload.affine == "both",
        scale=workload.affine != "none",
        dtype=_policy(keras, workload),
    )


def _policy(keras: Any, workload: Workload) -> Any:
    """Keras's name for the dtypes of parameters and of computation. Raises Unsupported for a pair that has none."""
    if workload.param_dtype == workload.dtype:
        return keras.DTypePolicy(workload.dtype)
    if workload.param_dtype == "float32" and workload.dtype in {"bfloat16", "float16"}:
        return keras.DTypePolicy(f"mixed_{workload.dtype}")
    raise Unsupported(f"Keras has no policy with {workload.param_dtype} parameters and {workload.dtype} computation")
