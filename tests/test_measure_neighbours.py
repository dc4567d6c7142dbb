"""What other processes use, from files of the kernel made of plain numbers; and the watch that looks at it."""

from types import SimpleNamespace

import pytest
from scripted import ScriptedMachineMeter

from lnbench.conductor.busy_watch import BEFORE_S, LEAST_WINDOW_S, LOOK_EVERY_S, BusyWatch
from lnbench.measure import neighbours
from lnbench.measure.neighbours import MachineUse, NeighbourMeter

OWN, CHILD, GRANDCHILD, OTHER = 100, 101, 102, 900


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Two usable cores of three, a process of ours with a child and its child, and a stranger. Ticks are 10 ms."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    monkeypatch.setattr("os.getloadavg", lambda: (1.5, 0.0, 0.0), raising=False)

    def write(path, text):
        (tmp_path / "proc" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc" / path).write_text(text)

    def process(number, *, ticks=0, reaped=0, delay_ns=0, children=()):
        write(f"{number}/stat", f"{number} (a ) name) S {'0 ' * 10}{ticks} 0 {reaped} 0 20 0 1\n")
        write(f"{number}/task/{number}/children", " ".join(map(str, children)))
        write(f"{number}/task/{number}/schedstat", f"5 {delay_ns} 7\n")

    def cores(*busy_ticks):
        lines = [f"cpu{core} {ticks} 0 0 1000 50 0 0 70 0 0\n" for core, ticks in enumerate(busy_ticks)]
        write("stat", "cpu  1 2 3 4 5 6 7 8 0 0\n" + "".join(lines) + "intr 1\n")

    cores(1000, 1000, 1000)
    process(OWN, children=[CHILD])
    process(CHILD, children=[GRANDCHILD])
    process(GRANDCHILD)
    process(OTHER)
    seconds = iter([10.0, 11.0, 12.0])
    meter = NeighbourMeter(root=tmp_path, own=OWN, now=lambda: next(seconds))
    return SimpleNamespace(root=tmp_path, write=write, process=process, cores=cores, meter=meter)


def usage(machine, change, *, of_all=False):
    """What happened in the second in which `change` was made."""
    before = machine.meter.counters(of_all=of_all)
    change()
    return machine.meter.usage(before, machine.meter.counters(of_all=of_all))


def test_others_use_what_the_cores_worked_beyond_this_process_and_its_children(machine):
    def change():
        machine.cores(1100, 1080, 1500)  # 1.8 cores of the two that may be used
        machine.process(OWN, ticks=10, children=[CHILD])
        machine.process(CHILD, ticks=20, children=[GRANDCHILD])
        machine.process(GRANDCHILD, ticks=30)
        machine.process(OTHER, ticks=120)

    found = usage(machine, change)

    assert found.others == pytest.approx(1.2)
    assert (found.seconds, found.cores, found.load) == (1.0, 2, 1.5)


def test_a_child_that_ended_still_counts_as_ours(machine):
    def change():
        machine.cores(1100, 1000, 1000)
        machine.process(CHILD, reaped=100)  # has waited for its child, which worked for a second

    assert usage(machine, change).others == 0


def test_idle_time_and_time_stolen_by_the_host_are_no_use(machine):
    def change():
        machine.write("stat", "cpu0 1000 0 0 1100 90 0 0 170 0 0\ncpu1 1000 0 0 1100 50 0 0 70 0 0\n")

    assert usage(machine, change).others == 0


def test_all_threads_that_wait_count_before_a_run_and_only_ours_during_it(machine):
    def change():
        machine.process(OTHER, delay_ns=1_500_000_000)
        machine.process(GRANDCHILD, delay_ns=250_000_000)

    assert usage(machine, change, of_all=True).waiting == pytest.approx(1.75)


def test_during_a_run_the_waits_of_strangers_do_not_count(machine):
    def change():
        machine.process(OTHER, delay_ns=1_500_000_000)
        machine.process(GRANDCHILD, delay_ns=250_000_000)

    assert usage(machine, change).waiting == pytest.approx(0.25)


def test_a_thread_that_began_meanwhile_is_left_out_of_the_waits(machine):
    def change():
        machine.process(901, delay_ns=10**12)

    assert usage(machine, change, of_all=True).waiting == 0


def test_pressure_is_the_share_of_time_in_which_some_thread_waited(machine):
    machine.write("pressure/cpu", "some avg10=1.26 avg60=0.88 avg300=0.40 total=1000000\nfull avg10=0.00 total=5\n")

    def change():
        machine.write("pressure/cpu", "some avg10=1.26 avg60=0.88 avg300=0.40 total=1600000\nfull total=5\n")

    assert usage(machine, change).pressure == pytest.approx(0.6)


def test_what_a_system_does_not_report_is_left_out(tmp_path, machine):
    meter = NeighbourMeter(root=tmp_path / "nowhere", own=OWN)

    found = meter.usage(meter.counters(of_all=True), meter.counters(of_all=True))

    assert (found.others, found.waiting, found.pressure) == (None, None, None)
    assert found.load == 1.5


@pytest.mark.parametrize("text", ["", "cpu0 1 2\n", "cpu0 a b c d e f g h i\n"])
def test_a_file_of_another_form_is_left_out(machine, text):
    machine.write("stat", text)

    assert usage(machine, lambda: None).others is None


def test_a_machine_with_too_many_threads_is_not_read_thread_by_thread(machine, monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_THREADS", 3)

    assert usage(machine, lambda: None, of_all=True).waiting is None


def test_the_meter_finds_this_process_and_reads_this_machine():
    meter = NeighbourMeter()
    before = meter.counters(of_all=False)

    found = meter.usage(before, meter.counters(of_all=True))

    assert found.cores >= 1
    assert found.others is None or 0 <= found.others <= found.cores


BUSY, IDLE = MachineUse(5.0, cores=2, others=1.5, load=3.5), MachineUse(5.0, cores=2, others=0.1, load=2.0)


def watched(*usages):
    """A watch over a scripted machine, with the clock that it reads, its pauses and the looks that it showed."""
    found = SimpleNamespace(meter=ScriptedMachineMeter(*usages), now=0.0, waits=[], shown=[])
    found.watch = BusyWatch(found.shown.append, meter=found.meter, now=lambda: found.now, wait=found.waits.append)
    return found


def test_before_a_run_all_threads_are_looked_at_for_half_a_second():
    made = watched(BUSY)

    look = made.watch.before(2)

    assert made.waits == [BEFORE_S]
    assert made.meter.asked == [True, True]
    assert (look.process, look.workload, look.wanted, look.others, look.load) == (None, None, 2, 1.5, 3.5)
    assert made.shown == [look]


def test_during_a_workload_the_machine_is_looked_at_every_few_seconds_only():
    made = watched()
    made.watch.begin(0, 0, wanted=2)

    for _ in range(100):
        made.now += LOOK_EVERY_S / 10
        made.watch.glance()

    assert len(made.shown) == 10
    assert set(made.meter.asked) == {False}


def test_of_a_workload_the_worst_look_is_kept():
    made = watched(IDLE, BUSY, IDLE)
    made.watch.begin(1, 3, wanted=2)
    for _ in range(3):
        made.now += LOOK_EVERY_S
        made.watch.glance()

    look = made.watch.end()

    assert (look.process, look.workload, look.others) == (1, 3, 1.5)
    assert [it.others for it in made.shown] == [0.1, 1.5, 0.1]


def test_a_short_workload_is_looked_at_when_it_ends_and_one_too_short_for_a_look_is_not():
    made = watched(BUSY)
    made.watch.begin(0, 0, wanted=1)
    made.now += LEAST_WINDOW_S
    look = made.watch.end()
    made.watch.begin(0, 1, wanted=1)

    assert look.wanted == 1
    assert made.watch.end() is None


def test_between_workloads_nothing_is_looked_at():
    made = watched()
    made.watch.begin(0, 0, wanted=1)
    made.watch.end()
    made.now += 100 * LOOK_EVERY_S
    made.watch.glance()

    assert made.shown == []
