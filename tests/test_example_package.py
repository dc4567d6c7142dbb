"""The worked example under examples/: installed by pip, listed, tried and measured by the real command."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import MEASURED, results, run_lnbench, run_python, write_suite
from packages import looking_into

EXAMPLE = Path(__file__).parents[1] / "examples" / "lnbench-example-norms"
NAMES = "example_torch,example_numpy"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder, and the environment in which pip has installed the example, without a network."""
    folder = tmp_path_factory.mktemp("example")
    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = run_python(folder, "-m", "pip", "install", *flags, "--target", folder / "site", EXAMPLE)
    assert done.code == 0, done.stderr
    return SimpleNamespace(folder=folder, env=looking_into(folder / "site"))


def listed(world, *arguments):
    """What the list says, by name."""
    done = run_lnbench(
        world.folder, "list", "implementations", "-i", NAMES, "--format", "json", *arguments, env=world.env
    )
    assert done.code == 0, done.stderr
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_the_installed_example_shows_up_in_the_list(world):
    found = listed(world)

    assert [(entry["from"], entry["here"]) for entry in found.values()] == [("lnbench-example-norms 0.1.0", True)] * 2


def test_both_of_its_implementations_work_when_they_are_tried(world):
    found = listed(world, "--try")

    assert {name: entry["tried"]["status"] for name, entry in found.items()} == dict.fromkeys(found, "works")
    assert {entry["function"] for entry in found.values()} == {"layer_norm"}
    assert all(entry["what_it_is"] for entry in found.values())


def test_both_are_verified_and_take_turns_beside_fused_in_every_phase(world):
    more = ", norm_dims: [1, 2], affine: [both, weight, none]"
    write_suite(world.folder, "example", implementations=["fused", *NAMES.split(",")], shapes="[[4, 8, 32]]", more=more)

    done = run_lnbench(world.folder, "run", "example.yaml", "--output", "run", env=world.env)

    rows = results(world.folder / "run")
    assert done.code == 0, done.stdout + done.stderr
    assert set(rows["status"]) <= MEASURED
    assert rows[rows["status"] == "ok"]["median_s"].notna().all()
    assert len(rows) == 3 * 6 * 4
