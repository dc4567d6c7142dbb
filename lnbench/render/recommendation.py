"""What to use, for the terminal, as markdown and as JSON."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from lnbench.analysis.recommend import Certainty, Recommendation
from lnbench.render.advice import NOTHING, sentences
from lnbench.render.busy import busy_quotes, terminal_lines
from lnbench.render.cells import speedup_text, time_text
from lnbench.render.json import json_text
from lnbench.render.outside import markdown, plain
from lnbench.render.whole_table import WholeTable
from lnbench.units import format_seconds, format_significant
from lnbench.workload import Clock

HEADINGS = ("workload", "phase", "use", "over the reference", "known", "costs", "tied with", "left out")


def render_recommendations(found: Sequence[Recommendation], *, busy: str = "") -> RenderableType:
    """The sentences, then for each workload a line per phase with what it rests on.

    `busy`: a line for the top where other processes kept the machine busy.
    """
    parts: list[RenderableType] = [*terminal_lines([busy])]
    parts += [Text(plain(sentence)) for sentence in sentences(found) or [NOTHING]]
    for title, group in groupby(found, key=lambda it: it.title):
        parts += [Text(), Text(plain(title), style="bold")]
        grid = WholeTable.grid(padding=(0, 2))
        for it in group:
            lines = [Text(plain(it.use), style="bold green"), Text(": "), Text(plain(over_reference(it)))]
            answer = Text.assemble(*lines) if it.use else Text(f"undecided: {plain(it.why_not)}", style="yellow")
            grid.add_row(Text(f"  {_phase(it)}"), answer)
            told = (known_text(it), costs_text(it), tied_text(it), *caveat_texts(it), left_out_text(it))
            for line in filter(None, told):
                grid.add_row(Text(), Text(plain(line), style="dim"))
        parts.append(grid)
    return Group(*parts)


def render_markdown(found: Sequence[Recommendation], *, busy: str = "") -> str:
    """The sentences and a table, as a section of a report or alone."""
    return "\n".join([*busy_quotes([busy]), *markdown_lines(found), ""])


def markdown_lines(found: Sequence[Recommendation]) -> Iterator[str]:
    """The same, line by line."""
    for sentence in sentences(found) or [NOTHING]:
        yield from (markdown(sentence), "")
    if not found:
        return
    yield from ("<details><summary>For each workload</summary>", "")
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{' --- |' * len(HEADINGS)}"
    for it in found:
        yield f"| {' | '.join(map(markdown, cells_of(it)))} |"
    yield from ("", "</details>", "")


def render_json(found: Sequence[Recommendation], *, busy: str = "") -> str:
    """The same as JSON: null is what is not known."""
    lines = [busy] if busy else []
    return json_text(
        {"busy_machine": lines, "sentences": sentences(found), "recommendations": [_told(it) for it in found]}
    )


def cells_of(it: Recommendation) -> tuple[str, ...]:
    """What stands under HEADINGS."""
    others = ", ".join(title for title in it.fastest if title != it.use)
    use = it.use or f"undecided: {it.why_not}"
    costs = "; ".join(filter(None, (costs_text(it), *caveat_texts(it))))
    left_out = left_out_text(it).removeprefix("left out: ")
    return (it.title, _phase(it), use, over_reference(it), known_text(it), costs, others, left_out)


def over_reference(it: Recommendation) -> str:
    """How fast, and how many times as fast as the reference."""
    if it.row is None:
        return ""
    if it.certainty is Certainty.REFERENCE:
        return f"{time_text(it.row)}, the reference itself"
    return f"{time_text(it.row)}, {speedup_text(it.row)} times as fast as {it.reference}"


def known_text(it: Recommendation) -> str:
    """How sure that is."""
    if it.row is None or it.certainty is None:
        return ""
    if it.is_only_one:
        return f"the only {it.function} measured"
    if it.certainty is Certainty.REFERENCE:
        return "" if it.runner_up is None else f"next: {it.runner_up[0]}, {speedup_text(it.runner_up[1])}"
    count = it.row.speedup_processes or 0
    processes = f"{count} process{'es' if count != 1 else ''}"
    match it.certainty:
        case Certainty.SIGNIFICANT:
            return f"significant, from {processes}, also as the best of several"
        case Certainty.NOT_SIGNIFICANT:
            return f"not significant: as the best of several, {processes} do not tell it from 1"
        case _:
            return f"{processes} can't tell whether it is significant"


def costs_text(it: Recommendation) -> str:
    """What it costs beside time: memory against the reference, the first call, and when that has paid."""
    row = it.row
    if row is None:
        return ""
    parts = []
    if row.peak_memory_bytes is None:
        parts.append("memory not seen")
    if it.memory_ratio is not None:
        parts.append(f"{format_significant(it.memory_ratio, 2)}x the memory of {it.reference}")
    first_s = row.cold_first_call_s if row.cold_first_call_s is not None else row.warm_first_call_s
    if row.graphs and first_s is not None:
        warm = "cold" if row.cold_first_call_s is not None else "warm"
        parts.append(f"first call {format_seconds(first_s, digits=2)} ({warm})")
    if row.break_even_calls is not None and row.break_even_calls > 0:
        parts.append(f"pays off after {row.break_even_calls:,.0f} calls")
    return ", ".join(parts)


def tied_text(it: Recommendation) -> str:
    """Who else is as fast, as far as is known."""
    others = [title for title in it.fastest if title != it.use]
    return f"statistically tied with {', '.join(others)}" if others else ""


def left_out_text(it: Recommendation) -> str:
    """Who could not be recommended, and why."""
    names = [f"{title} ({why})" for title, why in (*it.unclear, *it.left_out)]
    return f"left out: {', '.join(names)}" if names else ""


def caveat_texts(it: Recommendation) -> list[str]:
    """What has to be known of it, in the words of its notices."""
    return [f"{notice.code}: {notice.text.removeprefix(f'{notice.code}: ')}" for notice in it.caveats]


def _phase(it: Recommendation) -> str:
    clock = "" if it.clock is Clock.WALL else f", {it.clock} clock"
    return f"{it.phase.value}{f' ({it.norm_mode})' if it.norm_mode else ''}{clock}"


def _told(it: Recommendation) -> dict[str, object]:
    row = it.row
    return {
        "workload": it.workload,
        "phase": it.phase.value,
        "clock": it.clock.value,
        "norm_mode": it.norm_mode or None,
        "function": it.function,
        "reference": it.reference,
        "use": it.use or None,
        "why_not": it.why_not or None,
        "fastest": list(it.fastest),
        "is_tie": it.is_tie,
        "certainty": it.certainty and it.certainty.value,
        "processes": row and row.processes,
        "speedup_processes": row and row.speedup_processes,
        "median_s": row and row.median_s,
        "speedup": row and row.speedup,
        "speedup_low": row and row.speedup_low,
        "speedup_high": row and row.speedup_high,
        "runner_up": it.runner_up and {"use": it.runner_up[0], "speedup": it.runner_up[1].speedup},
        "peak_memory_bytes": row and row.peak_memory_bytes,
        "memory_ratio": it.memory_ratio,
        "cold_first_call_s": row and row.cold_first_call_s,
        "warm_first_call_s": row and row.warm_first_call_s,
        "break_even_calls": row and row.break_even_calls,
        "is_only_one": it.is_only_one,
        "unclear": [title for title, _ in it.unclear],
        "why_unclear": {title: why.value for title, why in it.unclear},
        "left_out": dict(it.left_out),
        "caveats": [{"code": notice.code, "text": notice.text} for notice in it.caveats],
    }
