"""One row of a run's results: a case, a phase and a clock, with every figure that tables show."""

from dataclasses import dataclass

from lnbench.planned import Notice, Status
from lnbench.workload import Clock, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSummary:
    """One case, phase and clock. Each field but `case` is a column of results.csv; None is what was not measured.

    `case` is the case's number in the plan. Bounds are those of 95 % intervals, and None where too little was measured
    to give any. Times are empty unless the status has times.
    """

    case: int

    run_id: str
    suite: str
    lnbench_version: str
    torch_version: str | None
    commit: str
    dirty: bool | None

    workload: str
    label: str
    device: str
    device_name: str | None
    dtype: str
    param_dtype: str
    input_shape: str
    normalized_shape: str
    rows: int
    features: int
    affine: str
    eps: float
    threads: int
    cache: str
    allocator: str
    layout: str
    gradients: str
    autocast: str
    norm_axes: str
    reference: str

    implementation: str
    function: str
    norm_mode: str
    phase: Phase
    clock: Clock
    status: Status
    reason: str
    processes: int = 0
    rounds: int = 0
    samples: int = 0
    median_s: float | None = None
    low_s: float | None = None
    high_s: float | None = None
    min_s: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    minimum_bytes: int | None = None
    gb_per_s: float | None = None
    percent_of_copy: float | None = None
    notices: tuple[Notice, ...] = ()

    bytes_bound: str = ""
    limited_by: str = ""
    faults_per_call: float | None = None
    peak_memory_bytes: int | None = None
    temporary_bytes: int | None = None
    saved_bytes: int | None = None
    output_bytes: int | None = None
    nvml_process_bytes: int | None = None
    nvml_device_bytes: int | None = None
    energy_per_call_j: float | None = None
    energy_per_gb_j: float | None = None
    energy_window_s: float | None = None
    idle_power_w: float | None = None
    cold_first_call_s: float | None = None
    warm_first_call_s: float | None = None
    graphs: int | None = None
    graph_breaks: int | None = None
    recompilations: int | None = None
    break_even_calls: float | None = None
    break_even_calls_eager: float | None = None
    max_relative_error: float | None = None
    y_error_eps: float | None = None
    dx_error_eps: float | None = None
    dweight_error_eps: float | None = None
    dbias_error_eps: float | None = None
    hard_error_eps: float | None = None
    repeats: bool | None = None
    dropped_rounds: int | None = None
    steal_percent: float | None = None
    quota_percent: float | None = None
    involuntary_switches_per_s: float | None = None
    load: float | None = None
    frequency_hz: float | None = None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    throttling: str | None = None
    flushes_denormals: bool | None = None
    speedup_processes: int | None = None
    undisturbed_share: float | None = None
    cpu_s: float | None = None
    judged_by: str = ""
    dalpha_error_eps: float | None = None
    percent_of_peak: float | None = None
    host_overhead_s: float | None = None
    kernel_s: float | None = None
    launches: float | None = None
