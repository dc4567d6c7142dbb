"""Looks at the machine, on files made of plain numbers; and the rounds that a look spoils."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest
from stage import cases, workload

from lnbench.disturbances import MOST_SPOILED, Spoiling, disturbance
from lnbench.events import Noticed
from lnbench.measure.watch import HostWatcher, Look, Watchers
from lnbench.observed import Conditions
from lnbench.worker.watching import LOOK_EVERY_S, Watch


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A root folder with the files of two cores; `write(path, text)` changes one."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr("os.sysconf", lambda _: 100)

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/stat", stat(0, 0))
    write("proc/self/cgroup", "0::/box\n")
    write("sys/fs/cgroup/box/cpu.stat", "usage_usec 5\nthrottled_usec 1000000\n")
    write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000\n")
    write("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "2000000\n")
    return SimpleNamespace(root=tmp_path, write=write)


def stat(*steal_ticks):
    return "cpu  1 2 3 4 5 6 7 99 0 0\n" + "".join(
        f"cpu{core} 1 2 3 4 5 6 7 {ticks} 0 0\n" for core, ticks in enumerate(steal_ticks)
    )


def test_steal_and_quota_are_those_since_the_look_before(machine):
    ticking = iter([0.0, 2.0, 4.0])
    watcher = HostWatcher(root=machine.root, now=lambda: next(ticking))
    machine.write("proc/stat", stat(50, 30))  # 0.8 s of two cores in 2 s
    machine.write("sys/fs/cgroup/box/cpu.stat", "usage_usec 9\nthrottled_usec 1500000\n")

    first, second = watcher.look(), watcher.look()

    assert first.readings["steal_share"] == pytest.approx(0.2)
    assert first.readings["throttled_s"] == pytest.approx(0.5)
    assert first.readings["frequency_hz"] == 2.5e9
    assert second.readings["steal_share"] == second.readings["throttled_s"] == 0


def test_version_1_of_control_groups_counts_nanoseconds(machine):
    (machine.root / "sys/fs/cgroup/box/cpu.stat").unlink()
    machine.write("sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 1\nthrottled_time 0\n")
    watcher = HostWatcher(root=machine.root)
    machine.write("sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 2\nthrottled_time 250000000\n")

    assert watcher.look().readings["throttled_s"] == pytest.approx(0.25)


def test_what_a_system_does_not_tell_is_left_out(tmp_path):
    found = HostWatcher(root=tmp_path).look().readings

    assert {"steal_share", "throttled_s", "frequency_hz"}.isdisjoint(found)
    assert found["involuntary_switches"] >= 0


@pytest.mark.parametrize("text", ["", "cpu0 1 2\n", "cpu0 a b c d e f g h\n"])
def test_a_file_in_another_form_is_left_out(machine, text):
    machine.write("proc/stat", text)

    assert "steal_share" not in HostWatcher(root=machine.root).look().readings


def look(first=0, last=0, *, process=0, throttling=(), **readings):
    return Conditions(
        process=process,
        workload=0,
        first_round=first,
        last_round=last,
        seconds=0.05,
        readings=readings,
        throttling=throttling,
    )


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        (look(), ""),
        (look(steal_share=0.25, throttled_s=0.0), ""),
        (look(steal_share=0.26), "the host gave more than 25 % of the cores to others"),
        (look(throttled_s=0.001), "the CPU quota of its control group was used up"),
        (look(throttling=("gpu_idle", "sw_power_cap")), ""),
        (look(throttling=("sw_power_cap", "hw_thermal_slowdown")), "the GPU was too hot"),
        (look(throttling=("hw_power_brake_slowdown",)), "the power supply held the GPU back"),
    ],
)
def test_only_what_takes_the_machine_away_spoils_a_round(conditions, reason):
    assert disturbance(conditions) == reason


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        (look(steal_share=0.9), ""),
        (look(throttled_s=0.04), ""),
        (look(throttling=("hw_thermal_slowdown",)), "the GPU was too hot"),
        (look(throttling=("hw_power_brake_slowdown",), steal_share=0.9), "the power supply held the GPU back"),
    ],
)
def test_what_is_withheld_from_the_host_s_cores_spoils_no_time_on_the_device_s_clock(conditions, reason):
    assert disturbance(conditions, on_device=True) == reason


def test_spoiled_rounds_are_dropped_while_enough_remain():
    measured = {(0, 0): set(range(10)), (0, 1): {0, 1, 2, 3}}
    found = Spoiling({0: [look(2, 3, throttled_s=1.0), look(4, 4), look(0, 1, process=1, throttled_s=1.0)]}, measured)

    assert found.dropped(0) == {0: {2, 3}, 1: frozenset()}  # of four, two are too few
    assert found.instability(0) == ""


def test_a_workload_with_too_many_spoiled_rounds_is_unstable():
    rounds = range(12)
    most = int(MOST_SPOILED * len(rounds))

    def instability(spoiled):
        return Spoiling({0: [look(0, spoiled - 1, steal_share=1.0)]}, {(0, 0): set(rounds)}).instability(0)

    assert instability(most) == ""
    assert instability(most + 1).startswith("5 of 12 rounds were spoiled: the host gave more than 25 % of the cores")


class ScriptedWatcher:
    """Looks as scripted, then quiet ones."""

    def __init__(self, *looks):
        self.looks = list(looks)
        self.looked = 0

    def look(self):
        self.looked += 1
        return self.looks.pop(0) if self.looks else Look()

    def notices(self):
        return [("watched", "nothing to see")]


def watched(watcher, *, step_s, device="cpu"):
    """A watch whose clock moves by so much at each question."""
    made, heard = cases({"fused": "fused"}, workload(8, 16))
    made.workload = replace(made.workload, device=device)
    clock = count(0, step_s)
    return Watch(made, watcher, workload_number=0, now=lambda: next(clock)), heard


def test_the_machine_is_looked_at_no_more_than_twenty_times_a_second():
    watcher = ScriptedWatcher()
    watch, heard = watched(watcher, step_s=LOOK_EVERY_S / 10)

    for turn in range(400):
        watch.before_turn(turn)

    assert watcher.looked < 400 / 10 + 2
    assert len(heard.of(Conditions)) == watcher.looked - 1


def test_a_look_spoils_the_rounds_since_the_one_before():
    watch, heard = watched(ScriptedWatcher(Look(), Look(), Look({"throttled_s": 0.1})), step_s=2 * LOOK_EVERY_S)

    spoiled = [watch.before_turn(number) for number in (0, 1, 2, 3)]
    watch.finish(3)

    assert [list(rounds) for rounds in spoiled] == [[], [], [1, 2], []]
    assert [(found.first_round, found.last_round) for found in heard.of(Conditions)] == [(0, 1), (1, 2), (2, 3), (3, 3)]
    assert heard.of(Noticed)[-1].notice.code == "watched"


def test_on_a_gpu_rounds_are_measured_again_for_what_the_gpu_did_and_not_for_what_the_host_did():
    stolen, hot = Look({"steal_share": 0.9}), Look({"steal_share": 0.9}, ("hw_thermal_slowdown",))

    for device, spoiled in (("cpu", [[], [0, 1], [1, 2]]), ("cuda", [[], [], [1, 2]])):
        watch, _ = watched(ScriptedWatcher(Look(), stolen, hot), step_s=2 * LOOK_EVERY_S, device=device)

        assert [list(watch.before_turn(number)) for number in range(3)] == spoiled


def test_several_watchers_look_as_one():
    found = Watchers([ScriptedWatcher(Look({"a": 1.0}, ("hot",))), ScriptedWatcher(Look({"b": 2.0}))]).look()

    assert found == Look({"a": 1.0, "b": 2.0}, ("hot",))
