"""What is installed is whole: a wheel, built and unpacked far from the checkout, finds its own suites."""

import os
import zipfile
from pathlib import Path

import pytest
from command import run_lnbench, run_python

from lnbench import __version__

TOP = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built by its own build backend without a network."""
    folder = tmp_path_factory.mktemp("dist")
    built = run_python(TOP, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    assert built.code == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The environment in which Python imports lnbench from the unpacked wheel."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]), "SITE": str(folder)}


def test_the_wheel_carries_the_package_and_every_shipped_suite(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    package = (path for path in (TOP / "lnbench").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    modules = {str(path.relative_to(TOP)) for path in package}
    suites = {f"lnbench/shipped_suites/{path.name}" for path in (TOP / "suites").iterdir()}
    assert wheel.name == f"lnbench-{__version__}-py3-none-any.whl"
    assert "lnbench/shipped_suites/quick.yaml" in suites
    assert modules | suites <= names
    assert not [name for name in names if name.startswith(("tests/", "suites/", "benchmarks/", "reports/"))]


def test_suites_are_found_inside_the_package_when_it_is_installed_elsewhere(site, tmp_path):
    ask = "from lnbench.conductor.preparation import shipped_suites_folder; print(shipped_suites_folder())"

    done = run_python(tmp_path, "-c", ask, env=site)

    assert Path(done.stdout.strip()) == Path(site["SITE"]).resolve() / "lnbench" / "shipped_suites"


def test_the_installed_command_makes_a_page_and_a_plot(site, tmp_path):
    published = TOP / "reports" / "published" / "frameworks-cpu"

    page = run_lnbench(tmp_path, "report", str(published), "--format", "html=page.html", "-f", "svg", env=site)

    assert page.code == 0, page.stderr
    assert page.stdout.startswith("<svg")
    assert "</html>" in (tmp_path / "page.html").read_text()


def test_the_installed_command_lists_and_plans_the_shipped_suites(site, tmp_path):
    listed = run_lnbench(tmp_path, "list", "suites", env=site)
    planned = run_lnbench(tmp_path, "run", "quick", "--dry-run", env=site)

    assert [path.stem for path in (TOP / "suites").iterdir() if path.stem not in listed.stdout] == []
    assert planned.code == 0
    assert "8x128x768/float32/cpu" in planned.stdout
