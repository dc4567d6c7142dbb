"""Which clocks a workload is timed by, and where one is refused."""

import pytest
from planning import GPU_MACHINE, plan, suite

from lnbench.errors import SuiteError
from lnbench.workload import Clock

ALL = "clocks: [wall, device, batch, graph]"


def clocks_of(entry, **options):
    return [workload.clocks for workload in plan(entry, machine=GPU_MACHINE, **options).workloads]


def test_on_a_gpu_the_clocks_are_those_that_the_entry_names_in_one_order():
    assert clocks_of("shapes: [[8, 64]], devices: cuda, clocks: [graph, device]") == [(Clock.DEVICE, Clock.GRAPH)]
    assert clocks_of(f"shapes: [[8, 64]], devices: cuda, {ALL}") == [tuple(Clock)]


def test_clocks_multiply_nothing():
    made = plan(f"shapes: [[8, 64], [4, 64]], devices: cuda, {ALL}", machine=GPU_MACHINE)

    assert (len(made.workloads), len(made.cases)) == (2, 4)


def test_of_two_devices_each_has_the_clocks_of_its_own():
    assert clocks_of(f"shapes: [[8, 64]], devices: [cpu, cuda], {ALL}") == [(Clock.WALL,), tuple(Clock)]


def test_an_entry_without_devices_takes_what_the_device_of_the_command_line_has():
    entry = f"shapes: [[8, 64]], {ALL}"

    assert clocks_of(entry) == [(Clock.WALL,)]
    assert clocks_of(entry, options={"devices": ["cuda"]}) == [tuple(Clock)]


@pytest.mark.parametrize("clock", ["device", "batch", "graph"])
def test_a_gpu_s_clock_on_devices_that_are_the_cpu_is_refused_where_it_stands(clock):
    with pytest.raises(SuiteError) as caught:
        suite(f"shapes: [[8, 64]], devices: cpu, clocks: [wall, {clock}]")

    assert caught.value.message == (
        f"s.yaml:5: workloads[0].clocks[1]: the {clock} clock needs a CUDA device, and this entry has cpu"
    )
    assert "write devices: cuda" in caught.value.hint


@pytest.mark.parametrize("options", [{}, {"devices": ["cpu"]}])
def test_an_entry_that_no_clock_is_left_of_is_refused_where_it_stands(options):
    devices = "devices: cuda, " if options else ""

    with pytest.raises(SuiteError) as caught:
        plan(f"shapes: [[8, 64]], {devices}clocks: [batch, graph]", machine=GPU_MACHINE, options=options)

    assert caught.value.message == "s.yaml:5: workloads[0].clocks: cpu has no batch, graph clock"


def test_a_clock_that_is_not_known_is_named_with_the_nearest():
    with pytest.raises(SuiteError) as caught:
        suite("shapes: [[8, 64]], devices: cuda, clocks: cuda_graph")

    assert caught.value.message == 's.yaml:5: workloads[0].clocks: unknown clock "cuda_graph"'
    assert caught.value.hint.startswith('did you mean "graph"?')


@pytest.mark.parametrize("clocks", ["wall", "batch", "[wall, batch]", "[wall, graph]", "[batch, graph]"])
@pytest.mark.parametrize("cache", ["hot", "cold"])
def test_clocks_without_the_one_that_decides_when_rounds_stop_are_refused(clocks, cache):
    with pytest.raises(SuiteError, match=r"s\.yaml:5: workloads\[0\]\.clocks: device is missing"):
        plan(f"shapes: [[8, 64]], devices: cuda, cache: {cache}, clocks: {clocks}", machine=GPU_MACHINE)


@pytest.mark.parametrize(
    ("clocks", "deciding"),
    [("[graph]", Clock.GRAPH), (ALL[8:], Clock.DEVICE), ("[device, graph]", Clock.DEVICE), ("device", Clock.DEVICE)],
)
def test_the_device_s_clock_decides_and_the_graph_s_where_it_alone_was_asked_for(clocks, deciding):
    (workload,) = plan(f"shapes: [[8, 64]], devices: cuda, clocks: {clocks}", machine=GPU_MACHINE).workloads

    assert workload.deciding_clock is deciding


def test_a_workload_of_the_graph_clock_is_measured_twice_and_its_budget_counts_twice():
    plain, again = (
        plan(f"shapes: [[8, 64], [4, 64]], devices: cuda{clocks}", machine=GPU_MACHINE, options={"budget_s": 3.0})
        for clocks in ("", ", clocks: [device, graph]")
    )

    assert (plain.measured_parts, again.measured_parts) == (2, 4)
    assert again.timed_s == 2 * plain.timed_s
    assert again.estimated_s > plain.estimated_s
