"""The maps inside a suite file: an implementation, a shape, an exclusion, a workload's axes, the sampling."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lnbench.errors import nearest
from lnbench.suite_fields import (
    AffineName,
    AllocatorName,
    AutocastName,
    Axis,
    CacheName,
    ClockName,
    Count,
    Device,
    Dtype,
    GradientsName,
    ImplementationName,
    Label,
    LayoutName,
    NormAxes,
    NormModeName,
    OneOrMany,
    Option,
    PhaseName,
    Positive,
    ShapeAxis,
    ShapePattern,
    Shorthand,
    Sizes,
    Thresholds,
    problem,
)
from lnbench.suite_text import show
from lnbench.workload import Clock, Phase, is_cuda


class SuiteModel(BaseModel):
    """A map of a suite file: an unknown key is refused with the nearest known one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: object) -> object:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value if isinstance(value, dict) else ():
            if key not in known:
                raise problem(f"unknown key {show(key)}", hint=nearest(key, known), at=(key,))
        return value


class ImplementationEntry(SuiteModel):
    """One implementation of a list, under the name that is shown."""

    use: ImplementationName = Field(description="The registered name.")
    shown: ImplementationName = Field(
        default="", alias="as", description="The name shown, where one is used twice with different options."
    )
    options: dict[ImplementationName, Option] = Field(
        default={}, description="Options of the implementation, for example {groups: 32}."
    )

    @property
    def name(self) -> str:
        """The name that tables show and that `reference` and `thresholds` refer to."""
        return self.shown or self.use


class ShapeEntry(SuiteModel):
    """An input shape, with a label where it has one."""

    shape: Sizes = Field(description="Sizes of the input, for example [8, 128, 768].")
    label: Label = Field(default="", description="What the shape stands for, for example a model's name.")


def _refuse_name_clash(entries: tuple[ImplementationEntry, ...]) -> tuple[ImplementationEntry, ...]:
    first: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if first.setdefault(entry.name, number) != number:
            what = f'"{entry.name}" is named twice, first as implementations[{first[entry.name]}]'
            raise problem(what, hint="give one of them another name with `as`", at=(number,))
    return entries


Implementations = Annotated[
    tuple[Annotated[ImplementationEntry, Shorthand("use", ImplementationName)], ...],
    Field(min_length=1),
    OneOrMany(check=_refuse_name_clash),
]


class Exclusion(SuiteModel):
    """Combinations to leave out: those that match every key. Names may hold the wildcards * and ?."""

    implementation: Axis[Label] = ()
    function: Axis[Label] = ()
    norm_mode: Axis[NormModeName] = ()
    label: Axis[Label] = ()
    norm_dims: Axis[Count] = ()
    norm_axes: Axis[NormAxes] = ()
    rows: Axis[Count] = ()
    features: Axis[Count] = ()
    dtype: Axis[Dtype] = ()
    param_dtype: Axis[Dtype] = ()
    device: Axis[Device] = ()
    threads: Axis[Count] = ()
    cache: Axis[CacheName] = ()
    allocator: Axis[AllocatorName] = ()
    layout: Axis[LayoutName] = ()
    affine: Axis[AffineName] = ()
    gradients: Axis[GradientsName] = ()
    autocast: Axis[AutocastName] = ()
    eps: Axis[Positive] = ()
    phase: Axis[PhaseName] = ()
    input_shape: ShapeAxis[ShapePattern] = ()
    normalized_shape: ShapeAxis[ShapePattern] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_fields_set:
            raise problem("an empty map would exclude everything", hint="name the columns to match")
        if self.phase and (self.implementation or self.function or self.norm_mode):
            raise problem(
                "a phase is left out for all implementations of a workload, or for none",
                hint="leave out phase, or implementation, function and norm_mode",
            )
        return self

    @property
    def patterns(self) -> Mapping[str, tuple[str, ...]]:
        """What each column must match, as text."""
        return {name: tuple(str(value) for value in values) for name, values in self if values}


