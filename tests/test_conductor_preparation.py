"""What is known before a run: the suite's text, what plug-ins register, and the plan that a request becomes."""

import sys
from pathlib import Path

import pytest

from lnbench.conductor.describing import Registered, describe_sources
from lnbench.conductor.known import known_implementations
from lnbench.conductor.preparation import (
    Request,
    prepare,
    read_suite_text,
    shipped_suites,
    shipped_suites_folder,
)
from lnbench.errors import PluginError, SuiteError, UsageError
from lnbench.planned import PluginSource

TOP = Path(__file__).parents[1]


def plugin(folder, text):
    file = folder / "plug.py"
    file.write_text(f"from lnbench import implementation\n{text}\n")
    return file


def test_a_plugin_is_described_without_being_loaded_here(tmp_path):
    file = plugin(
        tmp_path,
        """
@implementation("mine", function="rms_norm")
def mine(workload, *, block=128, scale=1.0, table=(1, 2)):
    '''A norm of my own.

    More about it.'''
""",
    )

    source = PluginSource(path=str(file))

    (described,) = describe_sources([source]).found

    assert (described.name, described.function, described.summary) == ("mine", "rms_norm", "A norm of my own.")
    assert described.options == {"block": 128, "scale": 1.0, "table": None}
    assert not [name for name in sys.modules if "plug" in name and name.startswith("lnbench_plugin")]
    assert known_implementations([source], Registered((described,)))["mine"].function == "rms_norm"


def test_a_plugin_with_a_thousand_implementations_is_described_whole(tmp_path):
    file = plugin(
        tmp_path,
        """
for number in range(1000):
    implementation(f"norm{number}", function="layer_norm", summary="x" * 100)(lambda workload: None)
""",
    )

    assert len(describe_sources([PluginSource(path=str(file))]).found) == 1000


def test_no_plugins_need_no_process(monkeypatch):
    monkeypatch.setattr("lnbench.conductor.describing.call_worker", pytest.fail)

    assert describe_sources([]) == Registered()


def test_a_plugin_that_does_not_finish_loading_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lnbench.conductor.describing.PLUGIN_TIMEOUT_S", 1.0)
    file = plugin(tmp_path, "import threading\nthreading.Event().wait()")

    with pytest.raises(PluginError, match=r"plug\.py: loading it failed: it did not finish within 1 s"):
        describe_sources([PluginSource(path=str(file))])


def test_what_a_plugin_prints_while_loading_is_no_answer(tmp_path):
    file = plugin(tmp_path, "import sys\nprint('[]' * 10**6)\nsys.exit('no licence found')")

    with pytest.raises(PluginError, match="no licence found"):
        describe_sources([PluginSource(path=str(file))])


def test_the_shipped_suites_of_a_checkout_are_those_at_its_top():
    assert shipped_suites_folder() == TOP / "suites"
    assert shipped_suites()["quick"] == TOP / "suites" / "quick.yaml"


def test_a_plain_name_is_a_shipped_suite_and_a_path_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("quick", "quick.yaml", "quick.yml"):
        (tmp_path / name).write_text(f"name: {name}")

    assert read_suite_text("quick") == ("quick.yaml", (TOP / "suites" / "quick.yaml").read_text())
    assert read_suite_text("./quick") == ("./quick", "name: quick")
    assert read_suite_text("quick.yaml") == ("quick.yaml", "name: quick.yaml")
    assert read_suite_text("quick.yml") == ("quick.yml", "name: quick.yml")


def test_a_suite_that_cannot_be_read_is_refused_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"name: a\ndescription: caf\xe9\n")
    (tmp_path / "long.yaml").write_text("# " + "x" * (1 << 20))

    for suite, message in (
        ("folder.yaml", "folder.yaml: is a folder"),
        ("latin.yaml", "latin.yaml:2: not UTF-8 text"),
        ("long.yaml", "long.yaml: a suite file has at most 1 MiB"),
        ("nowhere/mine.yaml", "nowhere/mine.yaml: there is no such file"),
        ("/dev/null/mine.yaml", "/dev/null/mine.yaml: Not a directory"),
    ):
        with pytest.raises(SuiteError, match=message):
            read_suite_text(suite)


def test_a_missing_suite_comes_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decoding.yaml").write_text("name: decoding")

    with pytest.raises(SuiteError) as missing_file:
        read_suite_text("decodin.yaml")
    with pytest.raises(UsageError) as missing_name:
        read_suite_text("decoding")

    assert missing_file.value.hint.startswith('did you mean "decoding.yaml"?')
    assert missing_name.value.hint.startswith("to run the file write decoding.yaml")


def test_a_request_becomes_a_plan_with_the_suite_s_text_and_the_plugins_digests(tmp_path):
    file = plugin(tmp_path, '@implementation("mine", function="layer_norm")\ndef mine(workload): ...')

    prepared = prepare(
        Request("quick", only=["dtype=float32", "label=tiny"], implementations=["mine"], plugins=[file], processes=2)
    )

    assert [case.implementation for case in prepared.plan.cases] == ["fused", "mine"]
    assert [planned.workload.label for planned in prepared.plan.workloads] == ["tiny"]
    assert prepared.plan.sampling.processes == 2
    assert prepared.suite_text == (TOP / "suites" / "quick.yaml").read_text()
    assert set(prepared.plugin_digests) == {"plug.py"}
