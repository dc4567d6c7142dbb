"""What each normalization computes, in the terms that a byte model, a tolerance and an oracle share.

Every function here scales and shifts, all but one after normalizing groups of elements. `geometry` gives the canonical
view of x, in which statistics are taken over some axes and the parameters vary over others; all else follows from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

from lnbench.errors import Unsupported
from lnbench.workload import Affine, Gradients, Workload


@dataclass(frozen=True, slots=True)
class Function:
    """One normalization: what its callables take after x and give, and what kind of statistics it uses.

    parameters: the arguments of `forward` after x, in order. outputs: what it returns, a tuple where they are several.
    has_statistics: elements are normalized together; without, each is treated by itself, as dynamic tanh does.
    centred: the mean is subtracted. norm_modes: () when training and evaluation compute the same.
    formula: what y is, for who has registered something else under its name.
    """

    name: str
    parameters: tuple[str, ...]
    outputs: tuple[str, ...] = ("y",)
    centred: bool = True
    norm_modes: tuple[str, ...] = ()
    channelwise: bool = False
    has_groups: bool = False
    has_statistics: bool = True
    formula: str = ""

    @property
    def has_alpha(self) -> bool:
        """True when one learned number scales x before anything else is done."""
        return "alpha" in self.parameters

    @property
    def has_bias(self) -> bool:
        """True when the function shifts as well as scales."""
        return "bias" in self.parameters

    @property
    def has_residual(self) -> bool:
        """True when it normalizes x + residual, and gives that sum beside y as the new residual."""
        return "residual" in self.parameters

    @property
    def has_running_statistics(self) -> bool:
        """True when the function keeps a running mean and variance."""
        return "running_mean" in self.parameters


_CENTRED = "y = (x - mean) / sqrt(var + eps) * weight + bias"

FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        function.name: function
        for function in (
            Function("layer_norm", ("weight", "bias"), formula=_CENTRED),
            Function("rms_norm", ("weight",), centred=False, formula="y = x / sqrt(mean(x²) + eps) * weight"),
            Function(
                "batch_norm",
                ("weight", "bias", "running_mean", "running_var"),
                norm_modes=("train", "eval"),
                channelwise=True,
                formula=f"{_CENTRED}, per channel",
            ),
            Function(
                "group_norm",
                ("weight", "bias"),
                channelwise=True,
                has_groups=True,
                formula=f"{_CENTRED}, per sample and group of channels",
            ),
            Function(
                "instance_norm", ("weight", "bias"), channelwise=True, formula=f"{_CENTRED}, per sample and channel"
            ),
            Function(
                "add_layer_norm",
                ("residual", "weight", "bias"),
                outputs=("y", "new_residual"),
                formula="new_residual = x + residual, and y = layer_norm of that",
            ),
            Function(
                "add_rms_norm",
                ("residual", "weight"),
                outputs=("y", "new_residual"),
                centred=False,
                formula="new_residual = x + residual, and y = rms_norm of that",
            ),
            Function(
                "dyt",
                ("alpha", "weight", "bias"),
                centred=False,
                has_statistics=False,
                formula="y = tanh(alpha * x) * weight + bias",
            ),
        )
    }
)
"""The one table of signatures: `forward(x, *parameters)` gives the outputs; absent affine tensors are None."""

ALPHA_SHAPE = (1,)
"""One number, as a tensor of one element: so DynamicTanh modules keep it, and a tensor without axes would not widen x's
dtype. Source: Zhu et al. 2025, arXiv:2503.10622, algorithm 1."""

UNKNOWN_FUNCTION = Function("", ())
"""That of an implementation which could not be loaded."""

LAST_AXES_ALONE = "it normalizes the last axes alone"
"""Why an implementation is left out where another axis is normalized."""

DEFAULT_GROUPS = 32
"""Group norm's groups where a suite names none. Source: Wu, He 2018, arXiv:1803.08494, section 4."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The canonical view of x.

    view: a shape that x's elements take without moving. statistic_axes: reduced for the mean and variance; () for a
    function without statistics. parameter_axes: the axes over which weight and bias vary; their gradients sum over the
    others.
    """

    view: tuple[int, ...]
    statistic_axes: tuple[int, ...]
    parameter_axes: tuple[int, ...]

    @property
    def parameter_view(self) -> tuple[int, ...]:
        """The shape in which a parameter broadcasts against the view."""
        return tuple(size if axis in self.parameter_axes else 1 for axis, size in enumerate(self.view))

    @property
    def sum_axes(self) -> tuple[int, ...]:
        """The axes over which a parameter's gradient sums."""
        return tuple(axis for axis in range(len(self.view)) if axis not in self.parameter_axes)

    @property
    def statistic_length(self) -> int:
        """How many elements share one mean and variance."""
        return prod(self.view[axis] for axis in self.statistic_axes)

    @property
    def statistics(self) -> int:
        """How many means (and variances) there are."""
        return prod(self.view) // self.statistic_length

    @property
    def sum_length(self) -> int:
        """How many terms one entry of a parameter's gradient sums."""
        return prod(self.view[axis] for axis in self.sum_axes)


