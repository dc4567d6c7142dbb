"""The README says what the program does: its commands, its suites, and the one line that CI runs."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from command import run_lnbench
from typer.main import get_command

from lnbench.cli.door import app
from lnbench.conductor.formats import CHECK_FORMATS
from lnbench.conductor.preparation import shipped_suites
from lnbench.implementations import needs
from lnbench.implementations.registry import BUILT_IN
from lnbench.render.implementations import HEADINGS
from lnbench.suite import read_suite

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_exactly_the_readme_s_command_for_the_tests():
    command = next(line for line in README.splitlines() if line.endswith("tests/check.py"))

    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_every_shipped_suite_stands_in_the_readme_with_its_question():
    block = README.partition("<!-- suites -->")[2].partition("<!-- /suites -->")[0]
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", block, re.MULTILINE))
    questions = {
        name: " ".join(read_suite(path.read_text(encoding="utf-8"), source=name).description.split())
        for name, path in shipped_suites().items()
    }

    assert rows == questions


def test_every_built_in_implementation_stands_in_the_readme():
    section = README.partition("## Implementations")[2].partition("## Suites")[0]

    assert {name for name in BUILT_IN if f"`{name}`" not in section} == set()


def test_the_columns_of_the_list_stand_in_the_readme_in_their_order():
    section = README.partition("`lnbench list implementations` shows them")[2].partition("\n\nNothing is imported")[0]

    assert tuple(re.findall(r"^\| `([\w ]+)` \|", section, re.MULTILINE)) == HEADINGS


def test_every_extra_stands_in_the_readme_and_is_what_a_missing_library_s_hint_names():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    hints = " ".join(need.install for need in vars(needs).values() if isinstance(need, needs.Need))

    assert set(re.findall(r"^\| `lnbench\[(\w+)\]` \|", README, re.MULTILINE)) == set(extras) - {"dev"}
    assert set(re.findall(r"'lnbench\[(\w+)\]'", hints)) == set(extras) - {"dev", "frameworks"}


def test_the_readme_s_implementation_for_another_framework_is_right_as_it_is_written(tmp_path):
    text = re.search(r"```python\n(# my_framework_norms.py.*?)```", README, re.DOTALL)
    assert text
    (tmp_path / "my_framework_norms.py").write_text(text[1])

    done = run_lnbench(
        tmp_path,
        *("list", "implementations", "--plugin", "my_framework_norms.py", "-i", "numpy_inference", "--try"),
        *("--format", "json"),
    )

    (entry,) = json.loads(done.stdout)
    assert entry["tried"] == {"status": "works", "detail": ""}


def test_the_readme_s_suite_and_plug_in_are_complete(tmp_path):
    suite = re.search(r"```yaml\n(# my_suite.yaml.*?)```", README, re.DOTALL)
    plugin = re.search(r"```python\n(# my_norms.py.*?)```", README, re.DOTALL)
    assert suite
    assert plugin

    assert read_suite(suite[1], source="my_suite.yaml").name == "mine"
    compile(plugin[1], "my_norms.py", "exec")


def test_the_readme_s_workflows_are_yaml_and_call_commands_that_parse():
    blocks = re.findall(r"```yaml\n(# \.git.*?)```", README, re.DOTALL)
    calls = [
        shlex.split(line.strip())
        for block in blocks
        for script in _texts(yaml.safe_load(block))
        for line in script.splitlines()
        if line.strip().startswith("lnbench ")
    ]

    assert len(blocks) == len(calls) == 2
    for _, command, *arguments in calls:
        parsed = get_command(app).commands[command].make_context(command, list(arguments), resilient_parsing=False)
        assert parsed.params["against"].startswith("git:")
        assert {value.partition("=")[0] for value in parsed.params["format"]} <= set(CHECK_FORMATS)


def _texts(value):
    """Every text in a YAML value."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


@pytest.mark.parametrize("command", ["check", "compare", "baseline", "selftest", "report", "run"])
def test_every_option_that_the_readme_writes_for_a_command_exists(command):
    known = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}
    written = set()
    for call in re.findall(rf"lnbench {command} ([^`\n]*)", README):
        written |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", call))

    assert written <= known | {"--help"}
