"""A GPU's conditions and energy through a recorded NVML: nothing that it refuses ends or empties anything else."""

import pynvml
import pytest
from fabricate import BOTH_CLOCKS, case, noisy_turns, run, workload
from fake_clocks import HostClock
from fake_nvml import ASKED, CODES, FakeNvml
from stage import cases, timed
from stage import workload as small

from lnbench.condense import condense
from lnbench.measure.energy import NvmlCounter, measure_energy
from lnbench.measure.nvml import Nvml
from lnbench.measure.sampler import HostSampler
from lnbench.measure.watch import PROCESSES_EVERY_S, GpuWatcher, Look
from lnbench.observed import Conditions
from lnbench.planned import Status
from lnbench.summaries import summarize
from lnbench.workload import Clock, Phase

HOT = pynvml.nvmlClocksThrottleReasonHwThermalSlowdown
CAPPED = pynvml.nvmlClocksThrottleReasonSwPowerCap
IDLE = pynvml.nvmlClocksThrottleReasonGpuIdle
POWER, THERMAL = pynvml.NVML_PERF_POLICY_POWER, pynvml.NVML_PERF_POLICY_THERMAL


def watcher(uuid="second", **script):
    return GpuWatcher(Nvml(FakeNvml(**script)), uuid)


def test_a_card_tells_clocks_power_temperature_and_what_holds_it_back():
    found = watcher(reasons=[HOT | CAPPED]).look()

    assert found.readings == {
        "sm_clock_hz": 1980e6,
        "memory_clock_hz": 2619e6,
        "power_w": 312.5,
        "temperature_c": 54.0,
        "foreign_processes": 0.0,
    }
    assert set(found.throttling) == {"hw_thermal_slowdown", "sw_power_cap"}


@pytest.mark.parametrize("uuid", ["MIG-slice", "slice"])  # PyTorch gives it without NVML's word for what it is
def test_a_mig_slice_tells_what_its_card_tells_but_for_power_and_says_what_is_missing(uuid):
    watching = watcher(uuid, reasons=[HOT])

    found = watching.look()

    assert found == Look(
        {"sm_clock_hz": 1980e6, "memory_clock_hz": 2619e6, "temperature_c": 54.0, "foreign_processes": 0.0},
        ("hw_thermal_slowdown",),
    )
    ((code, text),) = watching.notices()
    assert code == "nvml-partial"
    assert text.count("Not Supported") == 1
    assert "DeviceGetPowerUsage: Not Supported" in text
    assert NvmlCounter(Nvml(FakeNvml()), uuid).read_j() is None  # its card's energy is also that of other slices


def test_clocks_that_were_held_back_between_two_looks_are_said_though_none_are_held_back_now():
    nvml = FakeNvml(reasons=[IDLE], held_back_ns={THERMAL: [0, 30_000_000, 30_000_000, 30_500_000]})
    now = iter([0.0, 0.1, 0.2, 0.3])
    watching = GpuWatcher(Nvml(nvml), "first", now=lambda: next(now))

    looks = [watching.look().throttling for _ in range(4)]

    # 30 ms of 100; nothing; half a millisecond, which moves no median
    assert looks == [("gpu_idle",), ("sw_thermal_slowdown", "gpu_idle"), ("gpu_idle",), ("gpu_idle",)]


def test_a_reason_of_the_moment_counts_only_where_its_time_is_not_counted():
    capped = FakeNvml(reasons=[CAPPED | HOT], held_back_ns={POWER: [0, 0]})
    watching = GpuWatcher(Nvml(capped), "first", now=iter([0.0, 0.1]).__next__)

    assert [set(watching.look().throttling) for _ in range(2)] == [{"hw_thermal_slowdown"}] * 2
    assert watching.notices() == []  # counters that a card does not have are no gap


def test_other_processes_on_the_card_are_said_and_listed_once_a_second():
    nvml = Nvml(FakeNvml(others=2))
    listed = []
    library = nvml._library.nvmlDeviceGetComputeRunningProcesses
    nvml._library.nvmlDeviceGetComputeRunningProcesses = lambda handle: listed.append(handle) or library(handle)
    now = iter([0.0, 0.5, PROCESSES_EVERY_S])
    watching = GpuWatcher(nvml, "first", now=lambda: next(now))

    looks = [watching.look() for _ in range(3)]

    assert [look.readings["foreign_processes"] for look in looks] == [2, 2, 2]
    assert len(listed) == 2
    assert watching.notices()[0][0] == "gpu-shared"


