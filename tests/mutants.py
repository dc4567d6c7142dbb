"""Inputs that are nearly right: journals, suites and command lines, mutated as values and as bytes."""

import contextlib
import gzip
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import yaml
from hypothesis import strategies as st
from specimens import MATCHING_SUITE, OTHER_RUN, SAMPLES, read_samples, read_suites

HOSTILE_TEXT = (
    *("", " ", "\x1b[2J\x1b]0;title\x07", "a\nb", "\r\n::error::x", "\u202egnp", "\u2028", "=SUM(A1)", "-1+1"),
    *("<script>alert(1)</script>", "|a|b|", "`x`", "[a](http://x)", "../../etc/passwd", "/dev/zero", "[bold]", "\x00"),
    *(
        "\x7f\x9b31m",
        "%s%n{0}",
        "é" * 300,
        "a" * 5000,
        "NaN",
        "1e5",
        "~",
        "null",
        "ﬁ",
        "🙂",
        "\ufeff",
        "git:x",
        "@base",
    ),
)
HOSTILE_NUMBERS = (
    *(0, -1, 1, 2, 2**31 - 1, 2**31, 2**53, 2**63, 10**18, 10**30, 10**400, -(10**18), True, False, None),
    *(0.0, -0.0, 1e-5, 0.5, 1e-300, 5e-324, 1e300, 1.7e308, float("inf"), float("-inf"), float("nan")),
)
hostile_texts = st.sampled_from(HOSTILE_TEXT) | st.text(max_size=12)
hostile_values = st.one_of(
    st.sampled_from(HOSTILE_NUMBERS),
    hostile_texts,
    st.sampled_from([[], {}, [[]], [None], [1, 2, 3], {"": 1}, [[[[[[]]]]]], ["a"] * 50, [10**6] * 4]),
    st.floats(),
    st.integers(-3, 40),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every part of a plain value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


def mutate_value(draw: Any, value: Any) -> Any:
    """A plain value with one part replaced, taken out, doubled, or given a sibling."""
    *steps, last = draw(st.sampled_from([path for path in places(value) if path] or [(0,)]))
    node = value
    for step in steps:
        node = node[step]
    if not isinstance(node, dict | list):
        return deepcopy(draw(hostile_values))
    kind = draw(st.sampled_from([*["replace"] * 8, "remove", "double", "swap", "add"]))
    if kind == "remove":
        del node[last]
    elif kind == "double" and isinstance(node, list):
        node.insert(last, node[last])
    elif kind == "swap" and isinstance(node, list):
        node.reverse()
    elif kind == "add" and isinstance(node, dict):
        node[draw(hostile_texts)] = deepcopy(
            draw(hostile_values)
        )  # what is mutated next must not be the strategy's own
    else:
        node[last] = replacement(draw, node[last])
    return value


def replacement(draw: Any, value: Any) -> Any:
    """Mostly something of the same kind, which gets further than what the first look refuses."""
    kind = draw(st.integers(0, 3))
    if kind and isinstance(value, str):
        return draw(hostile_texts)
    if kind and isinstance(value, float):
        return draw(
            st.sampled_from([0.0, 1e-15, 1e-12, 1e-9, 1e-3, 0.5, 1.0, 60.0, 1e9, value / 3, value * 1e3, -value])
        )
    if kind and isinstance(value, int) and not isinstance(value, bool):
        return draw(st.sampled_from([0, 1, 2, 3, 5, value + 1, max(value - 1, 0), 2**31 - 1, 2**40, 2**62]))
    return deepcopy(draw(hostile_values))


def mutate_everywhere(draw: Any, lines: Sequence[bytes], number: int) -> list[bytes]:
    """The same part of every line with the event of line `number` replaced or taken out, as if none had had it."""
    events = [json.loads(line) for line in lines]
    chosen = events[number]
    *steps, last = draw(st.sampled_from([path for path in places(chosen) if path] or [("event",)]))
    removed, value = draw(st.booleans()), draw(hostile_values)
    for event in events:
        if event.get("event") != chosen.get("event"):
            continue
        node = event
        with contextlib.suppress(KeyError, IndexError, TypeError):
            for step in steps:
                node = node[step]
            if removed:
                del node[last]
            else:
                node[last] = deepcopy(value)
    return [json.dumps(event).encode() for event in events]


def mutate_bytes(draw: Any, data: bytes) -> bytes:
    """Bytes cut, doubled, overwritten or filled."""
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(start + 200, len(data))))
    junk = draw(
        st.one_of(
            st.binary(max_size=8),
            st.sampled_from(
                [
                    b"[" * 3000,
                    b"\xff\xfe",
                    b"\x00" * 100,
                    b"9" * 5000,
                    b'"\\ud800"',
                    b"&a [*a]",
                    b"!!python/object:x",
                    b"{" * 40,
                ]
            ),
        )
    )
    return data[:start] + junk + data[end:]


