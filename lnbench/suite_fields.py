"""The kinds of value in a suite file, as pydantic types that say what to write instead."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    Strict,
    Tag,
)
from pydantic import WithJsonSchema as Described
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from lnbench.amounts import MOST_ELEMENTS, MOST_SIZE
from lnbench.errors import nearest
from lnbench.suite_text import Step, show
from lnbench.units import format_shape
from lnbench.workload import (
    DEVICE_PATTERN,
    DTYPE_BYTES,
    NORM_AXES,
    Affine,
    Allocator,
    Autocast,
    Cache,
    Clock,
    Gradients,
    Layout,
    Phase,
)

OptionValue = bool | int | float | str
"""What an option of an implementation may be."""

_DTYPE_ALIASES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "half": "float16",
    "fp32": "float32",
    "f32": "float32",
    "float": "float32",
    "single": "float32",
    "fp64": "float64",
    "f64": "float64",
    "double": "float64",
}


_LAYOUT_ALIASES = {
    "nchw": "contiguous",
    "nhwc": "channels_last",
    "padded": "strided",
    "expanded": "expanded_dy",
    "stride_0": "expanded_dy",
}
_GRADIENTS_ALIASES = {"dx": "x", "input": "x"}


def problem(what: str, *, hint: str = "", at: tuple[Step, ...] = ()) -> PydanticCustomError:
    """An error for pydantic to carry: what was found, a hint, and where below the checked value it stands."""
    return PydanticCustomError("suite", "{what}", {"what": what, "hint": hint, "at": at})


class Name:
    """Marks text that must be one of the known names; the error names the nearest."""

    def __init__(self, what: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.what, self.known, self.aliases = what, tuple(known), aliases or {}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": list(self.known)}

    def _check(self, value: object) -> str:
        if isinstance(value, str) and value in self.known:
            return value
        word = value.lower() if isinstance(value, str) else ""
        raise problem(f"unknown {self.what} {show(value)}", hint=nearest(self.aliases.get(word, word), self.known))


def refuse_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of an axis, none of them twice."""
    seen = set()
    for number, value in enumerate(values):
        if value in seen:
            found = show(value) if isinstance(value, str | int | float) else "the same entry"
            raise problem(f"{found} stands twice in the list", hint="keep one of them", at=(number,))
        seen.add(value)
    return values


class OneOrMany:
    """Marks a tuple that is written as one value or as a list of them; `check` is for the list as a whole."""

    def __init__(
        self,
        is_one: Callable[[object], bool] = lambda value: not isinstance(value, list),
        check: Callable[[tuple[Any, ...]], tuple[Any, ...]] = refuse_repeats,
    ) -> None:
        self.is_one, self.check = is_one, check

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        one = handler.generate_schema(get_args(source)[0])
        return core_schema.tagged_union_schema(
            {
                "one": core_schema.no_info_after_validator_function(lambda item: (item,), one),
                "many": core_schema.no_info_after_validator_function(self.check, handler(source)),
            },
            discriminator=lambda value: "one" if self.is_one(value) else "many",
        )


class Shorthand:
    """Marks a model that may be written as the value of its one required field."""

    def __init__(self, field: str, kind: Any) -> None:
        self.field, self.kind = field, kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        short = handler.generate_schema(self.kind)
        return core_schema.tagged_union_schema(
            {
                "short": core_schema.no_info_after_validator_function(lambda it: source(**{self.field: it}), short),
                "full": handler(source),
            },
            discriminator=lambda value: "full" if isinstance(value, dict) else "short",
        )


def is_one_shape(value: object) -> bool:
    """True for `[8, 128, 768]` and `{shape: ...}`, false for a list of such."""
    if not isinstance(value, list):
        return True
    return bool(value) and not any(isinstance(item, list | dict | str) for item in value)


def _text(value: object, *, limit: int, allowed: str = "") -> str:
    """Printable text of at most `limit` characters, all matching `allowed` where that is given."""
    if not isinstance(value, str):
        raise problem(f"must be text, found {show(value)}", hint="put it in quotes if it is meant as text")
    if not value or len(value) > limit:
        raise problem(f"must have 1 to {limit} characters, found {len(value)}")
    if not value.isprintable():
        raise problem(f"must be printable on one line, found {show(value)}")
    if allowed and not re.fullmatch(allowed, value):
        raise problem(f"{show(value)} is not a name", hint='write letters, digits, "_", "-" and "."')
    return value


def _description(value: object) -> str:
    return _text(" ".join(value.split()) if isinstance(value, str) else value, limit=1000)


