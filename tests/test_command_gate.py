"""`lnbench run` and `lnbench check --baseline` as they are typed, over workers that say planted times.

All but the measuring itself is real: options, plan, journals, confirmation, decision, outputs, and the exit code.
"""

import json
import math
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from scripted import Workers

from lnbench.cli.door import run_command_line
from lnbench.conductor import alone, runner
from lnbench.errors import ExitCode
from lnbench.events import PROBE_CASE, Turn, WorkloadFinished
from lnbench.workload import Phase

PASSES, REGRESSION, UNFIT = ExitCode.FINE, ExitCode.REGRESSION, ExitCode.UNFIT
ROWS = ("eager", "module", "compiled", "compiled_dynamic")
COPY = "copy"
ROUNDS = 12
SUITE = """
name: planted
reference: fused
implementations: [fused, {rows}]
workloads: [{{shapes: [{shapes}], phases: [inference], threads: 1}}]
sampling: {{processes: 3, precision: 0.01, budget_s: 1}}
"""


def speaking(factors, *, has_copy):
    """A worker's script: every case takes 100 us and the copy 60, times the factor by workload and name."""

    def script(setup, order):
        draw = np.random.default_rng([setup.process, order.index])
        names = {number: case.implementation for number, case in order.cases.items()}
        if has_copy:
            names[PROBE_CASE] = COPY
        of_process = {name: draw.normal(0, 0.001) for name in names.values()}
        luck = draw.normal(0, 0.01)
        for number in range(ROUNDS):
            for case, name in names.items():
                seconds = (60e-6 if case == PROBE_CASE else 100e-6) * factors.get((order.index, name), 1.0)
                seconds *= math.exp(luck + of_process[name] + draw.normal(0, 0.002))
                samples = {"copy": seconds} if case == PROBE_CASE else {Phase.INFERENCE.value: seconds}
                yield Turn(
                    process=setup.process,
                    workload=order.index,
                    round=number,
                    case=case,
                    started_s=0.01 * number,
                    calls=dict.fromkeys(samples, 100),
                    wall_s=samples,
                )
        yield WorkloadFinished(
            process=setup.process, workload=order.index, rounds=ROUNDS, stopped_by="precision", rounds_s=0.1
        )

    return script


def command(folder, script, *arguments) -> int:
    """Run one command in a folder over workers that follow the script; gives its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(alone, "alone_on_machine", lambda *_, **__: nullcontext())
        patch.setattr(runner, "WorkerProcess", Workers(script))
        return run_command_line(list(arguments))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """Gives a folder with a suite and its baseline, in which no factor holds; each is measured once."""

    @cache
    def make(rows, workloads, has_copy):
        folder = tmp_path_factory.mktemp("gate")
        shapes = ", ".join(f"[{64 * (number + 1)}, 256]" for number in range(workloads))
        (folder / "planted.yaml").write_text(SUITE.format(rows=", ".join(rows), shapes=shapes))
        assert command(folder, speaking({}, has_copy=has_copy), "run", "planted.yaml", "--output", "base") == PASSES
        assert command(folder, None, "baseline", "base", "--output", "baseline.jsonl") == PASSES
        return folder

    return make


@pytest.fixture
def gate(baseline, tmp_path, capsys):
    """Checks with some factors against the baseline without; gives the exit code, what was said, and the journal."""

    def check(factors, *, rows=ROWS, workloads=3, has_copy=True, options=()):
        folder, out = baseline(rows, workloads, has_copy), tmp_path / "out"
        capsys.readouterr()
        arguments = ["check", "planted.yaml", "--baseline", "baseline.jsonl", "--output", str(out), *options]
        code = command(folder, speaking(factors, has_copy=has_copy), *arguments)
        told = capsys.readouterr()
        lines = [json.loads(line) for line in (out / "run.jsonl").read_text().splitlines()]
        return SimpleNamespace(code=code, text=" ".join(told.out.split()), lines=lines, out=out)

    return check


def changed(names, factor, *, on=1):
    return {(workload, name): factor for workload in range(on) for name in names}


def test_ten_workloads_of_which_all_rows_of_one_got_slower_are_red(gate):
    slow = gate(changed(ROWS[:3], 1.2), rows=ROWS[:3], workloads=10)

    assert slow.code == REGRESSION
    assert "regression: compiled, eager, module is slower in 3 of 30 rows, confirmed" in slow.text
    assert "fused changed by" in slow.text
    assert "so the rows moved" in slow.text


def test_ten_workloads_without_a_change_pass_and_nothing_is_measured_again(gate):
    same = gate({}, rows=ROWS[:3], workloads=10)

    assert same.code == PASSES
    assert "no regression in 30 rows: 30 same" in same.text
    assert all(line["event"] != "confirming" for line in same.lines)


@pytest.mark.parametrize("factor", [1.05, 1.2, 2.0])
@pytest.mark.parametrize("on", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_rows_that_got_slower_exit_1_where_the_copy_shows_that_the_reference_stayed(gate, rows, on, factor):
    assert gate(changed(ROWS[:rows], factor, on=on)).code == REGRESSION


OTHERS = {
    "the reference alone slower": (changed(["fused"], 1.2), {}, UNFIT, "the reference changed"),
    "the reference alone faster": (changed(["fused"], 1 / 1.05), {}, UNFIT, "the reference changed"),
    "everything slower, the copy included": (
        changed([COPY, "fused", *ROWS], 1.2, on=3),
        {},
        UNFIT,
        "everything got slower, a plain copy included",
    ),
    "everything but the copy slower": (
        changed(["fused", *ROWS], 1.05),
        {},
        UNFIT,
        "everything but a plain copy got slower",
    ),
    "all rows slower without a copy": (changed(ROWS, 1.2), {"has_copy": False}, UNFIT, "did not measure a plain copy"),
    "one row slower without a copy": (changed(ROWS[:1], 1.2), {"has_copy": False}, REGRESSION, "regression: eager"),
    "the only row slower": (changed(ROWS[:1], 1.2), {"rows": ROWS[:1]}, REGRESSION, "so the rows moved"),
    "the only row slower without a copy": (
        changed(ROWS[:1], 1.2),
        {"rows": ROWS[:1], "has_copy": False},
        UNFIT,
        "or fused got faster",
    ),
    "all rows slower without a copy, allowed to be inconclusive": (
        changed(ROWS, 1.2),
        {"has_copy": False, "options": ("--allow", "inconclusive")},
        UNFIT,
        "use more processes on a quieter machine",
    ),
    "all rows faster": (changed(ROWS, 1 / 1.2, on=3), {}, PASSES, "no regression"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_changes_exit_as_a_maintainer_expects(gate, name):
    factors, options, code, sentence = OTHERS[name]

    done = gate(factors, **options)

    assert done.code == code, done.text
    assert sentence in done.text


def test_all_cases_of_a_workload_with_a_flagged_row_are_measured_again_and_no_other_workload(gate):
    done = gate(changed(ROWS[:1], 1.2))

    fresh = {(line["workload"], line["case"]) for line in done.lines if line["event"] == "turn" and line["process"] > 2}
    assert {workload for workload, _ in fresh} == {0}
    assert {case for _, case in fresh} == {PROBE_CASE, *range(5)}


def test_the_sentence_about_who_moved_is_in_the_report_of_the_run(gate):
    done = gate(changed(["fused"], 1 / 1.2))

    report = (done.out / "report.md").read_text()
    assert report.startswith("## ⚠️ the reference changed: measure a new baseline")
