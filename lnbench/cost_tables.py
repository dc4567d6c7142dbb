"""The groups of columns beside time, as tables of text: traffic, memory, energy, accuracy and so on."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lnbench.costs import TENSORS
from lnbench.row_summary import RowSummary
from lnbench.units import format_bytes, format_seconds, format_significant
from lnbench.view import WorkloadTable
from lnbench.workload import Phase, is_cuda

TIME = "time"
"""The group that every table shows unless others are asked for."""


@dataclass(frozen=True, slots=True)
class CostColumn:
    """A heading, and what stands under it; "" where nothing was measured. `note`: what is said where it is shown."""

    heading: str
    text: Callable[[RowSummary], str]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Columns that belong together. `by_phase`: each phase has a line of its own; else a case has one.

    `absent`: what is said where nothing was measured. `untimed`: rows without times have a line, too. `by_clock`: each
    phase has a line on every clock.
    """

    title: str
    columns: tuple[CostColumn, ...]
    by_phase: bool
    absent: str
    note: str = ""
    untimed: bool = False
    by_clock: bool = False


@dataclass(frozen=True, slots=True)
class CostTable:
    """One group of one workload; columns in which nothing stands are left out. Without rows, `note` says why."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def _number(name: str, digits: int = 3, *, scale: float = 1.0, unit: str = "") -> Callable[[RowSummary], str]:
    def text(row: RowSummary) -> str:
        value = getattr(row, name)
        if value is None:
            return ""
        return "never" if math.isinf(value) else f"{format_significant(scale * value, digits)}{unit}"

    return text


def _judged(text: Callable[[RowSummary], str]) -> Callable[[RowSummary], str]:
    """The same for rows whose samples were judged, and nothing for others."""
    return lambda row: text(row) if row.judged_by else ""


def _count(name: str) -> Callable[[RowSummary], str]:
    def text(row: RowSummary) -> str:
        value = getattr(row, name)
        return "" if value is None else "never" if math.isinf(value) else f"{value:,.0f}"

    return text


def _seconds(name: str) -> Callable[[RowSummary], str]:
    def text(row: RowSummary) -> str:
        value = getattr(row, name)
        return "" if value is None else format_seconds(value, digits=3)

    return text


def _bytes(name: str) -> Callable[[RowSummary], str]:
    def text(row: RowSummary) -> str:
        value = getattr(row, name)
        return "" if value is None else format_bytes(value)

    return text


def _on_gpu(text: Callable[[RowSummary], str]) -> Callable[[RowSummary], str]:
    """The same for rows of a GPU, and nothing for others."""
    return lambda row: text(row) if is_cuda(row.device) else ""


def _repeats(row: RowSummary) -> str:
    return "" if row.repeats is None else "yes" if row.repeats else "no"


def _denormals(row: RowSummary) -> str:
    return "" if row.flushes_denormals is None else "flushed" if row.flushes_denormals else "kept"


GROUPS: Mapping[str, Group] = MappingProxyType(
    {
        "traffic": Group(
            "Traffic",
            (
                CostColumn("minimal bytes", _bytes("minimum_bytes")),
                CostColumn("bound", lambda row: row.bytes_bound),
                CostColumn("GB/s", _number("gb_per_s")),
                CostColumn("% of copy", _number("percent_of_copy", 2)),
                CostColumn(
                    "% of peak",
                    _number("percent_of_peak", 2),
                    note="% of peak: against 2 x memory clock x bus width, which no copy reaches.",
                ),
                CostColumn("page faults a call", _number("faults_per_call", 2)),
                CostColumn("limited by", lambda row: row.limited_by.removesuffix("-bound").replace("-", " ")),
            ),
            True,
            "no bytes are known for these functions",
            "GB/s: minimal bytes / time, 1 GB = 1e9 bytes. % of copy: against a copy in the same rounds, with the same "
            "threads and working set.",
        ),
        "memory": Group(
            "Memory",
            (
                CostColumn("peak above inputs", _bytes("peak_memory_bytes")),
                CostColumn("output", _bytes("output_bytes")),
                CostColumn("saved for backward", _bytes("saved_bytes")),
                CostColumn("temporary peak", _bytes("temporary_bytes")),
                CostColumn("NVML process", _bytes("nvml_process_bytes")),
                CostColumn("NVML device", _bytes("nvml_device_bytes")),
            ),
            True,
            "no memory was measured",
            "From the framework's allocator, in a call of its own; backward's peak includes y and what was saved.",
        ),
        "energy": Group(
            "Energy",
            (
                CostColumn("per call", _number("energy_per_call_j", 3, unit=" J")),
                CostColumn("per GB", _number("energy_per_gb_j", 3, unit=" J")),
                CostColumn("idle, subtracted", _number("idle_power_w", 3, unit=" W")),
                CostColumn("window", _seconds("energy_window_s")),
            ),
            True,
            "no energy was measured: `lnbench run --energy` does, where there is a counter that can be read",
        ),
        "accuracy": Group(
            "Accuracy",
            (
                *(CostColumn(name, _number(f"{name}_error_eps", 2)) for name in TENSORS),
                CostColumn("hard inputs", _number("hard_error_eps", 2)),
                CostColumn("backward repeats to the bit", _repeats),
            ),
            False,
            "nothing was verified",
            "The largest error against float64 as a share of the largest value, in units of the dtype's epsilon.",
        ),
        "compile": Group(
            "Compiling",
            (
                CostColumn("first call, cold", _seconds("cold_first_call_s")),
                CostColumn("first call, warm", _seconds("warm_first_call_s")),
                CostColumn("graphs", _count("graphs")),
                CostColumn("breaks", _count("graph_breaks")),
                CostColumn("recompilations", _count("recompilations")),
                CostColumn("pays off", _count("break_even_calls")),
                CostColumn("against eager", _count("break_even_calls_eager")),
            ),
            False,
            "nothing was built",
            "Pays off: the steps (or calls of the last phase) after which compiling has cost less than the reference, "
            "and than eager, first calls included.",
        ),
        "conditions": Group(
            "Conditions",
            (
                CostColumn("rounds dropped", _count("dropped_rounds")),
                CostColumn("steal", _number("steal_percent", 2, unit=" %")),
                CostColumn("held by quota", _number("quota_percent", 2, unit=" %")),
                CostColumn("preempted", _number("involuntary_switches_per_s", 2, unit="/s")),
                CostColumn("load", _number("load", 2)),
                CostColumn("frequency", _number("frequency_hz", 3, scale=1e-9, unit=" GHz")),
                CostColumn("SM clock", _number("sm_clock_hz", 3, scale=1e-9, unit=" GHz")),
                CostColumn("memory clock", _number("memory_clock_hz", 3, scale=1e-9, unit=" GHz")),
                CostColumn("power", _number("power_w", 3, unit=" W")),
                CostColumn("hottest", _number("temperature_c", 3, unit=" °C")),
                CostColumn("throttling", lambda row: row.throttling or ""),
                CostColumn("denormals", _denormals),
            ),
            False,
            "no conditions were read",
        ),
        "disturbance": Group(
            "Disturbance",
            (
                CostColumn("undisturbed", _judged(_number("undisturbed_share", 3, scale=100, unit=" %"))),
                CostColumn("samples", _judged(_count("samples"))),
                CostColumn("rounds", _judged(_count("rounds"))),
                CostColumn("CPU time a call", _judged(_seconds("cpu_s"))),
                CostColumn("judged by", lambda row: row.judged_by),
                CostColumn("preempted", _judged(_number("involuntary_switches_per_s", 2, unit="/s"))),
                CostColumn("load", _judged(_number("load", 2))),
                CostColumn("steal", _judged(_number("steal_percent", 2, unit=" %"))),
            ),
            True,
            "not recorded: baselines, and journals before version 7, hold none of it",
            "Undisturbed: no thread of the process waited for a core that another process used. Figures rest on these "
            "alone; samples and rounds count them.",
            untimed=True,
        ),
        "clocks": Group(
            "Clocks",
            (
                CostColumn("time", _on_gpu(_seconds("median_s"))),
                CostColumn("speedup", _on_gpu(_number("speedup", 3))),
                CostColumn("% of copy", _on_gpu(_number("percent_of_copy", 2))),
                CostColumn("host overhead", _on_gpu(_seconds("host_overhead_s"))),
                CostColumn("kernel time", _on_gpu(_seconds("kernel_s"))),
                CostColumn("launches", _on_gpu(_number("launches", 3))),
                CostColumn("status", _on_gpu(lambda row: "" if row.status.has_times else row.status.value)),
            ),
            True,
            "one clock alone: rows of the CPU have no other than the wall clock",
            "wall: the host's time to completion. device: events around each call. batch: events around many calls in "
            "a row. graph: events around replays of a CUDA graph. Host overhead: the host's time to enqueue a call. "
            "Kernel time and launches: the kernels, copies and fills of a call, from torch.profiler.",
            by_clock=True,
        ),
    }
)
"""Every group but time, by the name that --columns takes."""


def cost_table(table: WorkloadTable, name: str) -> CostTable:
    """A group of columns for one workload."""
    group = GROUPS[name]
    lines = list(_lines(table, group))
    texts = [[column.text(row) for column in group.columns] for _, row in lines]
    used = [place for place in range(len(group.columns)) if any(line[place] for line in texts)]
    kept = [(heads, line) for (heads, _), line in zip(lines, texts, strict=True) if any(line)]
    if not kept:
        return CostTable(group.title, (), (), group.absent)
    parts = (("implementation", True), ("phase", group.by_phase), ("clock", group.by_clock))
    first = tuple(heading for heading, is_shown in parts if is_shown)
    return CostTable(
        title=group.title,
        headings=(*first, *(group.columns[place].heading for place in used)),
        rows=tuple((*heads, *(line[place] for place in used)) for heads, line in kept),
        note=" ".join(filter(None, (group.note, *(group.columns[place].note for place in used)))),
    )


def _lines(table: WorkloadTable, group: Group) -> Iterator[tuple[tuple[str, ...], RowSummary]]:
    """What each line begins with, and the row that it tells of."""
    for case in table.rows:
        if group.by_clock:
            if any(row.median_s is not None for row in case.every_clock):
                yield from (((case.title, row.phase.value, row.clock.value), row) for row in case.every_clock)
        elif group.by_phase:
            shown = (cell for cell in case.cells if cell.median_s is not None or group.untimed)
            yield from (((case.title, cell.phase.value), cell) for cell in shown)
        else:
            whole = (cell for cell in case.cells if cell.phase is Phase.FORWARD_BACKWARD)
            yield (case.title,), next(whole, case.cells[-1])
