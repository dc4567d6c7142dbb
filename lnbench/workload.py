"""The words of the house: what is normalized (workload), by what (case), in which part of a training step (phase)."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import prod
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, Field

from lnbench.amounts import Size
from lnbench.units import format_shape

DTYPE_BYTES: Mapping[str, int] = MappingProxyType({"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8})
"""The dtypes that a suite may name, and the bytes of one element."""


class Phase(StrEnum):
    """A part of a step that has a time of its own."""

    INFERENCE = "inference"
    FORWARD = "forward"
    BACKWARD = "backward"
    FORWARD_BACKWARD = "forward_backward"


def main_phase(phases: Collection[Phase]) -> Phase:
    """The phase by which a case is seen at a glance: a whole step where it is measured, else the last part of one that
    is, else inference. Raises ValueError without any."""
    return max(phases, key=tuple(Phase).index)


STEP_PHASES = (Phase.FORWARD, Phase.BACKWARD, Phase.FORWARD_BACKWARD)
"""The phases that are measured together, inside one forward and backward."""


class Cache(StrEnum):
    """What the caches hold when a call begins.

    hot: the same buffers as the call before. cold: other buffers, together at least twice the last-level cache (on a
    GPU: twice L2 is written and as much read before each call; on the graph clock, other buffers). displaced: the same
    with twice L2, where memory forbids more.
    """

    HOT = "hot"
    COLD = "cold"
    DISPLACED = "displaced"


class Allocator(StrEnum):
    """How the C heap treats freed memory. retained: it is kept for the next call. system: as the system is set up."""

    RETAINED = "retained"
    SYSTEM = "system"


class Layout(StrEnum):
    """How x and the upstream gradient dy lie in memory.

    channels_last: both as (N, H, W, C). transposed: the last two axes of x are swapped in memory. strided: each row of
    x is the start of one that is STRIDE_PADDING elements longer. transposed_dy: the same as transposed, of dy.
    expanded_dy: dy is one element with stride 0, as `y.sum().backward()` makes it. Unless said, they are contiguous.
    """

    CONTIGUOUS = "contiguous"
    CHANNELS_LAST = "channels_last"
    TRANSPOSED = "transposed"
    STRIDED = "strided"
    TRANSPOSED_DY = "transposed_dy"
    EXPANDED_DY = "expanded_dy"


STRIDE_PADDING = 64
"""Elements between the rows of a strided x: whole cache lines in every dtype, so that alignment stays what it was."""


class Affine(StrEnum):
    """Which of weight and bias exist."""

    BOTH = "both"
    WEIGHT = "weight"
    NONE = "none"


class Gradients(StrEnum):
    """What backward computes. x: weight and bias are frozen, as in fine-tuning. parameters: those alone, as in a first
    layer, whose x needs no gradient."""

    ALL = "all"
    X = "x"
    PARAMETERS = "parameters"


class Autocast(StrEnum):
    """PyTorch's autocast in forward and inference: the dtype of the operations that it lists as safe in 16 bits."""

    NONE = "none"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Clock(StrEnum):
    """How time is taken. wall: the host's clock, to completion. On a GPU also device, batch and graph: CUDA events
    around each call, around many calls in a row, and around the replay of a CUDA graph that holds many calls."""

    WALL = "wall"
    DEVICE = "device"
    BATCH = "batch"
    GRAPH = "graph"

    @property
    def field(self) -> str:
        """The field of a sample, and of a turn in the journal, that holds the times of this clock."""
        return f"{self.value}_s"

    @property
    def calls_field(self) -> str:
        """The field of a turn that holds how many calls these times are the mean of."""
        return "calls" if self is Clock.WALL else f"{self.value}_calls"


def one_of(what: str, known: Collection[str]) -> Callable[[str], str]:
    """A check that text from outside is one of the known words; it raises ValueError."""

    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"unknown {what} {word[:60]!a}; known: {', '.join(known)}")
        return word

    return check


NORM_AXES: Mapping[str, tuple[int, ...]] = MappingProxyType({"last": (), "1": (1,)})
"""Which axes a suite may have normalized: the last ones, or axis 1 alone, the channels of (N, C, H, W)."""


def _norm_axes(axes: tuple[int, ...]) -> tuple[int, ...]:
    if axes not in NORM_AXES.values():
        raise ValueError(f"axes {axes} are not normalized; known: {', '.join(NORM_AXES)}")
    return axes


DEVICE_PATTERN = r"^(cpu|cuda(:(0|[1-9][0-9]{0,2}))?)$"
"""How a device is named."""


def is_cuda(device: str) -> bool:
    """True for the name of an NVIDIA GPU."""
    return device.startswith("cuda")


Dtype = Annotated[str, AfterValidator(one_of("dtype", DTYPE_BYTES))]
Device = Annotated[str, Field(pattern=DEVICE_PATTERN)]
NormMode = Annotated[str, AfterValidator(one_of("norm mode", ("", "train", "eval")))]


