"""What only looks and plans is instant: it loads no framework, starts nothing, and sums up what is long."""

import json

import pytest
from command import run_lnbench, run_python

from lnbench.cli.door import run_command_line

FRAMEWORKS = (
    *("tensorflow", "keras", "jax", "equinox", "onnxruntime", "onnx"),
    *("liger_kernel", "apex", "quack", "transformer_engine"),
)
HEAVY = ("torch", "pandas", "scipy", "numpy", "triton", *FRAMEWORKS)
WATCHED = f"""
import json, sys
from lnbench.cli.door import run_command_line
code = run_command_line(sys.argv[1:])
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)
"""
LONG_SUITE = """
name: long
implementations: [eager, fused, module, rms_norm]
workloads:
  - shapes: [{shapes}]
    dtypes: [float32, float16, bfloat16, float64]
    affine: [both, weight, none]
    eps: [1.0e-5, 1.0e-6]
    norm_dims: [1, 2]
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "run --help",
        "report --help",
        "history --help",
        "list implementations",
        "list suites",
        "list cases quick",
        "run quick --dry-run",
    ],
)
def test_looking_and_planning_load_no_framework(tmp_path, arguments):
    done = run_python(tmp_path, "-c", WATCHED, *arguments.split())

    assert json.loads(done.stderr) == [0, []]
    assert done.stdout
    assert not list(tmp_path.iterdir())


def test_neither_lnbench_nor_what_a_worker_is_made_of_imports_a_framework_beside_pytorch(tmp_path):
    imports = "import sys, lnbench, lnbench.cli.door, lnbench.worker.session, lnbench.worker.rehearsal"

    done = run_python(
        tmp_path, "-c", f"{imports}\nprint('torch' in sys.modules, set({FRAMEWORKS!r}) & set(sys.modules))"
    )

    assert done.stdout == "True set()\n"


def test_a_dry_run_lists_every_case_of_a_short_plan(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    code = run_command_line(["run", "quick", "--dry-run", "--only", "dtype=float32"])

    printed = capsys.readouterr().out
    assert code == 0
    assert printed.count("measured") == 8
    assert "plan: 8 cases on 2 workloads" in printed


def test_a_dry_run_of_100000_cases_is_a_summary_of_a_few_lines(tmp_path):
    shapes = ", ".join(f"[8, {features}]" for features in range(1, 522))
    (tmp_path / "long.yaml").write_text(LONG_SUITE.format(shapes=shapes))

    done = run_lnbench(tmp_path, "run", "long.yaml", "--dry-run")

    assert done.code == 0
    assert "plan: 100032 cases on 25008 workloads" in done.stdout
    assert len(done.stdout.splitlines()) < 20
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_help_tells_the_commands_and_shows_examples(capsys):
    code = run_command_line(["--help"])

    printed = capsys.readouterr().out
    assert code == 0
    assert "lnbench run quick" in printed
    assert all(f"\n  {command}" in printed for command in ("run", "list", "report", "history", "schema"))


@pytest.mark.parametrize("arguments", [["run"], ["report"], ["list"], ["list", "cases"]], ids=" ".join)
def test_a_command_without_its_arguments_shows_its_help_with_examples(arguments, capsys):
    code = run_command_line(arguments)

    shown = capsys.readouterr()
    assert code == 2
    assert "lnbench" in shown.out + shown.err
    assert "Example" in shown.out + shown.err
    assert "error" not in shown.out + shown.err


@pytest.mark.parametrize("arguments", [["run"], ["report"], ["history"], ["schema"], ["list", "suites"]], ids=" ".join)
def test_every_command_has_help_with_an_example(arguments, capsys):
    code = run_command_line([*arguments, "--help"])

    assert code == 0
    assert f"lnbench {' '.join(arguments)}" in capsys.readouterr().out.partition("Example")[2]


def test_the_version_is_told_in_a_line(capsys):
    code = run_command_line(["--version"])

    assert code == 0
    assert capsys.readouterr().out.startswith("lnbench 0.")


def test_the_schema_command_prints_a_json_schema(capsys):
    code = run_command_line(["schema"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")