def test_a_card_that_falls_off_the_bus_leaves_its_fields_empty_from_then_on():
    watching = watcher(lost_after=1)

    first, second = watching.look(), watching.look()

    assert "sm_clock_hz" in first.readings
    assert "sm_clock_hz" not in second.readings
    assert any("GPU is lost" in text for _, text in watching.notices())


@pytest.mark.parametrize("function", ASKED)
@pytest.mark.parametrize("code", CODES)
def test_no_error_of_nvml_ends_a_look_or_a_reading_of_energy(code, function):
    nvml = Nvml(FakeNvml(failing={function: code}))
    watching = GpuWatcher(nvml, "first")

    watching.look()
    energy = NvmlCounter(nvml, "first").read_j()

    assert (energy is None) == (function in {"nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetHandleByUUID"})
    assert nvml.memory("first").device_b is None or function != "nvmlDeviceGetMemoryInfo"
    assert any(function.removeprefix("nvml") in text for _, text in watching.notices()) or not nvml.unanswered


@pytest.mark.parametrize("code", CODES)
def test_every_error_of_nvml_leaves_the_rounds_complete(code):
    made, heard = cases({"fused": "fused"}, small(8, 16))
    made.build_all()

    turns = timed(
        made,
        heard,
        HostSampler(),
        rounds=4,
        watcher=watcher("first", failing=dict.fromkeys(ASKED, code)),
    )

    assert {turn.round for turn in turns if turn.case == 0} == {0, 1, 2, 3}
    assert heard.ends() == {}


def test_a_library_that_does_not_start_leaves_every_look_empty_and_says_why():
    watching = GpuWatcher(Nvml(FakeNvml(failing={"nvmlInit": pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})), "first")

    assert watching.look() == Look()
    assert watching.notices() == [("no-nvml", "the GPU's conditions are not read: NVML: NVML Shared Library Not Found")]


def throttled(*rounds):
    """A look at each of these rounds, throttled."""
    return [
        Conditions(
            process=0,
            workload=0,
            first_round=number,
            last_round=number,
            seconds=0.05,
            readings={"sm_clock_hz": 1e9},
            throttling=("hw_thermal_slowdown",),
        )
        for number in rounds
    ]


def test_a_throttled_round_is_dropped_whole_the_pairing_kept_and_the_count_shown():
    turns = list(noisy_turns({0: 2e-4, 1: 1e-4}, rounds=20, copy_s=1e-4))
    slowed = [
        turn.model_copy(update={"wall_s": {name: 9 * seconds for name, seconds in turn.wall_s.items()}})
        if turn.round in {3, 7} and turn.case == 0
        else turn
        for turn in turns
    ]
    planned, lineup = [workload()], [case("eager"), case("fused")]
    spoiled = run(planned, lineup, [*slowed, *throttled(3, 7)])
    without = run(planned, lineup, [turn for turn in turns if turn.round not in {3, 7}])

    found = {(row.implementation, row.phase): row for row in summarize(spoiled)}
    expected = {(row.implementation, row.phase): row for row in summarize(without)}

    for key, row in found.items():
        assert (row.speedup, row.speedup_low, row.median_s, row.percent_of_copy, row.rounds) == (
            expected[key].speedup,
            expected[key].speedup_low,
            expected[key].median_s,
            expected[key].percent_of_copy,
            18,
        )
        assert row.dropped_rounds == 2
        assert row.status is Status.OK
        assert row.throttling == "hw_thermal_slowdown"


def test_too_many_throttled_rounds_make_a_case_unstable_with_its_times_shown():
    turns = noisy_turns({0: 1e-4}, rounds=20)
    rows = summarize(run([workload()], [case("fused")], [*turns, *throttled(*range(8))]))

    assert {row.status for row in rows} == {Status.UNSTABLE}
    assert rows[0].reason.startswith("8 of 20 rounds were spoiled: the GPU was too hot")
    assert rows[0].rounds == 12


def disturbed_host(*rounds):
    """A look at each of these rounds, in which the host's cores were withheld."""
    return [
        found.model_copy(update={"throttling": (), "readings": {"throttled_s": 0.03, "steal_share": 0.5}})
        for found in throttled(*rounds)
    ]


