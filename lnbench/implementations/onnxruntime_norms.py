"""ONNX Runtime's LayerNormalization: one operator in a model that is built in memory, for inference."""

from typing import Any

from torch import Tensor

from lnbench.errors import Unsupported, text_of
from lnbench.implementations.framework import Arrays
from lnbench.implementations.framework_case import BufferedCase
from lnbench.workload import Workload

_OPSET = 17
"""The first that has LayerNormalization. Source: the ONNX operators' changelog."""

_IR_VERSION = 8
"""That of opset 17, so that every ONNX Runtime that knows the operator reads the model."""


def layer_norm(workload: Workload, arrays: Arrays) -> "OnnxRuntimeLayerNorm":
    """A session for the workload. Raises Unsupported for what the operator or the CPU's provider does not do."""
    if workload.affine == "none":
        raise Unsupported("ONNX's LayerNormalization always scales")
    if workload.param_dtype != workload.dtype:
        raise Unsupported("ONNX's LayerNormalization takes one dtype for x, scale and bias")
    if workload.dtype == "bfloat16":
        raise Unsupported("NumPy, through which ONNX Runtime takes its inputs, has no bfloat16")
    if workload.dtype == "float64":
        raise Unsupported("ONNX keeps epsilon in float32, which is not exact enough for float64")
    return OnnxRuntimeLayerNorm(workload, arrays)


class OnnxRuntimeLayerNorm(BufferedCase):
    """Inputs are bound where they lie, and each call's output is new memory: ONNX Runtime's own way without copies."""

    no_step = "ONNX Runtime's inference sessions compute no gradients"

    def __init__(self, workload: Workload, arrays: Arrays) -> None:
        import onnxruntime

        self._runtime = onnxruntime
        self._binding: Any = None
        super().__init__(arrays)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = workload.threads
        options.inter_op_num_threads = 1
        # Its threads spin after a call for the next one: layer norms of PyTorch that followed took three times as long
        # for 20 ms (1024 x 768, 2 cores). They still spin within a call, and its own time is the same.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(_model(workload), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception classes are not public
            raise Unsupported(f"ONNX Runtime makes no session: {text_of(error)[:200]}") from error
        self._binding = self._session.io_binding()
        self._bind_inputs()

    def wrap(self, tensor: Tensor) -> Any:
        return self._runtime.OrtValue.ortvalue_from_numpy(tensor.numpy())

    def wait(self) -> None:
        """Calls return when they are done."""

    def address(self, array: Any) -> int:
        return int(array.data_ptr())

    def to_numpy(self, array: Any) -> Any:
        return array.numpy()

    def select(self, index: int) -> None:
        super().select(index)
        if self._binding is not None:
            self._binding.bind_ortvalue_input("x", self.x)

    def inference(self) -> Any:
        binding = self._binding
        binding.bind_output("y", "cpu")
        self._session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    def close(self) -> None:
        super().close()
        self._binding = None

    def _bind_inputs(self) -> None:
        for name, value in {"x": self.x, **self.parameters}.items():
            self._binding.bind_ortvalue_input(name, value)


def _model(workload: Workload) -> bytes:
    """y = LayerNormalization(x, weight, bias) over the normalized axes, with float32 statistics where x is narrower."""
    import numpy as np
    from onnx import TensorProto, checker, helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(workload.dtype))
    names = ("weight", "bias") if workload.affine == "both" else ("weight",)
    given = [
        helper.make_tensor_value_info("x", kind, workload.shape),
        *(helper.make_tensor_value_info(name, kind, workload.normalized_shape) for name in names),
    ]
    node = helper.make_node(
        "LayerNormalization",
        ["x", *names],
        ["y"],
        axis=-len(workload.normalized_shape),
        epsilon=workload.eps,
        stash_type=int(TensorProto.FLOAT),
    )
    result = helper.make_tensor_value_info("y", kind, workload.shape)
    graph = helper.make_graph([node], "layer_norm", given, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized
