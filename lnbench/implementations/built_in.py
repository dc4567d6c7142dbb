"""The table of lnbench's own implementations: a row each, whose builder is loaded on first use.

Reading the rows loads no framework, so `lnbench list` and `--dry-run` are instant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import MappingProxyType

from lnbench.implementations.contract import Registration
from lnbench.implementations.needs import (
    APEX,
    EQUINOX,
    JAX,
    JAXLIB,
    KERAS,
    LIGER,
    NUMPY,
    ONNX,
    ONNXRUNTIME,
    QUACK,
    TENSORFLOW,
    TRANSFORMER_ENGINE,
    TRITON,
    Need,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A built-in implementation: what it is, and where its builder stands (`module:attribute`).

    `fixed`: options of the builder that the row sets. `options`: those that a suite may set, with their defaults;
    `choices`: the words that one of them takes, where it takes no others.
    `needs`: the libraries beside PyTorch without which it can't be built. `devices`: the kinds that it runs on
    ("cpu", "cuda"), where it does not run on all. `compiles`: its first calls compile, which takes seconds.
    `writes_dy`, `norm_axes`: as in a Registration.
    """

    name: str
    function: str
    summary: str
    builder: str
    fixed: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    devices: tuple[str, ...] = ()
    compiles: bool = False
    writes_dy: bool = False
    norm_axes: bool = False

    def load(self) -> Registration:
        """Import the builder."""
        module, _, attribute = self.builder.partition(":")
        builder = getattr(import_module(f"lnbench.implementations.{module}"), attribute)
        fixed = partial(builder, **self.fixed)
        return Registration(
            self.name,
            self.function,
            self.summary,
            fixed,
            self.options,
            writes_dy=self.writes_dy,
            norm_axes=self.norm_axes,
        )


MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
"""The modes of torch.compile that a suite may name."""


def _compiled(name: str, function: str, summary: str, **fixed: object) -> Row:
    """A row of torch.compile, whose builder has the function's name. `fixed`: options that a suite can't set."""
    options = {option: value for option, value in {"mode": "default", "dynamic": False}.items() if option not in fixed}
    choices = {option: words for option, words in {"mode": MODES}.items() if option in options}
    # Dynamic tanh is written for parameters along the last axes.
    norm_axes = function != "dyt"
    return Row(
        name, function, summary, f"compiled:{function}", fixed, options, choices, compiles=True, norm_axes=norm_axes
    )


_CUDA = ("cuda",)
_CPU = ("cpu",)

_PYTORCH = (
    Row("eager", "layer_norm", "composed PyTorch operations, float32 statistics", "eager:layer_norm", norm_axes=True),
    Row("fused", "layer_norm", "torch.nn.functional.layer_norm", "fused:layer_norm", norm_axes=True),
    Row("module", "layer_norm", "torch.nn.LayerNorm", "fused:layer_norm_module"),
    _compiled("compiled", "layer_norm", "torch.compile of eager: whole graph, static shapes"),
    _compiled("compiled_dynamic", "layer_norm", "torch.compile of eager: whole graph, dynamic shapes", dynamic=True),
    _compiled(
        "compiled_max_autotune",
        "layer_norm",
        "torch.compile of eager: whole graph, static shapes, max-autotune without CUDA graphs",
        mode="max-autotune-no-cudagraphs",
    ),
    Row("rms_norm", "rms_norm", "torch.nn.functional.rms_norm", "fused:rms_norm", norm_axes=True),
    Row("batch_norm", "batch_norm", "torch.nn.functional.batch_norm", "fused:batch_norm", norm_axes=True),
    Row("group_norm", "group_norm", "torch.nn.functional.group_norm", "fused:group_norm", norm_axes=True),
    Row("instance_norm", "instance_norm", "torch.nn.functional.instance_norm", "fused:instance_norm", norm_axes=True),
    Row(
        "add_layer_norm",
        "add_layer_norm",
        "x + residual, then torch.nn.functional.layer_norm: not fused",
        "fused:add_layer_norm",
        norm_axes=True,
    ),
    _compiled("add_layer_norm_compiled", "add_layer_norm", "torch.compile of x + residual and eager: one fused graph"),
    Row(
        "add_rms_norm",
        "add_rms_norm",
        "x + residual, then torch.nn.functional.rms_norm: not fused",
        "fused:add_rms_norm",
        norm_axes=True,
    ),
    _compiled("compiled_add_rms_norm", "add_rms_norm", "torch.compile of add_rms_norm: one fused graph"),
    _compiled("compiled_rms_norm", "rms_norm", "torch.compile of rms_norm: whole graph, static shapes"),
    _compiled("compiled_batch_norm", "batch_norm", "torch.compile of batch_norm: whole graph, static shapes"),
    Row("dyt", "dyt", "dynamic tanh in composed PyTorch operations", "eager:dyt"),
    _compiled("compiled_dyt", "dyt", "torch.compile of dyt: whole graph, static shapes"),
)

_KERAS = (TENSORFLOW, KERAS)
_FRAMEWORKS = (
    Row("keras", "layer_norm", "keras LayerNormalization on TensorFlow, eager", "keras_norms:layer_norm", needs=_KERAS),
    Row(
        "tensorflow",
        "layer_norm",
        "the Keras layer under tf.function",
        "keras_norms:graph_layer_norm",
        needs=_KERAS,
        compiles=True,
    ),
    Row(
        "tensorflow_xla",
        "layer_norm",
        "the Keras layer under tf.function, compiled by XLA",
        "keras_norms:xla_layer_norm",
        needs=_KERAS,
        compiles=True,
    ),
    Row("keras_torch", "layer_norm", "the Keras layer on PyTorch", "keras_norms:torch_layer_norm", needs=(KERAS,)),
    Row(
        "keras_batch_norm",
        "batch_norm",
        "keras BatchNormalization on TensorFlow, eager",
        "keras_norms:batch_norm",
        needs=_KERAS,
    ),
    Row(
        "jax", "layer_norm", "jax.jit of the plain formula", "jax_norms:layer_norm", needs=(JAX, JAXLIB), compiles=True
    ),
    Row(
        "equinox",
        "layer_norm",
        "equinox.nn.LayerNorm under jax.jit",
        "jax_norms:equinox_layer_norm",
        needs=(JAX, JAXLIB, EQUINOX),
        compiles=True,
    ),
    Row(
        "onnxruntime",
        "layer_norm",
        "ONNX's LayerNormalization operator; inference only",
        "onnxruntime_norms:layer_norm",
        needs=(ONNXRUNTIME, ONNX),
        devices=_CPU,
    ),
    Row(
        "numpy",
        "layer_norm",
        "NumPy, on one thread; inference only",
        "numpy_norms:layer_norm",
        needs=(NUMPY,),
        devices=_CPU,
    ),
)

_KERNELS = (
    Row("liger", "layer_norm", "Liger's Triton kernel", "liger_norms:layer_norm", needs=(LIGER, TRITON), devices=_CUDA),
    Row(
        "liger_rms_norm",
        "rms_norm",
        "Liger's Triton kernel",
        "liger_norms:rms_norm",
        needs=(LIGER, TRITON),
        devices=_CUDA,
    ),
    Row(
        "liger_add_rms_norm",
        "add_rms_norm",
        "Liger's Triton kernel of x + residual and RMS norm",
        "liger_norms:add_rms_norm",
        needs=(LIGER, TRITON),
        devices=_CUDA,
    ),
    Row("liger_dyt", "dyt", "Liger's Triton kernel", "liger_norms:dyt", needs=(LIGER, TRITON), devices=_CUDA),
    Row(
        "apex", "layer_norm", "apex.normalization.FusedLayerNorm", "apex_norms:layer_norm", needs=(APEX,), devices=_CUDA
    ),
    Row(
        "apex_rms_norm",
        "rms_norm",
        "apex.normalization.FusedRMSNorm",
        "apex_norms:rms_norm",
        needs=(APEX,),
        devices=_CUDA,
    ),
    Row("quack", "rms_norm", "quack.rmsnorm, in CuTe-DSL", "quack_norms:rms_norm", needs=(QUACK,), devices=_CUDA),
    Row(
        "quack_add_rms_norm",
        "add_rms_norm",
        "quack.rmsnorm with a residual, in CuTe-DSL",
        "quack_norms:add_rms_norm",
        needs=(QUACK,),
        devices=_CUDA,
    ),
    Row(
        "transformer_engine",
        "layer_norm",
        "transformer_engine.pytorch.LayerNorm",
        "transformer_engine_norms:layer_norm",
        needs=(TRANSFORMER_ENGINE,),
        devices=_CUDA,
    ),
    Row(
        "transformer_engine_rms_norm",
        "rms_norm",
        "transformer_engine.pytorch.RMSNorm",
        "transformer_engine_norms:rms_norm",
        needs=(TRANSFORMER_ENGINE,),
        devices=_CUDA,
    ),
)

BUILT_IN: Mapping[str, Row] = MappingProxyType({row.name: row for row in (*_PYTORCH, *_FRAMEWORKS, *_KERNELS)})
