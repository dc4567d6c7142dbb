"""What sources register, told without measuring. It runs their code, so it happens in a process of its own."""

import os
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, TypeAdapter

from lnbench.errors import PluginError
from lnbench.implementations.contract import Registration
from lnbench.implementations.sources import load_sources
from lnbench.planned import Source

_MOST_TEXT = 2000
_MOST_OPTION = 200
"""Characters of an option that is text, as in a suite."""

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)
"""Reads a source as it stands on a worker's command line."""


class Described(BaseModel):
    """One implementation of the source that has this number among those given: all that a plan needs to know."""

    model_config = ConfigDict(frozen=True)

    name: str
    function: str
    summary: str
    options: dict[str, bool | int | float | str | None]
    number: int
    norm_axes: bool = False


class Description(BaseModel):
    """What one source registers, or the error that prevents it."""

    model_config = ConfigDict(frozen=True)

    found: tuple[Described, ...] = ()
    error: str = ""
    hint: str = ""


def describe_sources(descriptor: int, first: int, sources: Sequence[str]) -> None:
    """Load sources, each as JSON, and write a line of JSON for each to an open descriptor: its Description.

    Each line is out before the next source is loaded, so that an end of this process can be put down to one of them.
    `first`: the number of the first source.
    """
    outcomes = load_sources([SOURCE.validate_json(source) for source in sources])
    for number, outcome in enumerate(outcomes, start=first):
        if isinstance(outcome, PluginError):
            description = Description(error=_writable(outcome.message), hint=_writable(outcome.hint))
        else:
            description = Description(found=tuple(describe_registration(number, it) for it in outcome))
        data = description.model_dump_json().encode() + b"\n"
        while data:
            data = data[os.write(descriptor, data) :]


def describe_registration(number: int, registration: Registration) -> Described:
    """A registration as it is told to other processes."""
    return Described(
        name=registration.name,
        function=registration.function,
        summary=_writable(registration.summary),
        options=_scalars(registration.options),
        number=number,
        norm_axes=registration.norm_axes,
    )


def _scalars(options: Mapping[str, object]) -> dict[str, bool | int | float | str | None]:
    """Options with their defaults, as far as a suite could write those."""
    # _could_be_written narrows the values, which its signature can't say.
    return {name: value if _could_be_written(value) else None for name, value in options.items()}  # type: ignore[misc]


def _could_be_written(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MOST_OPTION and value.isprintable()
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _writable(text: str) -> str:
    """Text that JSON can hold, and no more of it than a message needs."""
    return text[:_MOST_TEXT].encode(errors="backslashreplace").decode()
