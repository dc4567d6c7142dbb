"""The meter over a made-up /proc: what it counts, how it follows threads that come and go, and where nothing counts."""

import os
import sys
from pathlib import Path

import pytest

from lnbench.measure import scheduling, steal
from lnbench.measure.scheduling import NoMeter, ThreadMeter
from lnbench.measure.wakeup_cost import LEAST_WAKEUP_S, MOST_WAKEUP_S, wakeup_cost_s
from lnbench.undisturbed import DEFAULT_WAKEUP_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has schedstat")

MICROSECOND = 1000
MILLISECOND = 1000 * MICROSECOND


class Proc:
    """A /proc of one process under `root`. The number of links of its folder follows the threads, as the kernel's does,
    on file systems that count folders so.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tasks = root / "proc/self/task"
        self.tasks.mkdir(parents=True)

    def thread(self, number: int, *, cpu_ns=0, delay_ns=0, slices=0) -> None:
        """Set what a thread has had so far. Its file is rewritten in place, because the meter keeps it open."""
        file = self.tasks / str(number) / "schedstat"
        file.parent.mkdir(exist_ok=True)
        text = f"{cpu_ns:20d} {delay_ns:20d} {slices:20d}\n"
        with file.open("r+" if file.exists() else "w") as opened:
            opened.write(text)

    def end(self, number: int) -> None:
        """Remove a thread."""
        (self.tasks / str(number) / "schedstat").unlink()
        (self.tasks / str(number)).rmdir()

    def steal(self, ticks_by_core: dict[int, int]) -> None:
        """Write /proc/stat with these ticks of steal."""
        rows = [f"cpu{core} 1 2 3 4 5 6 7 {ticks} 0 0\n" for core, ticks in ticks_by_core.items()]
        with (self.root / "proc/stat").open("w") as opened:
            opened.write(f"cpu  9 9 9 9 9 9 9 {sum(ticks_by_core.values())} 0 0\n{''.join(rows)}intr 1 2 3\n")

    def counts_links(self) -> bool:
        """True where the number of links of a folder follows its folders; btrfs and overlays keep it at 1."""
        return self.tasks.stat().st_nlink == 2 + len(list(self.tasks.iterdir()))


class Clock:
    """Nanoseconds that a test sets."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def proc(tmp_path):
    made = Proc(tmp_path)
    made.thread(10)
    if not made.counts_links():
        pytest.skip("this file system does not count a folder's folders in its links")
    return made


def test_a_look_gives_what_happened_to_all_threads_since_the_look_before(proc):
    proc.thread(10, cpu_ns=500, delay_ns=3 * MILLISECOND, slices=4)
    proc.thread(11, cpu_ns=500, delay_ns=MILLISECOND, slices=1)
    meter = ThreadMeter(root=proc.root)

    proc.thread(10, cpu_ns=900, delay_ns=3 * MILLISECOND + 40 * MICROSECOND, slices=6)
    proc.thread(11, cpu_ns=900, delay_ns=MILLISECOND + 2 * MICROSECOND, slices=2)
    first, second = meter.look(), meter.look()

    assert meter.has_delay
    assert (first.delay_s, first.wakeups) == (pytest.approx(42e-6), 3)
    assert (second.delay_s, second.wakeups) == (0.0, 0)


def test_a_new_thread_is_found_and_its_whole_past_counts(proc):
    meter = ThreadMeter(root=proc.root)
    meter.look()

    proc.thread(12, delay_ns=70 * MICROSECOND, slices=5)

    assert meter.look()[:2] == (pytest.approx(70e-6), 5)
    assert meter.look()[:2] == (0.0, 0)


def test_a_thread_that_ended_is_left_out_and_the_others_count_on(proc):
    proc.thread(11, delay_ns=MILLISECOND)
    meter = ThreadMeter(root=proc.root)

    proc.end(11)
    proc.thread(10, delay_ns=30 * MICROSECOND, slices=1)

    assert meter.look()[:2] == (pytest.approx(30e-6), 1)
    assert set(meter.cpu_by_thread_s()) == {10}


def test_a_thread_that_ended_while_another_began_hides_no_delay_of_the_rest(proc, monkeypatch):
    proc.thread(11, delay_ns=MILLISECOND)
    meter = ThreadMeter(root=proc.root)
    ended, read = [meter._descriptors[11]], os.pread

    def pread(descriptor, *args):
        """As the kernel answers for a thread that is gone."""
        if descriptor in ended:
            ended.clear()  # the next file that is opened may get the same number
            raise ProcessLookupError
        return read(descriptor, *args)

    proc.end(11)
    proc.thread(12, delay_ns=5 * MICROSECOND, slices=1)
    proc.thread(10, delay_ns=30 * MICROSECOND, slices=2)
    monkeypatch.setattr(scheduling.os, "pread", pread)

    assert meter.look()[:2] == (pytest.approx(35e-6), 3)
    assert set(meter.cpu_by_thread_s()) == {10, 12}


