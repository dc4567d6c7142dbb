"""Memory that may still be had, and the kernel's count of kills for want of it."""

import resource

import psutil
import pytest

from lnbench.measure.heap import can_retain_heap, unused_heap_b
from lnbench.measure.host_memory import available_b, kernel_kills, offer_as_victim

MIB = 1 << 20


@pytest.fixture
def write(tmp_path):
    """Writes a file below a root that stands in for /."""

    def write_file(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    return write_file


def test_without_limits_the_system_s_own_word_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert available_b(root=tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_a_control_group_of_version_2_limits_what_can_be_had_and_gives_file_caches_back(tmp_path, write):
    write("proc/self/cgroup", "0::/box/inner\n")
    write("sys/fs/cgroup/box/memory.max", f"{64 * MIB}\n")
    write("sys/fs/cgroup/box/memory.current", f"{48 * MIB}\n")
    write("sys/fs/cgroup/box/memory.stat", f"anon 5\ninactive_file {8 * MIB}\n")
    write("sys/fs/cgroup/box/inner/memory.max", "max\n")

    assert available_b(root=tmp_path) == 24 * MIB


def test_a_control_group_of_version_1_limits_what_can_be_had(tmp_path, write):
    write("proc/self/cgroup", "4:memory:/box\n0::/\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{2**63 - 4096}\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n")
    write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", f"{64 * MIB}\n")
    write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", f"{60 * MIB}\n")

    assert available_b(root=tmp_path) == 4 * MIB


def test_a_limit_of_the_shell_counts_from_what_this_process_has_already(tmp_path, monkeypatch):
    has_b = psutil.Process().memory_info().vms
    monkeypatch.setattr("resource.getrlimit", lambda _: (has_b + 50 * MIB, resource.RLIM_INFINITY))

    assert 0 < available_b(root=tmp_path) <= 50 * MIB


def test_kills_are_counted_in_groups_of_both_versions_and_on_the_machine(tmp_path, write):
    write("proc/self/cgroup", "4:memory:/box\n0::/new\n")
    write("proc/vmstat", "nr_free_pages 3\noom_kill 1\n")
    write("sys/fs/cgroup/new/memory.events", "oom 9\noom_kill 20\noom_group_kill 0\n")
    write("sys/fs/cgroup/memory/box/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 300\n")

    assert kernel_kills(root=tmp_path) == 321


def test_a_system_that_counts_nothing_counts_no_kills(tmp_path):
    assert kernel_kills(root=tmp_path) == 0


def test_a_worker_offers_itself_to_the_kernel_where_it_can(tmp_path):
    offer_as_victim(tmp_path / "oom_score_adj")
    offer_as_victim(tmp_path / "missing" / "oom_score_adj")

    assert (tmp_path / "oom_score_adj").read_text() == "500"


def test_what_the_heap_holds_unused_is_told_where_the_c_library_tells_it():
    assert (unused_heap_b() > 0) is can_retain_heap()
