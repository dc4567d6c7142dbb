"""report.md: a run as GitHub-flavoured markdown."""

from collections.abc import Iterable, Iterator, Sequence

from lnbench.cost_tables import GROUPS, CostTable, cost_table
from lnbench.record import Header
from lnbench.render.cells import speedup_text, time_text
from lnbench.render.outside import markdown
from lnbench.row_summary import RowSummary
from lnbench.units import format_bytes, format_percent
from lnbench.view import HOW_TO_READ, RunView, TableRow, WorkloadTable, fastest_legend


def render_report(view: RunView) -> str:
    """The whole report: how to read it, the machine, a table per workload, and how it was measured."""
    header = view.header
    lines = [f"# {markdown(header.suite)}", ""]
    if header.description:
        lines += [markdown(" ".join(header.description.split())), ""]
    if not view.completed:
        lines += ["**The run was interrupted:** what was measured before is shown.", ""]
    lines += [
        HOW_TO_READ,
        "",
        "## Machine",
        "",
        *_bullets(f"{name}: {value}" for name, value in _machine(header)),
        "",
        "## Results",
        "",
    ]
    for table in view.tables:
        lines += [*_workload(table), ""]
    lines += ["## How it was measured", "", *_bullets(_measuring(view)), "", "## Files", "", *_bullets(_FILES), ""]
    return "\n".join(lines)


_FILES = (
    "`run.jsonl`: the journal, every raw sample; all else is made from it",
    "`results.csv`: one row per case, phase and clock, in seconds and bytes",
    "`report.md`: this file",
)


def _machine(header: Header) -> Iterator[tuple[str, str]]:
    environment = header.environment
    caches = environment.caches
    yield "system", markdown(f"{environment.system} ({environment.machine}) {environment.libc}".strip())
    yield "processor", markdown(environment.cpu)
    yield "cores", f"{environment.physical_cores} physical, {environment.logical_cores} logical"
    for name, size_b in (("L2 cache", caches.l2_b), ("last-level cache", caches.last_level_b)):
        if size_b is not None:
            yield name, format_bytes(size_b)
    yield "memory", format_bytes(environment.memory_b)
    if environment.settings:
        yield "settings", markdown(", ".join(f"{name} {value}" for name, value in environment.settings.items()))
    for gpu in environment.gpus:
        memory = f", {format_bytes(gpu.memory_b)}" if gpu.memory_b is not None else ""
        yield f"GPU {gpu.index}", markdown(f"{gpu.name}{memory}")
    if environment.gpu_driver:
        yield "GPU driver", markdown(environment.gpu_driver)
    versions = {"python": environment.python, **environment.versions, "lnbench": header.lnbench_version}
    yield "versions", markdown(", ".join(f"{name} {version}" for name, version in versions.items() if version))


def _workload(table: WorkloadTable) -> Iterator[str]:
    yield from (f"### {markdown(table.title)}", "")
    yield from (f"{markdown('; '.join(table.caption))}.", "")
    heads = ("implementation", *(markdown(phase.value) for phase in table.phases))
    yield from _table(heads, ((_title(row), *(_cell(row, summary) for summary in row.cells)) for row in table.rows))
    if any(row.fastest for row in table.rows):
        yield from ("", f"**Bold**: {markdown(fastest_legend(table))}.")
    if table.footnotes:
        yield ""
        yield from (f"{number}. {markdown(text)}" for number, text in enumerate(table.footnotes, start=1))
    for name in GROUPS:
        yield from _costs(cost_table(table, name))


def _costs(table: CostTable) -> Iterator[str]:
    """A group of columns, folded; nothing where nothing was measured."""
    if not table.rows:
        return
    yield from ("", f"<details><summary>{table.title}</summary>", "")
    yield from _table(table.headings, ([markdown(text) for text in row] for row in table.rows))
    if table.note:
        yield from ("", markdown(table.note))
    yield from ("", "</details>")


def _title(row: TableRow) -> str:
    title = markdown(row.title)
    if row.status.has_times and row.status != "ok":
        title += f" ({row.status})"
    return title + (f" <sup>{', '.join(map(str, row.footnotes))}</sup>" if row.footnotes else "")


def _cell(row: TableRow, summary: RowSummary) -> str:
    if summary.median_s is None:
        return f"*{summary.status}*"
    text = "<br>".join(filter(None, (time_text(summary), speedup_text(summary))))
    return f"**{text}**" if summary.phase in row.fastest else text


def _measuring(view: RunView) -> Iterator[str]:
    header, sampling = view.header, view.header.sampling
    yield f"run {markdown(header.run_id)}, {markdown(header.created)}, seed {header.seed}"
    processes = "one process" if sampling.processes == 1 else f"{sampling.processes} processes"
    yield f"{processes} asked for, with {sampling.budget_s:g} s of timed rounds per workload and process"
    met = sum(event.stopped_by == "precision" for event in view.finished)
    yield (
        f"precision asked for: every speedup within ±{format_percent(sampling.precision)} inside a process; "
        f"met {met} of {len(view.finished)} times that a process finished a workload"
    )
    yield "all cases of a workload took turns in every round, in shuffled order, on the same inputs"
    if header.options:
        yield markdown("options: " + ", ".join(f"{name}={value}" for name, value in header.options.items()))
    yield from (f"note: {markdown(notice.text)}" for notice in view.notices)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---', *('---:' for _ in heads[1:])])} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    return (f"- {line}" for line in lines)