def on_both_clocks(looks):
    """The rows of a GPU's case by clock, with these looks."""
    turns = noisy_turns({0: 2e-4, 1: 1e-4}, rounds=20, copy_s=1e-4, device_share=0.3)
    planned = workload(device="cuda", clocks=BOTH_CLOCKS)
    rows = summarize(run([planned], [case("eager"), case("fused")], [*turns, *looks]))
    return {row.clock: row for row in rows if row.implementation == "eager" and row.phase is Phase.FORWARD_BACKWARD}


def test_rounds_in_which_the_host_was_disturbed_are_dropped_from_wall_rows_and_stay_in_device_rows():
    found, undisturbed = on_both_clocks(disturbed_host(3, 7)), on_both_clocks([])

    assert (found[Clock.WALL].dropped_rounds, found[Clock.WALL].rounds) == (2, 18)
    assert (found[Clock.DEVICE].dropped_rounds, found[Clock.DEVICE].rounds) == (0, 20)
    for name in ("median_s", "speedup", "speedup_low", "percent_of_copy", "samples"):
        assert getattr(found[Clock.DEVICE], name) == getattr(undisturbed[Clock.DEVICE], name)


def test_a_host_that_was_disturbed_most_of_the_time_makes_wall_rows_alone_unstable():
    found = on_both_clocks(disturbed_host(*range(8)))

    assert found[Clock.WALL].status is Status.UNSTABLE
    assert found[Clock.WALL].reason.startswith("8 of 20 rounds were spoiled: the CPU quota")
    assert found[Clock.WALL].speedup is None
    assert (found[Clock.DEVICE].status, found[Clock.DEVICE].reason) == (Status.OK, "")
    assert found[Clock.DEVICE].speedup is not None


def test_samples_too_short_for_the_device_s_clock_are_counted_in_rounds_that_only_the_host_lost():
    turns = [
        turn.model_copy(update={"device_s": dict.fromkeys(turn.device_s, 0.0)}) if turn.round in {3, 7} else turn
        for turn in noisy_turns({0: 2e-4, 1: 1e-4}, rounds=20, device_share=0.3)
    ]
    planned = workload(device="cuda", clocks=BOTH_CLOCKS)

    rows = summarize(run([planned], [case("eager"), case("fused")], [*turns, *disturbed_host(3, 7)]))

    assert {row.status for row in rows if row.clock is Clock.DEVICE} == {Status.SKIPPED}


def test_what_the_gpu_did_drops_rounds_from_the_rows_of_both_clocks():
    assert {row.dropped_rounds for row in on_both_clocks(throttled(3, 7)).values()} == {2}
    assert {row.status for row in on_both_clocks(throttled(*range(8))).values()} == {Status.UNSTABLE}


def test_a_compact_baseline_keeps_which_clock_s_rows_were_unstable():
    turns = noisy_turns({0: 2e-4, 1: 1e-4}, rounds=20, copy_s=1e-4, device_share=0.3, processes=3)
    planned = workload(device="cuda", clocks=BOTH_CLOCKS, phases=(Phase.FORWARD_BACKWARD,))
    looks = [look.model_copy(update={"process": process}) for look in disturbed_host(*range(8)) for process in range(3)]

    rows = summarize(condense(run([planned], [case("eager"), case("fused")], [*turns, *looks])))

    found = {(row.implementation, row.clock): row.status for row in rows}
    assert {status for (_, clock), status in found.items() if clock is Clock.WALL} == {Status.UNSTABLE}
    assert {status for (_, clock), status in found.items() if clock is Clock.DEVICE} == {Status.OK}


def test_the_energy_of_a_recorded_counter_comes_out_exactly():
    clock = HostClock()
    nvml = Nvml(FakeNvml(energy_mj=lambda: 250 * (clock.ns // 10**6) // 100 * 100))  # 250 W, in steps of 0.1 J

    def block():
        clock.take(10**7)
        return 10

    found = measure_energy(
        block,
        NvmlCounter(nvml, "first"),
        now=lambda: clock.ns * 1e-9,
        rest=lambda seconds: clock.take(int(seconds * 1e9)),
    )

    assert found.joules / found.window_s == pytest.approx(250, rel=1e-3)
    assert found.calls == pytest.approx(1000 * found.window_s)
    assert found.unusable == "the work used no more power than idling"  # it was the same 250 W all along