def channel_axis(workload: Workload) -> int:
    """The axis of x that a channel-wise function treats as channels.

    With one normalized axis it is that axis and, where it is the last, all others are samples; when all axes but the
    first are normalized it is axis 1, as in (N, C, H, W). Raises Unsupported for anything between, where "channels" has
    no agreed meaning.
    """
    rank, dims = len(workload.shape), len(workload.normalized_shape)
    if workload.norm_axes:
        return workload.norm_axes[0]
    if dims == 1:
        return rank - 1
    if dims == rank - 1:
        return 1
    raise Unsupported(f"channels are undefined when {dims} of {rank} axes are normalized")


def parameter_shape(function: Function, workload: Workload) -> tuple[int, ...]:
    """The shape of weight and bias: one entry per channel, or the normalized shape."""
    if function.channelwise:
        return (workload.shape[channel_axis(workload)],)
    return workload.normalized_shape


def result_shape(function: Function, workload: Workload, name: str) -> tuple[int, ...]:
    """The shape of an output or a gradient, by its name: that of x, or that of the parameter."""
    if name == "dalpha":
        return ALPHA_SHAPE
    return parameter_shape(function, workload) if name in {"dweight", "dbias"} else workload.shape


def gradient_names(function: Function, workload: Workload) -> tuple[str, ...]:
    """The gradients that backward computes: dx, dresidual, dalpha, dweight, dbias, as far as they exist and are asked
    for. alpha is learned with weight and bias, and is there without them."""
    names: tuple[str, ...] = ("dx", "dresidual") if function.has_residual else ("dx",)
    if workload.gradients == Gradients.PARAMETERS:
        names = ()
    if workload.gradients == Gradients.X:
        return names
    if function.has_alpha:
        names = (*names, "dalpha")
    if workload.affine == Affine.NONE:
        return names
    return (*names, "dweight", "dbias") if workload.affine == Affine.BOTH and function.has_bias else (*names, "dweight")


def judged_as(name: str) -> str:
    """The tensor that a result is held against: y for `inference_y`, dx for `step_dx`, and so on."""
    return name.removeprefix("timed_").removeprefix("inference_").removeprefix("step_")


def refuse_undefined(function: Function, workload: Workload) -> None:
    """Raise Unsupported where a function has no meaning on a workload, or nothing is left to differentiate."""
    geometry(function, workload)
    if not gradient_names(function, workload):
        raise Unsupported("gradients: parameters asks for those of weight and bias, and affine: none has neither")


def geometry(function: Function, workload: Workload) -> Geometry:
    """The canonical view for a function on a workload.

    Raises Unsupported where the function is not defined on the workload, with the reason.
    """
    statistic_axes = (1,) if function.has_statistics else ()
    if not function.channelwise and not workload.norm_axes:
        return Geometry((workload.rows, workload.features), statistic_axes, parameter_axes=(1,))
    axis = channel_axis(workload)
    samples, channels, spatial = prod(workload.shape[:axis]), workload.shape[axis], prod(workload.shape[axis + 1 :])
    if not function.channelwise:
        return Geometry((samples, channels, spatial), statistic_axes, parameter_axes=(1,))
    if function.name == "batch_norm":
        if workload.norm_mode != "eval" and samples * spatial < 2:
            raise Unsupported("batch norm in train mode needs more than one value per channel")
        return Geometry((samples, channels, spatial), statistic_axes=(0, 2), parameter_axes=(1,))
    if function.name == "instance_norm":
        if spatial < 2:
            raise Unsupported("instance norm needs more than one position per channel, as in (N, C, H, W), norm_dims 3")
        groups = channels
    else:
        groups = workload.groups or DEFAULT_GROUPS
        if channels % groups:
            raise Unsupported(f"{channels} channels do not divide into {groups} groups")
    return Geometry((samples, groups, channels // groups, spatial), statistic_axes=(2, 3), parameter_axes=(1, 2))
