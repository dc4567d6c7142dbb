"""YAML text as plain values, with the line where each of them stands. A suite is data: nothing here builds objects."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from lnbench.errors import SuiteError

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 200_000
"""Bounds that no suite comes near: a file past one of them is a mistake or an attack (aliases that double themselves,
brackets that exhaust the stack)."""

MAX_SCALAR_CHARACTERS = 4096
MAX_INTEGER = 2**63 - 1

Step = str | int


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """The safe loader, in C where PyYAML has it. PyYAML reads YAML 1.1; what 1.2 and people write is read beside it:
    1e-5 and .5e3 are numbers, and so is 0o17. What a person may mean otherwise than 1.1 reads it is refused.
    """


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?0o[0-7]+$"), list("-+0"))

_OLD_OCTAL = re.compile(r"[-+]?0[0-7]+")

_TEXT_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp", "merge", "value")}
_NUMBER_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file read: its plain value (dicts, lists, scalars), and the line of every part by its path."""

    source: str
    value: object
    lines: Mapping[tuple[Step, ...], int]

    def place(self, location: Iterable[Step] = ()) -> str:
        """Where a part stands, for a message: `FILE:LINE: path`."""
        path = self.reach(location)
        shown = _format_path(path)
        return f"{self.source}:{self.lines[path]}" + (f": {shown}" if shown else "")

    def reach(self, location: Iterable[Step]) -> tuple[Step, ...]:
        """The path of the deepest part that `location` leads to; steps that lead nowhere are passed over.

        So a location may hold steps of a schema (which member of a union) that the file does not have.
        """
        path: tuple[Step, ...] = ()
        node = self.value
        for step in location:
            if _leads_on(node, step):
                node = node[step]  # type: ignore[index]  # _leads_on has checked it
                path = (*path, step)
        return path


def read_yaml(text: str, *, source: str) -> Document:
    """Read one YAML document into plain values.

    Raises SuiteError, with the line, for what is no YAML, for tags, repeated keys and keys that are not text, and for
    text that is too long, too deep or grows too much through aliases.
    """
    if len(text) > MAX_CHARACTERS:
        raise SuiteError(f"{source}:1: the file has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    try:
        _refuse_depth(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = "look at the indentation, brackets and quotes here and on the line above"
        raise SuiteError(f"{source}:{line}: this is not YAML: {error.problem or error.context}", hint=hint) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise SuiteError(f"{source}:1: this is not YAML text: it has characters that YAML does not allow") from error
    if root is None:
        raise SuiteError(f"{source}:1: the file is empty", hint="write name, implementations and workloads")
    reading = _Reading(source)
    return Document(source, reading.value(root, ()), reading.lines)


def show(value: object) -> str:
    """A value for a message: text in quotes without control characters, and no more of it than reads well."""
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown) + '"'
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value}"
    return "a list" if isinstance(value, list | tuple) else "a map"


@dataclass(slots=True)
class _Reading:
    """One pass over the nodes of a file."""

    source: str
    lines: dict[tuple[Step, ...], int] = field(default_factory=dict)
    _scalars: Any = field(default_factory=yaml.constructor.SafeConstructor)

    def value(self, node: yaml.Node, path: tuple[Step, ...]) -> object:
        """The plain value of a node; every alias is a copy."""
        self.lines.setdefault(path, _line(node))
        if len(self.lines) > MAX_VALUES or len(path) > MAX_DEPTH:
            raise self._error(node, "aliases make the file grow too large")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path)
        raise self._error(node, f"tag {show(node.tag)} is not read", "leave the tag out: a suite holds plain values")

    def _mapping(self, node: yaml.MappingNode, path: tuple[Step, ...]) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise self._error(key_node, "a key must be text", "put it in quotes")
            if key in values:
                first = self.lines[(*path, key)]
                raise self._error(key_node, f"key {show(key)} stands twice, first on line {first}", "keep one of them")
            self.lines[(*path, key)] = _line(key_node)
            values[key] = self.value(value_node, (*path, key))
        return values

    def _scalar(self, node: yaml.ScalarNode) -> object:
        if len(node.value) > MAX_SCALAR_CHARACTERS:
            raise self._error(node, f"a single value of more than {MAX_SCALAR_CHARACTERS} characters")
        if node.tag in _TEXT_TAGS:
            return node.value
        if node.tag not in _NUMBER_TAGS:
            raise self._error(
                node, f"tag {show(node.tag)} is not read", "leave the tag out: a suite holds plain values"
            )
        try:
            value = self._scalars.construct_object(node)
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            raise self._error(node, f"{show(node.value)} is not a number", "put it in quotes if it is text") from error
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise self._error(node, "a number this large is not read")
        meanings = _two_meanings(node.value, value)
        if meanings:
            old, new = meanings
            what = f"{show(node.value)} means {old} to YAML 1.1 and {new} to YAML 1.2"
            either = old if new == "text" else f"{old} or {new}"
            raise self._error(node, what, f"write {either}, or {show(node.value)} in quotes if it is text")
        return value

    def _error(self, node: yaml.Node, what: str, hint: str = "") -> SuiteError:
        return SuiteError(f"{self.source}:{_line(node)}: {what}", hint=hint)


def _two_meanings(written: str, value: object) -> tuple[str, str] | None:
    """What an unquoted word or number is to YAML 1.1 and to 1.2, where that is not the same: yes and off, 010, 1:30.

    `value`: what it was read as, which is what 1.1 says.
    """
    if isinstance(value, bool):
        return None if written.lower() in {"true", "false"} else (show(value), "text")
    if ":" in written:
        return show(value), "text"
    if _OLD_OCTAL.fullmatch(written) and value != int(written):
        return show(value), show(int(written))
    return None


def _refuse_depth(text: str, source: str) -> None:
    """Raise SuiteError for nesting past MAX_DEPTH; read as events, because composing a tree recurses in C."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise SuiteError(f"{source}:{_line(event)}: lists and maps nest deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _line(part: yaml.Node | yaml.Event) -> int:
    assert part.start_mark is not None  # the loader marks all that it reads from text
    return part.start_mark.line + 1


def _leads_on(node: object, step: Step) -> bool:
    if isinstance(node, dict):
        return step in node
    return isinstance(node, list) and isinstance(step, int) and step < len(node)


def _format_path(path: tuple[Step, ...]) -> str:
    """`workloads[0].dtypes[1]`."""
    parts = (
        f"[{step}]" if isinstance(step, int) else "." + (step if step.isprintable() else ascii(step)) for step in path
    )
    return "".join(parts).removeprefix(".")