class WorkloadEntry(SuiteModel):
    """Every combination of these axes is one workload. Each axis takes one value or a list."""

    shapes: ShapeAxis[Annotated[ShapeEntry, Shorthand("shape", Sizes)]] = Field(
        description="Input shapes: [8, 128, 768] or {shape: [...], label: ...}; the last norm_dims axes are normalized."
    )
    norm_dims: Axis[Annotated[Count, Field(le=7)]] = Field(
        default=(1,), description="How many last axes are normalized."
    )
    norm_axes: Axis[NormAxes] = Field(
        default=("last",), description="last: the last norm_dims axes; 1: axis 1 alone, the channels of (N, C, H, W)."
    )
    dtypes: Axis[Dtype] = Field(default=("float32",), description="Element types of the input.")
    param_dtypes: Axis[Dtype] = Field(default=(), description="Element types of weight and bias; by default the dtype.")
    devices: Axis[Device] = Field(default=("cpu",), description="Absent devices are skipped, with a reason.")
    threads: Axis[Count] = Field(
        default=(), description="CPU threads; by default the physical cores that the process may use."
    )
    cache: Axis[CacheName] = Field(default=("hot",), description="What the caches hold when a call begins.")
    allocators: Axis[AllocatorName] = Field(
        default=("retained",), description="retained keeps freed heap memory for the next call; system leaves it alone."
    )
    layouts: Axis[LayoutName] = Field(
        default=("contiguous",),
        description="How x and dy lie in memory; channels_last applies to shapes of four axes.",
    )
    affine: Axis[AffineName] = Field(default=("both",), description="Which of weight and bias exist.")
    gradients: Axis[GradientsName] = Field(
        default=("all",), description="What backward computes: x alone where weight and bias are frozen."
    )
    autocast: Axis[AutocastName] = Field(
        default=("none",), description="The dtype of PyTorch's autocast in forward and inference."
    )
    eps: Axis[Positive] = Field(default=(1e-5,), description="Added to the variance under the root.")
    norm_modes: Axis[NormModeName] = Field(
        default=("train",), description="Modes of functions that have them, such as batch_norm; others have one case."
    )
    phases: Axis[PhaseName] = Field(default=tuple(Phase), description="The parts of a step to report.")
    clocks: Axis[ClockName] = Field(
        default=(),
        description="Which clocks are used: wall; on CUDA also device, batch and graph. Default: wall; on CUDA wall "
        "and device, with cold caches device.",
    )
    reference: ImplementationName = Field(default="", description="Overrides the suite's reference.")
    implementations: Implementations = Field(default=(), description="Overrides the suite's list.")
    thresholds: Thresholds = Field(default={}, description="Overrides the suite's thresholds.")
    exclude: tuple[Exclusion, ...] = Field(default=(), description="Combinations to leave out.")

    @model_validator(mode="after")
    def _check_normalized_axes(self) -> Self:
        if self.norm_dims != (1,) and self.norm_axes != ("last",):
            raise problem(
                "norm_dims counts the last axes, and norm_axes names another",
                hint="write two workloads, one with each",
                at=("norm_axes",),
            )
        return self

    @model_validator(mode="after")
    def _refuse_clocks_that_no_device_has(self) -> Self:
        """Where the devices are written here; `--device` decides about the clocks of an entry without."""
        if "devices" in self.model_fields_set and not any(map(is_cuda, self.devices)):
            for number, clock in enumerate(self.clocks):
                if clock != Clock.WALL:
                    raise problem(
                        f"the {clock} clock needs a CUDA device, and this entry has {', '.join(self.devices)}",
                        hint="the CPU has the wall clock alone: leave the others out, or write devices: cuda",
                        at=("clocks", number),
                    )
        return self


class Sampling(SuiteModel):
    """How long and how often to sample."""

    processes: Annotated[Count, Field(le=1000)] = Field(
        default=3, description="Fresh worker processes, each measuring the whole plan; verdicts need at least 3."
    )
    precision: Annotated[Positive, Field(lt=1)] = Field(
        default=0.01, description="Stop a workload when every speedup's relative half-width is under this."
    )
    budget_s: Annotated[Positive, Field(le=86400)] = Field(
        default=5.0, description="Seconds of timed rounds per workload and process, for all its cases together."
    )
    budget_total_s: Annotated[Positive, Field(le=864000)] | None = Field(
        default=None,
        description="Most seconds of timed rounds in all, with the extra time that a busy machine takes; by default "
        "three times what the budgets add up to.",
    )
