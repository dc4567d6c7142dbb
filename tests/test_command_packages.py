"""Installed packages through the real command: listed, tried, measured, resumed, checked; broken ones beside them."""

import json
import shutil
from types import SimpleNamespace

import pytest
from command import MEASURED, journal, results, run_lnbench, write_suite
from packages import install, looking_into, norm

HARMS = {
    "raising": "raise RuntimeError('no licence\\nfor you')",
    "segfaulting": "import ctypes\nctypes.string_at(0)",
    "exiting": "import os\nos._exit(0)",
    "leaving": "import sys\nsys.exit(3)",
    "printing": "import os, sys\nprint('x' * 10**6)\nos.write(int(sys.argv[2]), b'garbage\\n')",
    "unlucky": "import ctypes, sys\n'--describe' in sys.argv or ctypes.string_at(0)",
}
"""What packages do when they are imported; the last one only in a process that measures."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder, and the environment in which a good package, broken ones and one that nobody names are installed."""
    folder = tmp_path_factory.mktemp("world")
    site = folder / "site"
    install(site, "good-norms", {"good": "pkg_good:good"}, {"pkg_good": norm("good")}, version="1.2.3")
    for name, harm in HARMS.items():
        install(site, f"{name}-norms", {name: f"pkg_{name}:{name}"}, {f"pkg_{name}": f"{harm}\n{norm(name)}"})
    loaded = folder / "loaded"
    text = f"open({str(loaded)!r}, 'w').close()\n{norm('unnamed')}"
    install(site, "unnamed-norms", {"unnamed": "pkg_unnamed:unnamed"}, {"pkg_unnamed": text})
    return SimpleNamespace(folder=folder, site=site, env=looking_into(site), loaded=loaded)


@pytest.fixture(scope="module")
def measured(world):
    """A run of the good package beside broken ones, in the three processes that a baseline needs."""
    names = ["fused", "good", "raising", "segfaulting", "unlucky"]
    write_suite(world.folder, "mixed", implementations=names, budget_s=0.1)
    done = run_lnbench(world.folder, "run", "mixed.yaml", "--processes", "3", "--output", "run", env=world.env)
    return SimpleNamespace(done=done, run=world.folder / "run")


def listed(world, *arguments):
    """What `list implementations --format json` says, by name."""
    done = run_lnbench(world.folder, "list", "implementations", "--format", "json", *arguments, env=world.env)
    assert done.code == 0, done.stderr
    return {entry["name"]: entry for entry in json.loads(done.stdout)}, done.stderr


def test_packages_are_listed_by_their_metadata_alone(world):
    found, _ = listed(world)

    assert found["unnamed"] == {
        "name": "unnamed",
        "function": None,
        "from": "unnamed-norms 1.0",
        "needs": [],
        "here": True,
        "missing": None,
        "tried": None,
        "options": None,
        "what_it_is": None,
    }
    assert set(HARMS) < set(found)
    assert not world.loaded.exists()


def test_trying_shows_what_works_and_the_first_line_of_what_fails_and_never_fails_itself(world):
    found, said = listed(world, "--try", "--implementation", ",".join(["fused", "good", *HARMS]))

    details = {name: entry["tried"]["detail"] for name, entry in found.items() if entry["tried"]["status"] == "fails"}
    assert {name for name in found if name not in details} == {"fused", "good"}
    assert (found["good"]["function"], found["good"]["what_it_is"]) == ("layer_norm", "a norm from a package")
    assert details == {
        "raising": "raising = pkg_raising:raising: RuntimeError: no licence (pkg_raising.py:1)",
        "segfaulting": "it was ended by SIGSEGV",
        "exiting": "it exited with 0",
        "leaving": "SystemExit: 3",
        "printing": "it wrote something else where its answer belongs",
        "unlucky": "it was ended by SIGSEGV",
    }
    assert ", from good-norms 1.2.3" in said


def test_one_that_takes_too_long_is_ended_and_told(world, tmp_path):
    install(tmp_path / "site", "hanging-norms", {"hanging": "pkg_hang:x"}, {"pkg_hang": "import time\ntime.sleep(1e6)"})

    done = run_lnbench(
        tmp_path,
        *("list", "implementations", "--try", "--timeout", "5", "-i", "hanging", "--format", "json"),
        env=looking_into(tmp_path / "site"),
    )

    assert done.code == 0
    assert json.loads(done.stdout)[0]["tried"] == {
        "status": "fails",
        "detail": "it did not finish within 5 s: pkg_hang.py:2 (<module>)",
    }


def test_a_name_that_nothing_has_is_refused_with_the_nearest(world):
    done = run_lnbench(world.folder, "list", "implementations", "-i", "god", env=world.env)

    assert done.code == 2
    assert 'did you mean "good"?' in done.stderr


