"""On a real NVIDIA GPU: the event clock, NVML and whole runs. The same logic runs against fakes everywhere else."""

from time import perf_counter
from types import SimpleNamespace

import pytest
import torch
from command import journal, results, run_lnbench
from fake_clocks import OneCopy

from lnbench.measure.cuda import CudaSampler, TorchEventClock, device_name, device_uuid, missing_device
from lnbench.measure.event_timer import EVENT_STEP_S
from lnbench.measure.nvml import Nvml

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(bool(missing_device("cuda")), reason=f"needs an NVIDIA GPU: {missing_device('cuda')}"),
]

MIB = 1 << 20
SUITE = """
name: gpu-trial
reference: fused
implementations: [eager, fused]
workloads:
  - shapes: [[8, 16], [4096, 4096]]
    devices: cuda
    cache: [hot, cold]
sampling: {processes: 1, precision: 1.0e-6, budget_s: 1}
"""


WARM_S = 1.0
"""An idle card raises its clocks in a few tenths of a second."""


@pytest.fixture(scope="module")
def warm_card():
    """The card at the clocks that it has under load."""
    x = torch.randn(2048, 2048, device="cuda")
    ends = perf_counter() + WARM_S
    while perf_counter() < ends:
        x @ x
        torch.cuda.synchronize()


@pytest.fixture(scope="module")
def clock(warm_card):
    return TorchEventClock("cuda")