def test_a_wait_longer_than_the_time_since_the_last_look_reaches_back_before_it(proc):
    clock = Clock()
    proc.thread(11)
    meter = ThreadMeter(root=proc.root, now=clock)

    clock.ns += 2 * MILLISECOND
    proc.thread(10, delay_ns=MILLISECOND, slices=1)
    proc.thread(11, delay_ns=5 * MILLISECOND, slices=1)  # had been waiting for 3 ms before
    reaching = meter.look()
    clock.ns += 9 * MILLISECOND
    proc.thread(11, delay_ns=9 * MILLISECOND, slices=2)

    assert reaching.reach_s == pytest.approx(3e-3)
    assert meter.look().reach_s == 0.0


def test_waits_of_two_threads_at_once_reach_back_no_further_than_the_longer_one(proc):
    clock = Clock()
    proc.thread(11)
    meter = ThreadMeter(root=proc.root, now=clock)

    clock.ns += 2 * MILLISECOND
    proc.thread(10, delay_ns=2 * MILLISECOND, slices=1)
    proc.thread(11, delay_ns=2 * MILLISECOND, slices=1)

    assert meter.look()[:2] == (pytest.approx(4e-3), 2)
    assert meter.look().reach_s == 0.0


def test_without_schedstat_delay_is_unknown(tmp_path):
    (tmp_path / "proc/self/task/10").mkdir(parents=True)
    meter = ThreadMeter(root=tmp_path)

    found = meter.look()

    assert not meter.has_delay
    assert found.delay_s is None
    assert found.involuntary >= 0
    assert meter.steal_s() is None


def test_without_proc_at_all_delay_is_unknown(tmp_path):
    meter = ThreadMeter(root=tmp_path)

    assert meter.look().delay_s is None
    assert meter.cpu_by_thread_s() == {}


def test_cpu_time_is_told_by_thread_as_the_last_look_found_it(proc):
    proc.thread(11, cpu_ns=2 * MILLISECOND)
    meter = ThreadMeter(root=proc.root)
    proc.thread(11, cpu_ns=7 * MILLISECOND)

    before = meter.cpu_by_thread_s()[11]
    meter.look()

    assert (before, meter.cpu_by_thread_s()[11]) == (pytest.approx(2e-3), pytest.approx(7e-3))


def test_steal_is_that_of_the_cores_that_this_process_may_use(proc, monkeypatch):
    monkeypatch.setattr(steal.os, "sched_getaffinity", lambda _: {1, 3})
    monkeypatch.setattr(steal.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(steal, "_TICKS_PER_S", 100)
    proc.steal({0: 500, 1: 10, 2: 500, 3: 5})
    meter = ThreadMeter(root=proc.root)

    before = meter.steal_s()
    proc.steal({0: 900, 1: 11, 2: 900, 3: 5})

    assert (before, meter.steal_s()) == (pytest.approx(0.15), pytest.approx(0.16))


def test_steal_that_is_not_told_is_unknown(proc):
    (proc.root / "proc/stat").write_text("cpu0 1 2 3\n")

    assert ThreadMeter(root=proc.root).steal_s() is None


def test_a_closed_meter_holds_no_descriptors(proc):
    proc.thread(11)
    before = len(os.listdir("/proc/self/fd"))
    meter = ThreadMeter(root=proc.root)
    opened = len(os.listdir("/proc/self/fd"))

    del meter

    assert opened >= before + 3
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_threads_do_not_decide_nothing_is_looked_at():
    meter = NoMeter()

    assert (meter.look(), meter.steal_s(), meter.cpu_by_thread_s()) == (None, None, {})


def test_a_wake_up_of_this_machine_costs_something_within_its_bounds():
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel has no schedstat")

    assert LEAST_WAKEUP_S <= wakeup_cost_s() <= MOST_WAKEUP_S


def test_where_nothing_counts_delay_a_wake_up_costs_what_it_usually_does(tmp_path):
    assert wakeup_cost_s(root=tmp_path) == DEFAULT_WAKEUP_S


def test_this_process_s_own_threads_are_looked_at():
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel has no schedstat")
    meter = ThreadMeter()

    assert meter.has_delay
    assert set(meter.cpu_by_thread_s()) == {int(name) for name in os.listdir("/proc/self/task")}
    assert meter.look().delay_s >= 0
