"""A suite: what to measure, as a person writes it. `read_suite` checks the whole file; `suite_schema` describes it."""

from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field, PrivateAttr, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

from lnbench.errors import SuiteError, UsageError
from lnbench.suite_entries import Exclusion, Implementations, Sampling, SuiteModel, WorkloadEntry
from lnbench.suite_fields import Description, Device, ImplementationName, SuiteName, Thresholds, problem
from lnbench.suite_text import Document, Step, read_yaml, show


class Suite(SuiteModel):
    """What lnbench measures in one run."""

    name: SuiteName = Field(description="Short name, shown in results.")
    description: Description = Field(default="", description="One sentence: the question that the suite answers.")
    reference: ImplementationName = Field(
        default="", description="What the others are compared with; by default the first implementation."
    )
    implementations: Implementations = Field(
        default=(), description="What is measured: names, or {use: group_norm, as: gn32, options: {groups: 32}}."
    )
    workloads: tuple[WorkloadEntry, ...] = Field(min_length=1, description="What is normalized.")
    sampling: Sampling = Field(default=Sampling(), description="How long and how often to sample; options override it.")
    thresholds: Thresholds = Field(
        default={}, description="The margin of a verdict, 0.03 for 3 %: a number, or one per implementation."
    )
    exclude: tuple[Exclusion, ...] = Field(default=(), description="Combinations to leave out of every workload.")

    _document: Document = PrivateAttr()

    @model_validator(mode="after")
    def _require_implementations(self) -> Self:
        for number, entry in enumerate(self.workloads):
            if not (entry.implementations or self.implementations):
                raise problem("no implementations here, and none at the top of the file", at=("workloads", number))
        return self

    def place(self, *location: Step) -> str:
        """Where a part of the suite stands, for a message: `FILE:LINE: workloads[0].shapes[1]`."""
        return self._document.place(location)


def read_suite(text: str, *, source: str) -> Suite:
    """Read and check a suite file; `source` names it in messages.

    Names of implementations are kept as they stand: whether they exist is the plan's question.
    Raises SuiteError with file, line, what was found and the nearest valid name.
    """
    document = read_yaml(text, source=source)
    try:
        suite = Suite.model_validate(document.value)
    except ValidationError as error:
        raise _first_problem(document, error.errors(include_url=False)) from error
    suite._document = document
    return suite


def suite_schema() -> dict[str, Any]:
    """The JSON Schema of a suite file, for editors; made from the same models that check a suite."""
    schema = Suite.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "lnbench suite"}


def check_sampling(**values: object) -> Sampling:
    """The sampling that the command line asks for, held to the suite's bounds; raises UsageError naming the option."""
    try:
        return Sampling.model_validate(values)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        raise UsageError(f"--{str(first['loc'][0]).removesuffix('_s').replace('_', '-')}: {_what(first)}") from error


def check_devices(devices: Iterable[str]) -> tuple[str, ...]:
    """Devices that the command line names, each once; raises UsageError for what is not the name of one."""
    try:
        return TypeAdapter(tuple[Device, ...]).validate_python(tuple(dict.fromkeys(devices)))
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        raise UsageError(f"--device: {_what(first)}", hint=_hint(first)) from error


def _first_problem(document: Document, errors: Iterable[ErrorDetails]) -> SuiteError:
    """The error that stands first in the file."""
    told = [error for error in errors if not _is_echo(error)]
    error = min(told, key=lambda error: document.lines[document.reach(_location(error))])
    return SuiteError(f"{document.place(_location(error))}: {_what(error)}", hint=_hint(error))


def _hint(error: ErrorDetails) -> str:
    return str(error.get("ctx", {}).get("hint", ""))


def _is_echo(error: ErrorDetails) -> bool:
    """True for "too short" about a list that is long enough but has bad items, which are told of themselves."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _location(error: ErrorDetails) -> tuple[Step, ...]:
    return (*error["loc"], *error.get("ctx", {}).get("at", ()))


_WORDS = {
    "model_type": "must be a map",
    "dict_type": "must be a map",
    "tuple_type": "must be a list",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
}


def _what(error: ErrorDetails) -> str:
    """What was found, in words."""
    kind, message = error["type"], error["msg"]
    if kind == "suite":
        return message
    if kind == "missing":
        return f'"{error["loc"][-1]}" is missing'
    if kind in {"too_short", "too_long"}:
        return f"must have {message.partition('should have ')[2].partition(' after')[0]}"
    words = _WORDS.get(kind) or message.replace("Input should be", "must be")
    return f"{words}, found {show(error['input'])}"
