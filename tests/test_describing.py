"""Asking sources what they register: each fault is put down to the source that has it, and the others are asked too."""

import pytest
from fabricate import ENVIRONMENT
from packages import install, looking_into, norm

from lnbench.conductor import known
from lnbench.conductor.calling import Answer
from lnbench.conductor.describing import Registered, describe_sources
from lnbench.conductor.known import known_implementations
from lnbench.conductor.loaded import loaded
from lnbench.errors import PluginError
from lnbench.implementations.needs import Need
from lnbench.implementations.packages import chosen_sources
from lnbench.implementations.registry import Row
from lnbench.planned import InstalledSource, PlannedCase, PluginSource, Status
from lnbench.worker.description import Described, Description


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Installs packages of one entry point each, by name and module text, and gives their sources in that order."""

    def installed(**texts):
        for name, text in texts.items():
            install(tmp_path / "site", f"{name}-norms", {name: f"pkg_{name}:{name}"}, {f"pkg_{name}": text})
        return [source for name in texts for source in chosen_sources([name])]

    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", looking_into(tmp_path / "site")["PYTHONPATH"])
    return installed


def test_sources_after_one_that_ends_the_process_are_asked_in_another(packages):
    sources = packages(
        first=norm("first"), ended="import os; os._exit(3)", raised="raise OSError('no')", last=norm("last")
    )

    told = describe_sources(sources)

    assert [(entry.name, entry.number) for entry in told.found] == [("first", 0), ("last", 3)]
    assert told.unloadable == {
        1: (Status.CRASH, "ended-norms 1.0: loading it failed: it exited with 3"),
        2: (Status.ERROR, "raised-norms 1.0: raised = pkg_raised:raised: OSError: no (pkg_raised.py:1)"),
    }


def test_a_package_that_takes_too_long_is_a_timeout(packages, monkeypatch):
    monkeypatch.setattr("lnbench.conductor.describing.PLUGIN_TIMEOUT_S", 1.0)

    told = describe_sources(packages(hung="import threading; threading.Event().wait()"))

    ((status, reason),) = told.unloadable.values()
    assert status is Status.TIMEOUT
    assert reason.startswith("hung-norms 1.0: loading it failed: it did not finish within 1 s: threading.py:")
    assert reason.endswith(", called by pkg_hung.py:1 (<module>)")


def test_a_source_is_not_blamed_for_the_time_that_those_before_it_took(monkeypatch):
    asked = []

    def call(arguments, *, timeout_s):
        asked.append(arguments[1])
        number = int(arguments[1])
        line = Description(found=(entry("ab"[number], number),)).model_dump_json().encode() + b"\n"
        return Answer(line, "it did not finish within 120 s" if number == 0 else "", timed_out=number == 0)

    monkeypatch.setattr("lnbench.conductor.describing.call_worker", call)

    told = describe_sources([source("a"), source("b")])

    assert asked == ["0", "1"]
    assert ([it.name for it in told.found], told.unloadable) == (["a", "b"], {})


def test_a_file_that_registers_a_package_s_name_is_refused(packages, tmp_path):
    (tmp_path / "mine.py").write_text(norm("same"))
    sources = [PluginSource(path=str(tmp_path / "mine.py")), *packages(same=norm("same"))]

    with pytest.raises(PluginError, match=r'mine\.py: the name "same" is taken by same-norms 1\.0') as caught:
        describe_sources(sources)

    assert caught.value.hint == "choose another name, or uninstall that"


def source(name, version="1.0"):
    return InstalledSource(name=name, value=f"{name}:{name}", distribution=f"{name}-norms", version=version)


def case(use, status=None):
    return PlannedCase(workload=0, implementation=use, use=use, function="layer_norm", status=status)


def entry(name, number):
    return Described(name=name, function="layer_norm", summary="", options={}, number=number)


def test_what_can_not_be_loaded_is_no_source_of_a_run_and_numbers_stay_right():
    sources = [source("a"), source("b"), source("c")]
    told = Registered(found=(entry("a", 0), entry("c", 2)), unloadable={1: (Status.ERROR, "why")})

    kept = loaded(sources, told)

    assert kept.sources == (sources[0], sources[2])
    assert kept.owners == {"a": 0, "c": 1}
    assert known_implementations(sources, told)["b"].obstacle == (Status.ERROR, "why")


def test_the_environment_names_what_is_measured_with_and_nothing_else_that_is_installed(monkeypatch):
    need = Need("json", ("a-library",), "")
    monkeypatch.setattr(known, "BUILT_IN", {name: Row(name, "layer_norm", "", "", needs=(need,)) for name in "ab"})
    monkeypatch.setattr(known, "installed_version", lambda need: "7.0")
    sources = [source("c", "2.5"), source("d")]

    unused = known.with_libraries(ENVIRONMENT, [case("e"), case("a", Status.SKIPPED)], sources)
    used = known.with_libraries(ENVIRONMENT, [case("b"), case("c")], sources)

    assert unused == ENVIRONMENT
    assert used.versions == {**ENVIRONMENT.versions, "a-library": "7.0", "c-norms": "2.5"}