@pytest.fixture(scope="module")
def trial(tmp_path_factory, warm_card):
    """A run of a small and a large shape, hot and cold, all phases."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "trial.yaml").write_text(SUITE)
    done = run_lnbench(folder, "run", "trial.yaml", "--output", "run")
    assert done.code == 0, done.stderr
    return SimpleNamespace(done=done, run=folder / "run", rows=results(folder / "run"))


def copying(size_b):
    """A call that copies a tensor of this size on the GPU."""
    source = torch.ones(size_b, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def median(values):
    return sorted(values)[len(values) // 2]


def device_median(sampler, call, *, calls, samples):
    """The median of the samples that were kept; a first one may be dropped, for the host was late."""
    found = [sampler.sample_copy(OneCopy(call), "copy", calls).device_s.get("copy") for _ in range(samples)]
    return median([seconds for seconds in found if seconds is not None])


def test_a_large_copy_runs_at_the_speed_of_a_gpu_s_memory(clock):
    size_b = 256 * MIB

    seconds = device_median(CudaSampler(clock), copying(size_b), calls=10, samples=5)

    # Read and written once each: from the slowest card in use (0.1 TB/s) to past the fastest (8 TB/s).
    assert 0.1e12 < 2 * size_b / seconds < 10e12


def test_the_sampler_agrees_with_plain_events_around_a_loop(clock):
    copy = copying(256 * MIB)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(10):
        copy()
    start.record()
    for _ in range(20):
        copy()
    end.record()
    torch.cuda.synchronize()

    sampled = device_median(CudaSampler(clock), copy, calls=20, samples=5)

    # Each copy takes 50 us and more, so that a launch gap is little; what is left is the memory's own clock.
    assert sampled == pytest.approx(start.elapsed_time(end) * 1e-3 / 20, rel=0.2)


def test_a_spin_lasts_about_as_long_as_asked_and_holds_the_stream(clock):
    clock.wait()
    start = clock.record()
    clock.spin(20e-3)
    end = clock.record()
    was_pending = clock.is_pending(end)
    clock.wait()

    assert was_pending
    assert not clock.is_pending(end)
    # The spin counts cycles, and a GPU's clock may rise by half between calibration and now.
    assert 10e-3 < clock.elapsed_s(start, end) < 40e-3


def test_the_device_s_time_of_a_tiny_copy_leaves_the_launch_out(clock):
    sampler, copy = CudaSampler(clock), OneCopy(copying(64))

    samples = [sampler.sample_copy(copy, "copy", 40) for _ in range(9)]

    device = median([sample.device_s["copy"] for sample in samples if sample.device_s])
    wall = median([sample.wall_s["copy"] for sample in samples])
    assert EVENT_STEP_S < device < wall


def test_a_displaced_cache_makes_a_copy_that_fits_into_it_slower(clock):
    # As large as half of the cache, so that hot it is copied within it.
    copy = copying(torch.cuda.get_device_properties("cuda").L2_cache_size // 4)

    hot_s = device_median(CudaSampler(clock), copy, calls=20, samples=9)
    cold_s = device_median(CudaSampler(clock, cold=True), copy, calls=20, samples=9)

    assert cold_s > hot_s


class OnlyWriting(TorchEventClock):
    """Displaces by a write alone, which leaves the cache full of modified lines."""

    def displace(self):
        self._written.zero_()


def test_a_call_after_the_displacing_read_does_not_pay_for_writing_the_cache_back(clock):
    copy = copying(torch.cuda.get_device_properties("cuda").L2_cache_size)
    paying, not_paying = (CudaSampler(it, cold=True) for it in (OnlyWriting("cuda"), clock))

    after_write_s, after_read_s = (device_median(it, copy, calls=20, samples=15) for it in (paying, not_paying))

    # How much it is depends on the card; noise between two medians is a few percent.
    assert after_read_s < 1.05 * after_write_s


def test_nvml_sees_what_is_allocated_on_the_device_that_torch_names(clock):
    torch.cuda.empty_cache()
    before = Nvml().memory(device_uuid("cuda")).device_b

    block = torch.empty(512 * MIB, dtype=torch.uint8, device="cuda")
    after = Nvml().memory(device_uuid("cuda")).device_b

    assert before is not None
    assert after is not None
    # Somebody else on the card may give memory back meanwhile.
    assert after - before > 256 * MIB
    assert block.numel() == 512 * MIB


def test_nvml_and_torch_name_the_same_cards():
    assert device_name("cuda") in {gpu.name for gpu in Nvml().gpus()}


def test_a_run_times_every_phase_on_the_device_s_clock(trial):
    rows = trial.rows[trial.rows.clock == "device"]

    assert len(rows) == 2 * 2 * 2 * 4
    assert set(rows.status) <= {"ok", "unstable"}  # a card that is hot or shared spoils rounds
    assert (rows.median_s > 0).all()
    assert rows[rows.status == "ok"].speedup.notna().all()
    assert set(rows.device_name) == {device_name("cuda")}


def test_a_hot_run_has_wall_times_too_and_a_cold_one_has_not(trial):
    walls = trial.rows[trial.rows.clock == "wall"]

    assert set(walls.cache) == {"hot"}
    timed = walls[walls.phase.isin(["inference", "forward_backward"])]
    assert set(timed.status) <= {"ok", "unstable"}
    assert timed.median_s.notna().all()


def test_small_work_is_bound_by_its_launches_and_large_work_by_the_device(trial):
    hot = trial.rows[(trial.rows.cache == "hot") & (trial.rows.phase == "inference")]
    times = hot.pivot_table(index=["input_shape", "implementation"], columns="clock", values="median_s")

    # Of a fused kernel the device's time is mostly launch and drain, about 4 us; the host takes 7 and more.
    assert (times.loc["8x16"].wall > times.loc["8x16"].device).all()
    assert (times.loc["4096x4096"].wall < 2 * times.loc["4096x4096"].device).all()


def test_a_large_fused_norm_comes_near_copy_speed_and_does_not_beat_the_machine(trial):
    rows = trial.rows[(trial.rows.input_shape == "4096x4096") & (trial.rows.implementation == "fused")]
    inference = rows[(rows.phase == "inference") & (rows.clock == "device") & (rows.cache == "cold")]

    # It reads x once and writes y once, as the copy does; parameters and the row's sums cost a little.
    assert 30 < inference.percent_of_copy.item() < 130


def test_nvml_memory_stands_in_the_results(trial):
    assert (trial.rows.nvml_device_bytes > 0).all()


def test_the_gpu_s_conditions_stand_in_the_results(trial):
    assert (trial.rows.sm_clock_hz > 0).all()
    assert (trial.rows.power_w > 0).all()
    assert (trial.rows.temperature_c > 0).all()


def test_the_caching_allocator_s_memory_adds_up(trial):
    rows = trial.rows[(trial.rows.input_shape == "4096x4096") & (trial.rows.implementation == "fused")]
    step, forward = (rows[rows.phase == phase].iloc[0] for phase in ("forward_backward", "forward"))
    x_b = 4096 * 4096 * 4

    assert forward.output_bytes == x_b
    assert forward.saved_bytes == 2 * 4096 * 4  # mean and rstd
    assert forward.peak_memory_bytes >= x_b + forward.saved_bytes
    assert 2 * x_b < step.peak_memory_bytes < 3 * x_b


def test_energy_is_told_where_the_card_counts_it(tmp_path):
    (tmp_path / "trial.yaml").write_text(SUITE.replace("[[8, 16], [4096, 4096]]", "[[4096, 4096]]"))
    done = run_lnbench(tmp_path, "run", "trial.yaml", "--energy", "--only", "cache=hot", "--output", "run")
    rows = results(tmp_path / "run")
    whole = rows[rows.phase.isin(["inference", "forward_backward"])]
    told = whole.energy_per_call_j.dropna()

    assert done.code == 0
    assert (told > 0).all()
    assert len(told) or whole.notices.str.contains("no-energy").any()
    assert rows[rows.phase == "backward"].energy_per_call_j.isna().all()


def test_every_device_sample_of_the_run_was_kept_or_dropped_whole(trial):
    turns = [line for line in journal(trial.run) if line["event"] == "turn" and line["case"] >= 0]

    steps = {"forward", "backward", "forward_backward"}
    assert turns
    assert all(len(steps & set(turn["device_s"])) in (0, 3) for turn in turns)


def test_the_gpu_suite_is_planned_as_a_whole(tmp_path):
    done = run_lnbench(tmp_path, "run", "gpu", "--dry-run")

    assert done.code == 0
    assert "skipped" not in done.stdout