def _option(value: object) -> OptionValue:
    if isinstance(value, str):
        return _text(value, limit=200) if value else value
    if not isinstance(value, bool | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise problem(f"an option is a finite number, a text or true or false, found {show(value)}")
    return value


def _norm_axes(value: object) -> str:
    if type(value) in {int, str} and str(value) in NORM_AXES:
        return str(value)
    raise problem(
        f"must be last or 1, found {show(value)}", hint="1 normalizes axis 1 alone, the channels of (N, C, H, W)"
    )


def _device(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(DEVICE_PATTERN, value):
        return value
    word = value.lower() if isinstance(value, str) else ""
    raise problem(f"unknown device {show(value)}", hint=nearest({"gpu": "cuda"}.get(word, word), DEVICES))


def _shape_pattern(value: object) -> str:
    if isinstance(value, list) and all(type(size) is int for size in value):
        return format_shape(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9x*?]+", value):
        return value
    raise problem(f"must be a shape, found {show(value)}", hint="write [8, 128, 768], 8x128x768 or 8x*")


def _sizes(value: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(value) > MOST_ELEMENTS:
        raise problem(f"{format_shape(value)} has more than {MOST_ELEMENTS} elements")
    return value


DEVICES = ("cpu", "cuda", "cuda:0")

SuiteName = Annotated[
    str,
    PlainValidator(lambda value: _text(value, limit=64, allowed=r"[A-Za-z0-9][A-Za-z0-9_.-]*")),
    Described({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$", "maxLength": 64}),
]
ImplementationName = Annotated[
    str,
    PlainValidator(lambda value: _text(value, limit=64, allowed=r"[\w.-]+")),
    Described({"type": "string", "pattern": r"^[\w.-]+$", "maxLength": 64}),
]
Label = Annotated[
    str,
    PlainValidator(lambda value: _text(value, limit=80)),
    Described({"type": "string", "minLength": 1, "maxLength": 80}),
]
Description = Annotated[
    str, PlainValidator(_description), Described({"type": "string", "minLength": 1, "maxLength": 1000})
]
Option = Annotated[OptionValue, PlainValidator(_option), Described({"type": ["boolean", "number", "string"]})]
Device = Annotated[
    str,
    PlainValidator(_device),
    Described({"type": "string", "pattern": DEVICE_PATTERN, "examples": list(DEVICES)}),
]

ShapePattern = Annotated[
    str,
    PlainValidator(_shape_pattern),
    Described({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}),
]

Count = Annotated[int, Strict(), Field(ge=1, le=MOST_SIZE)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
Margin = Annotated[float, Strict(), Field(gt=0, le=1, allow_inf_nan=False)]
Sizes = Annotated[tuple[Count, ...], Field(min_length=2, max_length=8), AfterValidator(_sizes)]
Thresholds = Annotated[
    Annotated[Margin, Tag("number")] | Annotated[dict[ImplementationName, Margin], Tag("map")],
    Discriminator(lambda value: "map" if isinstance(value, dict) else "number"),
]

Dtype = Annotated[str, Name("dtype", DTYPE_BYTES, _DTYPE_ALIASES)]
CacheName = Annotated[str, Name("cache", (Cache.HOT, Cache.COLD), {"displaced": "cold", "warm": "hot"})]
AllocatorName = Annotated[str, Name("allocator", Allocator)]
NormAxes = Annotated[str, PlainValidator(_norm_axes), Described({"enum": ["last", 1]})]
LayoutName = Annotated[str, Name("layout", Layout, _LAYOUT_ALIASES)]
AffineName = Annotated[str, Name("affine", Affine)]
GradientsName = Annotated[str, Name("gradients", Gradients, _GRADIENTS_ALIASES)]
AutocastName = Annotated[str, Name("autocast", Autocast, _DTYPE_ALIASES | {"off": "none", "false": "none"})]
NormModeName = Annotated[str, Name("norm mode", ("train", "eval"), {"training": "train", "inference": "eval"})]
ClockName = Annotated[str, Name("clock", Clock, {"host": "wall", "events": "device", "cuda_graph": "graph"})]
PhaseName = Annotated[str, Name("phase", Phase, {"training": "forward_backward", "step": "forward_backward"})]

T = TypeVar("T")
Axis = Annotated[tuple[T, ...], Field(min_length=1), OneOrMany()]
ShapeAxis = Annotated[tuple[T, ...], Field(min_length=1), OneOrMany(is_one_shape)]
