"""Tables as values: the columns of results.csv and of the raw samples, each defined once for every output."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from lnbench.amounts import LEAST_SEEN_S
from lnbench.case_turns import kinds_of
from lnbench.events import PROBE_CASE, Turn
from lnbench.evidence import Evidence
from lnbench.record import Run
from lnbench.row_summary import RowSummary
from lnbench.summaries import summarize
from lnbench.workload import Clock

Dtype = Literal["string", "Int64", "float64", "boolean"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and the pandas dtype that reads it back, also where values are missing."""

    name: str
    dtype: Dtype


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns and rows of plain values in base units; None is what was not measured."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    @property
    def dtypes(self) -> dict[str, str]:
        """The map for `pandas.read_csv(..., dtype=...)`; `READING` is what else it needs."""
        return {column.name: column.dtype for column in self.columns}


def _columns(**dtypes: Dtype) -> tuple[Column, ...]:
    return tuple(Column(name, dtype) for name, dtype in dtypes.items())


RESULT_COLUMNS = _columns(
    run_id="string",
    suite="string",
    workload="string",
    label="string",
    implementation="string",
    function="string",
    norm_mode="string",
    device="string",
    device_name="string",
    dtype="string",
    param_dtype="string",
    input_shape="string",
    normalized_shape="string",
    rows="Int64",
    features="Int64",
    affine="string",
    eps="float64",
    threads="Int64",
    cache="string",
    allocator="string",
    layout="string",
    phase="string",
    clock="string",
    status="string",
    reason="string",
    processes="Int64",
    rounds="Int64",
    samples="Int64",
    median_s="float64",
    low_s="float64",
    high_s="float64",
    min_s="float64",
    reference="string",
    speedup="float64",
    speedup_low="float64",
    speedup_high="float64",
    minimum_bytes="Int64",
    gb_per_s="float64",
    percent_of_copy="float64",
    peak_memory_bytes="Int64",
    saved_bytes="Int64",
    nvml_process_bytes="Int64",
    nvml_device_bytes="Int64",
    energy_per_call_j="float64",
    cold_first_call_s="float64",
    warm_first_call_s="float64",
    max_relative_error="float64",
    faults_per_call="float64",
    notices="string",
    torch_version="string",
    lnbench_version="string",
    bytes_bound="string",
    limited_by="string",
    temporary_bytes="Int64",
    output_bytes="Int64",
    energy_per_gb_j="float64",
    energy_window_s="float64",
    idle_power_w="float64",
    graphs="Int64",
    graph_breaks="Int64",
    recompilations="Int64",
    break_even_calls="float64",
    break_even_calls_eager="float64",
    y_error_eps="float64",
    dx_error_eps="float64",
    dweight_error_eps="float64",
    dbias_error_eps="float64",
    hard_error_eps="float64",
    repeats="boolean",
    dropped_rounds="Int64",
    steal_percent="float64",
    quota_percent="float64",
    involuntary_switches_per_s="float64",
    load="float64",
    frequency_hz="float64",
    sm_clock_hz="float64",
    memory_clock_hz="float64",
    power_w="float64",
    temperature_c="float64",
    throttling="string",
    flushes_denormals="boolean",
    gradients="string",
    autocast="string",
    commit="string",
    dirty="boolean",
    speedup_processes="Int64",
    undisturbed_share="float64",
    cpu_s="float64",
    judged_by="string",
    dalpha_error_eps="float64",
    percent_of_peak="float64",
    norm_axes="string",
    host_overhead_s="float64",
    kernel_s="float64",
    launches="float64",
)
"""results.csv, column by column: each is a field of RowSummary."""

SAMPLE_COLUMNS = _columns(
    run_id="string",
    workload="string",
    implementation="string",
    norm_mode="string",
    process="Int64",
    round="Int64",
    started_s="float64",
    phase="string",
    clock="string",
    calls="Int64",
    sample_s="float64",
    sample="Int64",
    undisturbed="boolean",
    delay_s="float64",
    wakeups="Int64",
    involuntary="Int64",
    voluntary="Int64",
    cpu_s="float64",
)
"""The raw samples, one per row; `disposal` stands among the phases."""

RESULT_DTYPES: dict[str, str] = {column.name: column.dtype for column in RESULT_COLUMNS}
"""The map for `pandas.read_csv("results.csv", dtype=...)`, which copies it and so takes no read-only map."""


READING: Mapping[str, Any] = MappingProxyType({"keep_default_na": False, "na_values": [""]})
"""What `pandas.read_csv` takes beside the dtypes: only empty is missing, for a label may be "NA", "None" or "null"."""


def results_table(run: Run) -> Table:
    """results.csv as a value: one row per case, phase and clock of the plan."""
    return summaries_table(summarize(run))


def summaries_table(summaries: Iterable[RowSummary]) -> Table:
    """The same of summaries that are at hand."""
    return Table(RESULT_COLUMNS, tuple(map(_result_row, summaries)))


def samples_table(run: Run) -> Table:
    """Every raw sample of a run in long form, the probe's left out, in the order in which they were taken."""
    turns, evidence = run.log.turns, Evidence(run)
    kept: dict[tuple[int, str], bool] = {}
    for number in range(len(run.header.cases)):
        for kind, numbers, flags in evidence.undisturbed(number):
            kept |= {(place, kind): flag for place, flag in zip(numbers, flags, strict=True)}
    rows = (
        row
        for number in np.flatnonzero(turns.case != PROBE_CASE).tolist()
        for row in _sample_rows(run, turns.turn(number), number, kept)
    )
    return Table(SAMPLE_COLUMNS, tuple(rows))


def _result_row(summary: RowSummary) -> tuple[Value, ...]:
    codes = ";".join(dict.fromkeys(notice.code for notice in summary.notices))
    return tuple(
        codes if column.name == "notices" else _plain(getattr(summary, column.name)) for column in RESULT_COLUMNS
    )


def _sample_rows(
    run: Run, turn: Turn, number: int, kept: Mapping[tuple[int, str], bool]
) -> Iterator[tuple[Value, ...]]:
    """`kept`: which samples are undisturbed, by the number of the turn and the kind of call, where that is known."""
    key = run.key(run.header.cases[turn.case])
    for clock in Clock:
        samples: Mapping[str, float] = getattr(turn, clock.field)
        calls: Mapping[str, int] = getattr(turn, clock.calls_field) or turn.calls
        for phase, sample_s in samples.items():
            kind = next((it for it in kinds_of(phase) if it in turn.calls), "")
            shared = (run.header.run_id, *key, turn.process, turn.round, turn.started_s)
            usage = (turn.delay_s, turn.wakeups, turn.involuntary, turn.voluntary, turn.cpu_s)
            seen = (found.get(kind) for found in usage)
            yield (
                *shared,
                phase,
                clock.value,
                calls.get(kind),
                sample_s if sample_s >= LEAST_SEEN_S else None,
                turn.sample,
                kept.get((number, kind)) if clock is Clock.WALL else None,
                *seen,
            )


def _plain(value: Value) -> Value:
    """Enums are told by their value, so that a table holds nothing but plain text and numbers."""
    return str(value) if isinstance(value, str) else value
