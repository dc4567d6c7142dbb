"""What plug-in files register, told without measuring. It runs their code, so it happens in a process of its own."""

import os
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from lnbench.errors import PluginError
from lnbench.implementations.contract import Registration
from lnbench.implementations.plugins import load_plugins
from lnbench.planned import PluginSource

_MOST_TEXT = 2000
_MOST_OPTION = 200
"""Characters of an option that is text, as in a suite."""


class Described(BaseModel):
    """One implementation of a plug-in, which has this number among those given: all that a plan needs to know."""

    model_config = ConfigDict(frozen=True)

    name: str
    function: str
    summary: str
    options: dict[str, bool | int | float | str | None]
    plugin: str
    number: int


class Description(BaseModel):
    """What a set of plug-ins registers, or the one error that prevents it."""

    model_config = ConfigDict(frozen=True)

    found: tuple[Described, ...] = ()
    error: str = ""
    hint: str = ""


def describe_plugins(descriptor: int, sources: Sequence[str]) -> None:
    """Load the plug-ins, each a PluginSource as JSON, and write their Description as JSON to an open descriptor."""
    description = Description()
    try:
        given = [PluginSource.model_validate_json(source) for source in sources]
        found = load_plugins(given)
        described = (_described(given.index(source), source.path, registration) for source, registration in found)
        description = Description(found=tuple(described))
    except PluginError as error:
        description = Description(error=_writable(error.message), hint=_writable(error.hint))
    data = description.model_dump_json().encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _described(number: int, path: str, registration: Registration) -> Described:
    return Described(
        name=registration.name,
        function=registration.function,
        summary=_writable(registration.summary),
        options=_scalars(registration.options),
        plugin=path,
        number=number,
    )


def _scalars(options: Mapping[str, object]) -> dict[str, bool | int | float | str | None]:
    """Options with their defaults, as far as a suite could write those."""
    return {name: value if _could_be_written(value) else None for name, value in options.items()}  # type: ignore[misc]


def _could_be_written(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MOST_OPTION and value.isprintable()
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _writable(text: str) -> str:
    """Text that JSON can hold, and no more of it than a message needs."""
    return text[:_MOST_TEXT].encode(errors="backslashreplace").decode()