@st.composite
def journals(draw: Any, samples: Sequence[list[bytes]] = tuple(read_samples())) -> tuple[str, bytes]:
    """A file's name and a journal that may be damaged."""
    lines = list(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 3))):
        number = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from([*["value"] * 8, "everywhere", "everywhere", "bytes", "remove", "double", "move"]))
        if kind == "value":
            with contextlib.suppress(ValueError, RecursionError):
                lines[number] = json.dumps(mutate_value(draw, json.loads(lines[number]))).encode()
        elif kind == "everywhere":
            with contextlib.suppress(ValueError, RecursionError, AttributeError):  # of lines that are damaged already
                lines = mutate_everywhere(draw, lines, number)
        elif kind == "bytes":
            lines[number] = mutate_bytes(draw, lines[number])
        elif kind == "remove" and len(lines) > 1:
            del lines[number]
        elif kind == "double":
            lines.insert(number, lines[number])
        else:
            lines.insert(draw(st.integers(0, len(lines) - 1)), lines.pop(number))
    data = b"\n".join(lines) + draw(st.sampled_from([b"\n", b"\n", b"", b'\n{"event":']))
    if draw(st.integers(0, 5)):
        return "run.jsonl", data
    packed = gzip.compress(data, 1, mtime=0)
    return "run.jsonl.gz", mutate_bytes(draw, packed) if draw(st.booleans()) else packed


@st.composite
def suites(draw: Any, texts: Sequence[str] = tuple(read_suites())) -> bytes:
    """A suite file that may be damaged."""
    text = draw(st.sampled_from(texts))
    kind = draw(st.sampled_from(["value", "value", "bytes", "both"]))
    if kind != "bytes":
        value = yaml.safe_load(text)
        for _ in range(draw(st.integers(1, 3))):
            value = mutate_value(draw, value)
        with contextlib.suppress(yaml.YAMLError):
            text = yaml.safe_dump(value, allow_unicode=draw(st.booleans()), sort_keys=False)
    data = text.encode(errors="replace")
    return data if kind == "value" else mutate_bytes(draw, data)


WORDS = (
    "latest run.jsonl other.jsonl mine.yaml quick ci . - -- cpu cuda:0 dtype=float32 fused,eager 0.03 -1 1e999 nan "
    "terminal markdown csv json junit all time json=out.json csv= = x=y * machine missing eval"
)
OPTIONS = (
    "--only --implementation -i --device --processes --precision --budget --seed --timeout --margin --format -f "
    "--columns --samples --allow-different --allow --strict --quiet --debug --help --output --version --baseline "
    "--nonsense --energy"
)
COMMANDS = (
    "report|report run.jsonl|history|history .|compare|compare run.jsonl|compare run.jsonl run.jsonl|baseline|"
    "baseline run.jsonl|list|list cases|list suites|schema|nonsense|list implementations|list cases quick|"
)
DRY_RUNS = "run --dry-run|run --dry-run quick|run --dry-run mine.yaml"
"""--dry-run stands first, so that no `--` before it can make it a mere word."""

REPORTS = "|-f markdown|-f csv|-f json|-f csv --samples|--columns all|-f junit|-f github|-f gitlab"
HISTORIES = "|-f html|-f markdown|-f csv|-f json|--margin 0.01"
COMPARISONS = "|-f markdown|-f csv|-f json|--allow-different machine,suite"


def one_of(table: str) -> st.SearchStrategy[list[str]]:
    """The words of one entry of a table."""
    return st.sampled_from(table.split("|")).map(str.split)


words = st.one_of(
    st.sampled_from(WORDS.split()),
    st.sampled_from(["", "1" * 50, "a" * 300, "n\x00l", "\ud800", "\x1b[2J"]),
    hostile_texts.map(lambda text: text.replace("/", "_")),
)
options = st.sampled_from(OPTIONS.split())
extras = st.lists(st.one_of(words, options, st.tuples(options, words).map("=".join)), max_size=4)


@dataclass(frozen=True)
class Input:
    """A command line, and the files that stand in its folder."""

    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)


def _reports(found: tuple[str, bytes]) -> st.SearchStrategy[Input]:
    name, data = found
    files = {name: data, "other.jsonl": OTHER_RUN, "mine.yaml": MATCHING_SUITE}
    return st.one_of(
        one_of(REPORTS).map(lambda more: Input(("report", name, *more), files)),
        one_of(COMPARISONS).map(lambda more: Input(("compare", name, "other.jsonl", *more), files)),
        one_of(COMPARISONS).map(lambda more: Input(("compare", "other.jsonl", name, *more), files)),
        one_of(HISTORIES).map(lambda more: Input(("history", ".", *more), files)),
        st.just(Input(("baseline", name, "-o", "small.jsonl"), files)),
        st.just(Input(("run", "--dry-run", "--resume", name, "--force"), {**files, "run.jsonl.turns": OTHER_RUN})),
        st.just(Input(("check", "mine.yaml", "--baseline", name, "--dry-run"), files)),
    )


def _plans(data: bytes) -> st.SearchStrategy[Input]:
    files = {"mine.yaml": data}
    return st.sampled_from(
        [
            Input(("run", "mine.yaml", "--dry-run"), files),
            Input(("list", "cases", "mine.yaml"), files),
            Input(("list", "cases", "mine.yaml", "--only", "dtype=float32", "--device", "cpu"), files),
        ]
    )


def _command_lines(more: list[str]) -> st.SearchStrategy[Input]:
    sample = (SAMPLES / "schema-4.jsonl").read_bytes()
    files = {"run.jsonl": sample, "mine.yaml": read_suites()[0].encode()}
    starts = one_of(COMMANDS) | one_of(DRY_RUNS)
    return starts.map(lambda start: Input((*start, *more), files))


inputs = st.one_of(
    journals().flatmap(_reports), journals().flatmap(_reports), suites().flatmap(_plans), extras.flatmap(_command_lines)
)
