"""Is a machine fit to measure on: findings from plain numbers, and the command itself."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command import run_lnbench
from fabricate import ENVIRONMENT, case, looked_at, machine_look, run, turn, workload

from lnbench.analysis.fitness import NOISY, QUIET, UNFIT, Fitness, Level, Noise, Read, noise_of, weigh
from lnbench.conductor.plain_text import plain_text
from lnbench.examined import Bandwidth, Survey, Trial
from lnbench.gate import doctor
from lnbench.measure.environment import read_settings
from lnbench.observed import Conditions
from lnbench.render.doctor import render_fitness, render_json
from lnbench.workload import Phase

READ = Read(environment=ENVIRONMENT, load=0.1, on_battery=None, free_memory_b=8 << 30, shadowing="")
SURVEY = Survey(
    threads=2,
    bandwidths=(Bandwidth(working_set_b=1 << 20, bytes_per_s=1e11),),
    timer_step_s=4e-8,
    stamp_s=5e-8,
    fault_s=1e-6,
    launch_s=5e-7,
)


def noise(processes):
    return Noise(rounds=0.1, processes=processes, absolute=0.05, half_width={3: 0.01}, smallest={3: None}, seconds=20.0)


def findings(read=READ, survey=SURVEY, score=0.001, trials=(), made=None):
    found = weigh(read, [survey], None if score is None else noise(score), trials, run=made)
    return {finding.subject: finding for finding in found}


def level(subject, **what):
    found = findings(**what).get(subject)
    return None if found is None else found.level


def with_settings(**settings):
    return replace(READ, environment=ENVIRONMENT.model_copy(update={"settings": settings}))


@pytest.mark.parametrize(
    ("score", "expected"),
    [(QUIET / 2, Level.FINE), (QUIET * 2, Level.NOTE), (NOISY * 2, Level.WARNING), (UNFIT * 2, Level.UNFIT)],
)
def test_noise_decides_how_fit_a_machine_is(score, expected):
    assert level("noise", score=score) is expected


def test_a_machine_on_which_nothing_could_be_measured_is_unfit():
    assert level("noise", score=None) is Level.UNFIT


@pytest.mark.parametrize(
    ("settings", "subject", "expected"),
    [
        ({"governor": "powersave"}, "governor", Level.WARNING),
        ({"governor": "performance"}, "governor", None),
        ({"turbo": "on"}, "turbo", Level.NOTE),
        ({"smt": "on"}, "SMT", Level.NOTE),
        ({"smt": "notsupported"}, "SMT", None),
        ({"numa_nodes": "2"}, "NUMA", Level.NOTE),
        ({"virtualized": "yes"}, "virtual machine", Level.NOTE),
    ],
)
def test_settings_that_disturb_are_found_with_what_to_do(settings, subject, expected):
    found = findings(read=with_settings(**settings)).get(subject)

    assert (found.level if found else None) is expected
    assert found is None or found.advice


@pytest.mark.parametrize(
    ("change", "subject"),
    [({"load": 3.9}, "load"), ({"on_battery": True}, "power supply"), ({"shadowing": "11.5.0"}, "pynvml")],
)
def test_load_battery_and_a_shadowing_pynvml_are_warned_of(change, subject):
    assert level(subject, read=replace(READ, **change)) is Level.WARNING
    assert level(subject) is None


def examined_as(*, read=READ, made=None):
    """What doctor concludes of a machine that is quiet apart from what was read."""
    fitness = Fitness(read, (SURVEY,), noise(0.001), (), weigh(read, [SURVEY], noise(0.001), [], run=made))
    return fitness, plain_text(render_fitness(fitness)).splitlines()[-1].strip()


def busy(**look):
    return replace(READ, look=machine_look(**look))


@pytest.mark.parametrize(
    "read",
    [
        busy(others=2.0, waiting=2.0, load=4.0),
        busy(others=1.9, load=0.3),
        busy(load=4.0),
        replace(READ, load=2 * ENVIRONMENT.logical_cores),
    ],
    ids=["load 4 of 2", "just begun", "load alone", "overloaded over the last minute"],
)
def test_a_machine_without_a_free_core_is_unfit(read):
    fitness, conclusion = examined_as(read=read)

    assert not fitness.is_fit
    assert conclusion == "unfit to measure on: see above"


def test_a_machine_with_fewer_free_cores_than_a_run_uses_is_fit_for_so_many_threads():
    fitness, conclusion = examined_as(read=busy(others=1.0, load=1.0))

    assert fitness.is_fit
    assert fitness.most_threads == 1
    assert conclusion == "busy: use at most 1 thread, or stop other work; see above"
    assert json.loads(render_json(fitness))["most_threads"] == 1
    assert json.loads(render_json(fitness))["machine"]["look"]["others"] == 1.0


@pytest.mark.parametrize(
    "look",
    [{"others": 1.0, "load": 1.0, "cores": 16, "wanted": 8}, {"others": 0.1, "load": 0.2}, {"others": 0.0}],
    ids=["one busy core of many", "background", "idle"],
)
def test_a_machine_with_room_for_the_work_is_fit(look):
    fitness, conclusion = examined_as(read=busy(**look))

    assert (fitness.is_fit, fitness.most_threads, conclusion) == (True, None, "fit to measure on")


@pytest.mark.parametrize(("others", "is_said"), [(1.9, True), (1.0, True), (0.0, False)])
def test_bandwidths_measured_beside_other_processes_are_said_to_be_too_low(others, is_said):
    shown = plain_text(render_fitness(examined_as(read=busy(others=others))[0]))

    assert ("too low, since other processes used the cores" in shown) is is_said


@pytest.mark.parametrize(("busy_ones", "is_fit"), [(1, True), (2, False)], ids=["a third", "most"])
def test_a_machine_that_becomes_busy_while_identical_work_is_measured_is_unfit(busy_ones, is_fit):
    looks = [machine_look(of=0, process=it, others=2.0 if it < busy_ones else 0.0) for it in range(3)]
    made = run([workload()], [case("fused")], [turn(0, 1e-4), *looks])

    assert examined_as(made=made)[0].is_fit is is_fit


def test_a_framework_that_fails_is_a_warning_and_torch_makes_the_machine_unfit():
    broken = [Trial(name=name, status="fails", detail="ImportError: no symbol") for name in ("jax", "torch")]
    absent = [Trial(name="jax", status="absent", detail="not installed")]

    assert level("jax", trials=broken) is Level.WARNING
    assert level("torch", trials=broken) is Level.UNFIT
    assert level("jax", trials=absent) is None


def test_a_coarse_clock_is_warned_of():
    assert level("clock", survey=SURVEY.model_copy(update={"timer_step_s": 1e-3})) is Level.WARNING


def test_what_disturbed_the_measuring_itself_is_told():
    looks = [
        Conditions(
            process=0,
            workload=0,
            first_round=0,
            last_round=0,
            seconds=1.0,
            readings={"steal_share": 0.08, "throttled_s": 0.02},
        )
    ]
    made = run([workload()], [case("fused")], [turn(0, 1e-4), *looks])

    assert level("steal", made=made) is Level.WARNING
    assert level("CPU quota", made=made) is Level.WARNING


def test_the_gravest_finding_stands_first():
    found = weigh(with_settings(turbo="on", governor="powersave"), [SURVEY], noise(2 * UNFIT), [], run=None)

    assert [finding.level for finding in found] == [Level.UNFIT, Level.WARNING, Level.NOTE]


def twins(deviation, *, processes=3):
    """Identical work whose ratio lies so far apart from process to process."""
    draw = np.random.default_rng(1)
    turns = []
    for process in range(processes):
        ratio = np.exp(deviation * (process - 1))  # -1, 0 and +1 deviations
        for step in range(20):
            shared = draw.normal(0, 0.01)
            turns.append(turn(0, 1e-4 * np.exp(shared), process=process, round=step))
            turns.append(turn(1, 1e-4 * ratio * np.exp(shared), process=process, round=step, started_s=1e-3))
    cases = [case(name, reference="one", function="layer_norm") for name in ("one", "twin")]
    return run([workload(phases=(Phase.INFERENCE,), reference="one")], cases, turns)


def test_the_score_is_how_far_identical_work_lies_apart_between_processes():
    found = noise_of(twins(0.01), seconds=20.0)

    assert found.processes == pytest.approx(0.01, rel=0.01)
    assert found.half_width[3] > found.half_width[10] > 0
    assert found.smallest[3] is None or found.smallest[3] >= found.smallest[10]


def test_fewer_than_three_processes_have_no_score():
    assert noise_of(twins(0.01, processes=2), seconds=20.0) is None


@pytest.mark.parametrize("pairs", [0, 1])
def test_identical_work_that_was_hardly_ever_undisturbed_in_the_same_round_has_no_score(pairs):
    made = twins(0.01)
    lost = looked_at(delay_s=0.5, wakeups=1)

    def is_undisturbed(it):
        return it.round % 2 == it.case or (it.process == 0 and it.round < pairs)

    turns = (it.model_copy(update=looked_at() if is_undisturbed(it) else lost) for it in made.events)

    assert noise_of(run(made.header.workloads, made.header.cases, turns), seconds=20.0) is None


def test_json_has_no_infinity():
    fitness = Fitness(READ, (SURVEY,), noise_of(twins(0.5), seconds=20.0), (), ())

    assert json.loads(render_json(fitness))["surveys"][0]["threads"] == 2


def test_spoiled_identical_work_resolves_nothing_and_is_still_told():
    made = twins(0.01)
    looks = [
        Conditions(
            process=process,
            workload=0,
            first_round=0,
            last_round=15,
            seconds=1.0,
            readings={"throttled_s": 0.5},
        )
        for process in range(3)
    ]
    spoiled = run(made.header.workloads, made.header.cases, [*made.events, *looks])
    found = noise_of(spoiled, seconds=20.0)
    fitness = Fitness(READ, (SURVEY,), found, (), weigh(READ, [SURVEY], found, [], run=spoiled))

    assert set(found.half_width.values()) == set(found.smallest.values()) == {None}
    assert json.loads(render_json(fitness))["noise"]["half_width"] == {"3": None, "5": None, "10": None}
    assert "known not at all; none is confirmed" in plain_text(render_fitness(fitness))


@pytest.mark.parametrize(
    ("files", "shadows"), [(["pynvml/__init__.py"], "11.5.0"), (["pynvml_utils/__init__.py"], ""), ([], "")]
)
def test_only_a_distribution_that_brings_the_module_shadows_nvidia_ml_py(monkeypatch, files, shadows):
    class Distribution:
        version = "11.5.0"

    Distribution.files = files
    monkeypatch.setattr(doctor, "distribution", lambda _: Distribution)

    assert doctor.shadowing_pynvml() == shadows


def test_settings_are_read_as_the_kernel_writes_them(tmp_path):
    for path, text in {
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
        "sys/devices/system/cpu/smt/control": "on\n",
        "sys/devices/system/node/node0/x": "",
        "sys/devices/system/node/node1/x": "",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "proc/cpuinfo": "processor: 0\nflags\t\t: fpu hypervisor sse\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert read_settings(tmp_path) == {
        "governor": "powersave",
        "turbo": "on",
        "smt": "on",
        "numa_nodes": "2",
        "transparent_huge_pages": "madvise",
        "virtualized": "yes",
    }
    assert read_settings(tmp_path / "nowhere") == {}


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    return folder, run_lnbench(folder, "doctor", "--seconds", "10", "--format", "json=machine.json")


def test_doctor_tells_the_machine_its_bandwidth_noise_and_what_works(examined):
    folder, done = examined
    told = json.loads((folder / "machine.json").read_text())

    assert done.code == (0 if told["fit"] else 3), done.stderr
    if told["noise"] is None:  # other processes took the cores, and doctor takes no extra time for that
        assert {"noise", "other processes"} <= {finding["subject"] for finding in told["findings"]}
    else:
        assert told["noise"]["processes"] > 0
        assert "noise: score" in done.stdout
    works = {trial["name"]: trial["status"] for trial in told["works"]}
    assert works["torch"] == "works"
    sizes = [found["working_set_b"] for found in told["surveys"][0]["bandwidths"]]
    assert sizes == sorted(sizes)
    assert "copy bandwidth by working set" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert "to measure on" in last or last.startswith("busy: use at most")


def test_doctor_leaves_nothing_behind_and_names_no_folder(examined):
    folder, done = examined

    assert [path.name for path in folder.iterdir()] == ["machine.json"]
    assert str(folder) not in (folder / "machine.json").read_text() + done.stdout


def test_too_few_seconds_are_refused(tmp_path):
    done = run_lnbench(tmp_path, "doctor", "--seconds", "1")

    assert done.code == 2
    assert "--seconds: must be 10 to 3600" in done.stderr
