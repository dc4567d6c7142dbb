"""Energy from scripted counters: it comes out exactly, or is said to be unusable."""

from dataclasses import dataclass, field

import pytest
from fabricate import case, run, turn, workload

from lnbench.costs import phase_costs
from lnbench.evidence import Evidence
from lnbench.measure.energy import LEAST_WINDOW_S, RaplCounter, measure_energy
from lnbench.observed import EnergyUse
from lnbench.workload import Phase


@dataclass
class Machine:
    """A clock that only work and rest move, and a counter that shows power x time in steps of 0.1 s.

    `idle_w`: one figure, or one for each rest.
    """

    work_w: float = 300.0
    idle_w: list[float] = field(default_factory=lambda: [100.0, 100.0])
    clocks_hz: list[float] = field(default_factory=lambda: [2e9] * 3)
    step_s: float = 0.1
    counts: bool = True
    source = "scripted"

    def __post_init__(self):
        self.t = self.joules = self.shown_j = 0.0
        self.shown_at = 0.0
        self.rests = 0

    def _pass(self, seconds, watts):
        self.t += seconds
        self.joules += seconds * watts
        if self.counts and self.t - self.shown_at >= self.step_s - 1e-9:
            self.shown_at, self.shown_j = self.t, self.joules

    def block(self):
        self._pass(0.01, self.work_w)
        return 5

    def rest(self, seconds):
        for _ in range(round(seconds / 0.1)):
            self._pass(0.1, self.idle_w[self.rests])
        self.rests += 1

    def now(self):
        return self.t

    def read_j(self):
        return self.shown_j

    def clock_hz(self):
        return self.clocks_hz.pop(0) if self.clocks_hz else None


def measured(machine):
    return measure_energy(machine.block, machine, now=machine.now, rest=machine.rest)


def test_joules_of_a_scripted_counter_come_out_exactly():
    found = measured(Machine())

    assert found.unusable == ""
    assert found.window_s >= LEAST_WINDOW_S
    assert found.joules == pytest.approx(300 * found.window_s)
    assert found.calls == pytest.approx(5 * found.window_s / 0.01)
    assert found.idle_before_w == pytest.approx(100, rel=0.1)  # a rest need not begin at a step
    assert found.idle_after_w == pytest.approx(100, rel=0.1)


def test_a_counter_that_stands_still_is_unusable():
    assert measured(Machine(counts=False)).unusable == "the counter stands still"


def test_a_counter_that_can_not_be_read_gives_nothing():
    machine = Machine()
    machine.read_j = lambda: None

    assert measured(machine) is None


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (Machine(clocks_hz=[2e9, 2e9, 1e9]), "the clock fell from 2000 to 1000 MHz while idle was measured"),
        (Machine(idle_w=[100.0, 200.0]), "idle power went from 1"),
        (Machine(work_w=100.0, idle_w=[100.0, 110.0]), "the work used no more power than idling"),
    ],
    ids=["clock", "drift", "no work"],
)
def test_idle_in_another_state_makes_energy_unusable(machine, why):
    assert measured(machine).unusable.startswith(why)


@pytest.fixture
def packages(tmp_path):
    """Two packages under powercap, and a part of one, which must not be counted twice."""
    folder = tmp_path / "sys/class/powercap"
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core")):
        (folder / zone).mkdir(parents=True)
        (folder / zone / "name").write_text(f"{name}\n")
        (folder / zone / "max_energy_range_uj").write_text("1000000\n")
        (folder / zone / "energy_uj").write_text("400000\n")
    return folder


def test_rapl_adds_packages_up_and_survives_a_wrap(packages):
    counter = RaplCounter(root=packages.parents[2])
    start = counter.read_j()
    (packages / "intel-rapl:0/energy_uj").write_text("900000\n")
    (packages / "intel-rapl:1/energy_uj").write_text("100000\n")  # 700,000 on, past the end of its range

    assert counter.read_j() - start == pytest.approx(0.5 + 0.7)


def test_rapl_that_may_not_be_read_is_none(packages, tmp_path):
    (packages / "intel-rapl:1/energy_uj").unlink()

    assert RaplCounter(root=packages.parents[2]).read_j() is None
    assert RaplCounter(root=tmp_path / "elsewhere").read_j() is None


def used(**fields):
    """An energy event of a step."""
    return EnergyUse(
        **{
            "process": 0,
            "case": 0,
            "kind": "step",
            "source": "NVML",
            "calls": 1000,
            "window_s": 2.5,
            "joules": 1000.0,
            "idle_before_w": 90.0,
            "idle_after_w": 110.0,
            **fields,
        }
    )


def columns(event, phase):
    evidence = Evidence(run([workload()], [case("fused")], [turn(0, 1e-4), event]))
    return phase_costs(evidence, 0, phase, minimum_bytes=500_000_000)


def test_idle_is_subtracted_and_energy_is_told_per_call_and_per_gb():
    found = columns(used(), Phase.FORWARD_BACKWARD)

    assert found["energy_per_call_j"] == pytest.approx((1000 - 2.5 * 100) / 1000)
    assert found["energy_per_gb_j"] == pytest.approx(0.75 / 0.5)
    assert found["energy_window_s"] == 2.5
    assert found["idle_power_w"] == 100


@pytest.mark.parametrize("phase", [Phase.INFERENCE, Phase.FORWARD, Phase.BACKWARD])
def test_parts_of_a_step_have_no_energy_of_their_own(phase):
    assert "energy_per_call_j" not in columns(used(), phase)


def test_unusable_energy_is_empty_and_never_zero():
    assert "energy_per_call_j" not in columns(used(unusable="the counter stands still"), Phase.FORWARD_BACKWARD)
