"""The check of a new GPU, rehearsed: the real command and the real worker on a pretended card.

A fault that would end every CUDA run, or blame the innocent, fails here, on a machine without a GPU.
"""

from pathlib import Path

import pytest
from broken import Fault, broken_copy
from command import MEASURED, journal, results, run_lnbench, run_python

from tools.gpu_check.bench import PLUGINS
from tools.gpu_check.pretended.importing import pretended_environment
from tools.gpu_check.result_rows import rows
from tools.gpu_check.small_suites import small, suites_on
from tools.gpu_check.steps.traps import wrong_ends

SUITES = suites_on("cuda")

TRAPS = """
name: traps
reference: fused
implementations: [fused, innocent_a, innocent_b, innocent_array, trap_lost, trap_host]
workloads: [{shapes: [[8, 64]], devices: cuda, phases: inference, threads: 1}]
sampling: {processes: 1, precision: 1.0e-6, budget_s: 0.2}
"""

FAULTS = {
    "a device without an index": (
        Fault(
            "measure/cuda.py", "torch.cuda.set_device(torch.device(device).index or 0)", "torch.cuda.set_device(device)"
        ),
        ("fused", "specified index"),
    ),
    "results compared where they lie": (
        Fault("worker/deviations.py", ".to(right.value.device, torch.float64)", ".to(torch.float64)"),
        ("innocent_array", "same device"),
    ),
    "a lost device goes unnoticed": (
        Fault("worker/cases.py", "lost = lost_device(self.workload.device)", 'lost = ""'),
        ("innocent", "CUDA error"),
    ),
}
"""Faults that no machine without a GPU showed before; who is then blamed, and with which words."""


SPINS = Fault(
    "measure/launch_queue.py",
    """        if before is None:
            self.missed = Missed.LATE
            self._spin(needed_s)
""",
    """        if before is None or self.spin_s < LONGEST_SPIN_S:
            self.missed = Missed.LATE
            self._spin(2 * self.spin_s)
""",
)
"""Spins double up to the longest one, so that a case that waits for the device takes the time of all others."""


@pytest.fixture
def traps(tmp_path):
    """Runs the traps, with lnbench from the repository or from a folder before it; gives what ended wrong."""
    (tmp_path / "traps.yaml").write_text(TRAPS)

    def run(*first):
        plugins = [word for name in ("traps", "pretended_traps") for word in ("--plugin", PLUGINS / f"{name}.py")]
        options = ("--seed", "9", "--output", "run")  # builds trap_lost before all that is innocent
        run_lnbench(tmp_path, "run", "traps.yaml", *plugins, *options, env=pretended_environment(first=first))
        table = [row for row in rows(tmp_path / "run") if row["phase"] == "inference"]
        assert table
        return wrong_ends(table, least_rounds=0)

    return run


def test_the_suites_that_name_a_gpu_are_found():
    assert {"gpu", "kernels"} <= set(SUITES)
    assert "quick" not in SUITES


@pytest.mark.parametrize("name", SUITES)
def test_every_workload_of_a_suite_for_gpus_gets_through_on_a_pretended_one(tmp_path, name):
    (tmp_path / f"{name}.yaml").write_text(small(SUITES[name]))

    done = run_lnbench(tmp_path, "run", f"{name}.yaml", "--output", "run", env=pretended_environment())

    table = results(tmp_path / "run")
    here = table[table.clock == "device"]
    needs_triton = (here.status == "unsupported") & here.reason.str.contains("Triton", na=False)
    # On a busy machine the host may be too late for every sample of a row, which is then skipped.
    odd = here[~here.status.isin({*MEASURED, "skipped"}) & ~needs_triton]
    assert done.code == 0, done.stderr
    assert set(table.device_name) == {"Pretended GPU"}
    assert odd.empty, odd[["implementation", "status", "reason"]].drop_duplicates().to_string()
    assert here.status.isin(MEASURED).any()


def test_traps_end_as_they_should_in_a_journal_that_does_not_pass_for_one_of_a_card(traps, tmp_path):
    wrong = traps()

    started = next(line for line in journal(tmp_path / "run") if line["event"] == "worker_started")
    assert wrong == []
    assert started["device_name"] == "Pretended GPU"
    assert started["versions"]["torch"].endswith("+pretended")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_a_card_would_show_is_caught_without_one(traps, tmp_path, name):
    fault, (blamed, words) = FAULTS[name]

    wrong = traps(broken_copy(tmp_path / "broken", fault))

    assert any(line.startswith(blamed) and words in line for line in wrong), wrong


def test_spins_that_grow_up_to_the_longest_are_caught_by_the_tests_of_the_queue(tmp_path):
    environment = {"PYTHONPATH": str(broken_copy(tmp_path, SPINS))}
    queue = Path(__file__).parent / "test_launch_queue.py"

    done = run_python(tmp_path, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", queue, env=environment)

    assert done.code == 1, done.stdout
    assert "waits" in done.stdout.partition("short test summary")[2]