@dataclass(frozen=True, slots=True)
class Workload:
    """What is normalized. Plug-ins read it: every field is a plain value.

    `norm_mode` ("train", "eval" or "") and `groups` are set where a case's function has them.
    `norm_axes`: the axes that are normalized where they are not the last ones; `normalized_shape` are their sizes.
    `threads` is the number of CPU threads; `eps` is added to the variance (or mean square) under the root. Bounds and
    known words hold where one is read from outside.
    """

    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)]
    normalized_shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)]
    dtype: Dtype = "float32"
    param_dtype: Dtype = "float32"
    device: Device = "cpu"
    layout: Annotated[str, AfterValidator(one_of("layout", tuple(Layout)))] = "contiguous"
    threads: Size = 1
    cache: Annotated[str, AfterValidator(one_of("cache", tuple(Cache)))] = "hot"
    allocator: Annotated[str, AfterValidator(one_of("allocator", tuple(Allocator)))] = "retained"
    affine: Annotated[str, AfterValidator(one_of("affine", tuple(Affine)))] = "both"
    eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-5
    gradients: Annotated[str, AfterValidator(one_of("gradients", tuple(Gradients)))] = "all"
    autocast: Annotated[str, AfterValidator(one_of("autocast", tuple(Autocast)))] = "none"
    label: str = ""
    norm_mode: NormMode = ""
    groups: Size | None = None
    norm_axes: Annotated[tuple[int, ...], Field(max_length=8), AfterValidator(_norm_axes)] = ()

    @property
    def norm_axes_text(self) -> str:
        """The axes that are normalized, as suites write them."""
        return next(text for text, axes in NORM_AXES.items() if axes == self.norm_axes)

    @property
    def features(self) -> int:
        """How many elements are normalized together by a layer norm."""
        return prod(self.normalized_shape)

    @property
    def rows(self) -> int:
        """How many times `features` elements x holds."""
        return prod(size for axis, size in enumerate(self.shape) if axis not in self._normalized_axes)

    @property
    def _normalized_axes(self) -> Collection[int]:
        return self.norm_axes or range(len(self.shape) - len(self.normalized_shape), len(self.shape))

    @property
    def elements(self) -> int:
        """How many elements x holds."""
        return prod(self.shape)

    @property
    def x_bytes(self) -> int:
        """The bytes of x, and so of y and dx."""
        return self.elements * DTYPE_BYTES[self.dtype]

    @property
    def dy_bytes(self) -> int:
        """The bytes of memory behind dy."""
        return DTYPE_BYTES[self.dtype] if self.layout == Layout.EXPANDED_DY else self.x_bytes

    @property
    def x_memory_bytes(self) -> int:
        """The bytes of memory that hold x, with what lies between its rows."""
        padding = STRIDE_PADDING * prod(self.shape[:-1]) if self.layout == Layout.STRIDED else 0
        return self.x_bytes + padding * DTYPE_BYTES[self.dtype]

    @property
    def is_cuda(self) -> bool:
        """True when the work runs on an NVIDIA GPU."""
        return is_cuda(self.device)

    def name(self, *, default_threads: int) -> str:
        """A readable id: shape, dtype and device, then every other axis that differs from its default."""
        parts = [format_shape(self.shape), self.dtype, self.device]
        if len(self.normalized_shape) != 1:
            parts.append(f"norm_dims={len(self.normalized_shape)}")
        if self.norm_axes:
            parts.append(f"norm_axes={self.norm_axes_text}")
        if self.param_dtype != self.dtype:
            parts.append(f"param_dtype={self.param_dtype}")
        if self.threads != default_threads:
            parts.append(f"threads={self.threads}")
        for axis, default in (
            ("cache", "hot"),
            ("allocator", "retained"),
            ("layout", "contiguous"),
            ("affine", "both"),
            ("gradients", "all"),
            ("autocast", "none"),
        ):
            value = getattr(self, axis)
            if value != default:
                parts.append(f"{axis}={value}")
        if self.eps != 1e-5:
            parts.append(f"eps={self.eps:g}")
        return "/".join(parts)

    def with_rows(self, rows: int) -> "Workload":
        """The same workload with at most `rows` rows: sizes that are not normalized shrink, the rank stays."""
        sizes = list(self.shape)
        room = rows
        for axis in reversed(range(len(sizes))):
            if axis not in self._normalized_axes:
                sizes[axis] = min(sizes[axis], max(room, 1))
                room //= sizes[axis]
        return replace(self, shape=tuple(sizes))


@dataclass(frozen=True, slots=True)
class Case:
    """One implementation, in one norm mode, on one workload.

    `implementation` is the name shown; `use` the registered name behind it; `options` what the suite hands to its
    builder. `workload` carries the case's own norm_mode and groups.
    """

    implementation: str
    use: str
    function: str
    norm_mode: str
    workload: Workload
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def title(self) -> str:
        """The name with its mode, where the function has modes: `batch_norm (eval)`."""
        return f"{self.implementation} ({self.norm_mode})" if self.norm_mode else self.implementation
