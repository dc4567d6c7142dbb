"""Names by which other tools join the rows of one run to those of the next: the same row always has the same one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256

from lnbench.exported import ExportedRow
from lnbench.render.outside import plain
from lnbench.units import format_seconds, format_significant

_HASH_DIGITS = 8


def row_name(row: ExportedRow) -> str:
    """Workload, implementation with its mode, and phase: what is unique in a run."""
    return plain(f"{row.summary.workload} {row.title} {row.summary.phase}")


def within_bytes(text: str, most: int) -> str:
    """The text, if it has at most so many bytes; else its beginning and a digest that keeps it apart from others."""
    content = text.encode()
    if len(content) <= most:
        return text
    ending = f"~{sha256(content).hexdigest()[:_HASH_DIGITS]}"
    return content[: most - len(ending)].decode(errors="ignore") + ending


def told_apart(names: Iterable[str]) -> Iterator[str]:
    """The names; one that stood before (made harmless, two can read the same) with its number."""
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def about(row: ExportedRow) -> Iterator[str]:
    """What a reader of a chart wants to know of a point: times, sampling, versions, and what was noticed."""
    summary = row.summary
    assert summary.median_s is not None  # exported rows have times
    known = f"median {format_seconds(summary.median_s)}"
    if summary.low_s is not None and summary.high_s is not None:
        known += f" ({format_seconds(summary.low_s)} to {format_seconds(summary.high_s)})"
    yield f"{known}, {summary.clock} clock"
    if summary.speedup is not None and not row.is_reference:
        yield f"speedup over {plain(row.reference)}: {format_significant(summary.speedup, 4)}"
    yield f"{summary.rounds} rounds in {summary.processes} process{'es' if summary.processes != 1 else ''}"
    yield plain(f"{summary.device_name or summary.device}, torch {summary.torch_version or '?'}")
    if summary.status != "ok":
        yield plain(f"{summary.status}: {summary.reason}")
    codes = ", ".join(dict.fromkeys(notice.code for notice in summary.notices))
    if codes:
        yield plain(f"notices: {codes}")