def test_a_package_that_is_named_takes_turns_and_broken_ones_cost_their_own_cases(world, measured):
    rows = results(measured.run).drop_duplicates("implementation").set_index("implementation")

    assert measured.done.code == 4
    assert rows["status"].to_dict() == {
        "fused": "ok",
        "good": "ok",
        "raising": "error",
        "segfaulting": "crash",
        "unlucky": "crash",
    }
    assert rows["function"].fillna("").to_dict() == {
        "fused": "layer_norm",
        "good": "layer_norm",
        "raising": "",
        "segfaulting": "",
        "unlucky": "layer_norm",
    }
    assert rows.loc["raising", "reason"].startswith("raising-norms 1.0: raising = pkg_raising:raising: RuntimeError")
    crash = rows.loc["unlucky", "reason"]
    assert crash.startswith("SIGSEGV at import: ")
    assert crash.endswith(", called by pkg_unlucky.py:2 (<module>)")


def test_what_no_suite_names_is_never_imported(world, measured):
    assert not world.loaded.exists()


def test_the_versions_of_the_packages_that_were_measured_are_recorded(world, measured):
    versions = journal(measured.run)[0]["environment"]["versions"]

    assert versions["good-norms"] == "1.2.3"
    assert "unnamed-norms" not in versions


def test_a_dry_run_and_the_list_of_cases_say_why_a_package_is_left_out(world):
    write_suite(world.folder, "planned", implementations=["fused", "leaving"])

    shown = run_lnbench(world.folder, "run", "planned.yaml", "--dry-run", env=world.env)
    cases = run_lnbench(world.folder, "list", "cases", "planned.yaml", env=world.env)

    assert (shown.code, cases.code) == (0, 0)
    for done in (shown, cases):
        assert "error: 1 case: leaving-norms 1.0: SystemExit: 3" in done.stdout


def test_options_of_a_package_s_builder_are_checked_like_any_other(world):
    suite = write_suite(world.folder, "wrong", implementations=["fused", "{use: good, options: {scal: 2}}"])

    done = run_lnbench(world.folder, "run", suite.name, "--dry-run", env=world.env)

    assert done.code == 2
    assert '"good" has no such option' in done.stderr
    assert 'did you mean "scale"?' in done.stderr


def test_a_plug_in_file_does_not_win_over_a_package_of_the_name_that_is_measured(world):
    (world.folder / "mine.py").write_text(norm("good"))
    command = ("run", "mixed.yaml", "--dry-run", "--plugin", "mine.py", "--implementation")

    named = run_lnbench(world.folder, *command, "good", env=world.env)
    unnamed = run_lnbench(world.folder, *command, "fused", env=world.env)

    assert (named.code, unnamed.code) == (2, 0)
    assert 'mine.py: the name "good" is taken by good-norms 1.2.3, which is installed' in named.stderr


def test_a_run_is_resumed_with_the_package_that_it_was_begun_with(world, measured, tmp_path):
    header = (measured.run / "run.jsonl").read_text().partition("\n")[0]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.jsonl").write_text(header + "\n")

    done = run_lnbench(tmp_path, "run", "--resume", "run", env=world.env)

    rows = results(tmp_path / "run")
    assert done.code == 4
    assert set(rows[rows["implementation"] == "good"]["status"]) <= MEASURED
    assert set(rows[rows["implementation"] == "good"]["processes"]) == {3}


def test_a_run_is_not_resumed_with_another_version_of_a_package_or_without_it(world, measured, tmp_path):
    shutil.copytree(measured.run, tmp_path / "run")
    header = (measured.run / "run.jsonl").read_text().partition("\n")[0]
    (tmp_path / "run" / "run.jsonl").write_text(header + "\n")
    install(tmp_path / "newer", "good-norms", {"good": "pkg_good:good"}, {"pkg_good": norm("good")}, version="2.0")

    other = run_lnbench(tmp_path, "run", "--resume", "run", env=looking_into(tmp_path / "newer", world.site))
    without = run_lnbench(tmp_path, "run", "--resume", "run", "--force")

    assert (other.code, without.code) == (2, 2)
    assert "good-norms: 1.2.3 there, 2.0 here" in other.stderr
    assert 'knows no implementation "good"' in without.stderr
    assert "install its package" in without.stderr


def test_a_check_against_an_earlier_run_of_a_package_works_like_any_other(world, measured):
    done = run_lnbench(
        world.folder,
        *("check", "mixed.yaml", "--baseline", "run", "--implementation", "good,fused", "--budget", "0.1"),
        *("--margin", "1.0", "--allow", "inconclusive,missing", "--output", "checked", "--format", "json"),
        env=world.env,
    )

    verdicts = {row["verdict"] for row in json.loads(done.stdout)["rows"] if row["implementation"] == "good"}
    assert done.code in {0, 3}, done.stderr
    assert verdicts <= {"same", "inconclusive", "faster"}
    assert verdicts
