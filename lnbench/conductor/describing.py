"""What sources register, asked of processes of their own: a source may be broken in any way, and that is its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from lnbench.conductor.calling import Answer, call_worker
from lnbench.errors import PluginError
from lnbench.planned import InstalledSource, PluginSource, SetAside, Source, Status
from lnbench.worker.description import Described, Description

PLUGIN_TIMEOUT_S = 120.0
"""A source is imported within this time; importing torch on a slow disk takes half a minute."""

LEAST_IMPORT_S = 30.0
"""However short the time limit of a case is, for the same reason."""


@dataclass(frozen=True)
class Registered:
    """What sources register, and those that can't be loaded, by number, with what becomes of their cases."""

    found: tuple[Described, ...] = ()
    unloadable: Mapping[int, tuple[SetAside, str]] = field(default_factory=dict)


def describe_sources(sources: Sequence[Source], *, timeout_s: float | None = None) -> Registered:
    """Load sources in a process of their own, and what is left after one that ends it in another.

    Raises PluginError, with file and line, where a plug-in file can't be loaded, and where two sources register one
    name. An installed package that can't be loaded costs its own cases only.
    """
    limit_s = PLUGIN_TIMEOUT_S if timeout_s is None else max(timeout_s, LEAST_IMPORT_S)
    found: list[Described] = []
    unloadable: dict[int, tuple[SetAside, str]] = {}
    number = 0
    while number < len(sources):
        left = [source.model_dump_json() for source in sources[number:]]
        answer = call_worker(["--describe", str(number), *left], timeout_s=limit_s)
        told, is_garbled = _descriptions(answer.text)
        for description in told:
            if description.error:
                _refuse_file(sources[number], description.error, hint=description.hint)
                unloadable[number] = Status.ERROR, ": ".join(filter(None, (description.error, description.hint)))
            found += description.found
            number += 1
        if answer.timed_out and told:
            continue  # it may be the sources before it that took the time: the next one gets as long for itself
        if number < len(sources):
            source, (status, why) = sources[number], _end_of(answer, is_garbled=is_garbled)
            _refuse_file(source, f"{source.title}: {why}")
            unloadable[number] = status, f"{source.title}: {why}"
            number += 1
    _refuse_taken_names(sources, found)
    return Registered(tuple(found), unloadable)


def _descriptions(text: bytes) -> tuple[list[Description], bool]:
    """What a worker has told, and whether it then told something else."""
    told: list[Description] = []
    for line in text.splitlines():
        try:
            told.append(Description.model_validate_json(line))
        except ValidationError:
            return told, True
    return told, False


def _end_of(answer: Answer, *, is_garbled: bool) -> tuple[SetAside, str]:
    """What becomes of the cases of the source at which a worker's answer ends."""
    if answer.timed_out:
        return Status.TIMEOUT, f"loading it failed: {answer.failure}"
    if is_garbled:
        return Status.ERROR, "loading it wrote something else where its names were to stand"
    return Status.CRASH, f"loading it failed: {answer.failure or 'it exited with 0'}"


def _refuse_file(source: Source, error: str, *, hint: str = "") -> None:
    """Raise PluginError for a file: it was given on the command line, to be measured."""
    if isinstance(source, PluginSource):
        raise PluginError(error, hint=hint)


def _refuse_taken_names(sources: Sequence[Source], found: Sequence[Described]) -> None:
    owners: dict[str, Source] = {}
    for entry in found:
        source = sources[entry.number]
        owner = owners.setdefault(entry.name, source)
        if owner is source:
            continue
        if isinstance(source, InstalledSource):
            text = f'{owner.title}: the name "{entry.name}" is taken by {source.title}, which is installed'
            raise PluginError(text, hint="choose another name, or uninstall that")
        raise PluginError(f'{source.title}: the name "{entry.name}" is taken by {owner.title}')
