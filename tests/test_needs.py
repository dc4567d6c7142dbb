"""What an implementation needs is found, or missing for a reason, and nothing is imported to know it."""

import sys

import pytest

from lnbench.implementations import needs
from lnbench.implementations.needs import Need, installed_version, is_installed, missing_library
from lnbench.implementations.registry import BUILT_IN, Row, availability

ABSENT = Need("lnbench_no_such_library", ("no-such-library",), "pip install no-such-library")
LIBRARIES = [need for need in vars(needs).values() if isinstance(need, Need)]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder in which Python looks for modules and metadata."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site, module, *, distribution="", version="1.2", part=""):
    """Put a package there that would raise if it was imported."""
    (site / module).mkdir()
    (site / module / "__init__.py").write_text("raise RuntimeError('it was imported')")
    if part:
        (site / module / f"{part}.py").touch()
    if distribution:
        metadata = site / f"{distribution}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")


def test_a_row_whose_library_is_missing_says_which_and_how_to_get_it():
    row = Row("mine", "layer_norm", "", "fused:layer_norm", needs=(ABSENT,))

    assert availability(row) == "needs no-such-library, which is not installed: pip install no-such-library"


def test_rows_of_pytorch_alone_need_nothing_and_are_available():
    rows = [row for row in BUILT_IN.values() if row.builder.split(":")[0] in {"eager", "fused", "compiled"}]

    assert [row.name for row in rows if row.needs or availability(row)] == []


def test_an_installed_library_is_found_with_its_version_and_is_not_imported(site):
    install(site, "lnbench_found", distribution="found_by_metadata", version="3.4.5")
    need = Need("lnbench_found", ("other-name", "found-by-metadata"), "")

    assert missing_library([need]) == ""
    assert installed_version(need) == "3.4.5"
    assert "lnbench_found" not in sys.modules


def test_a_library_without_metadata_is_available_without_a_version(site):
    install(site, "lnbench_bare")
    need = Need("lnbench_bare", ("lnbench-bare",), "")

    assert is_installed(need)
    assert installed_version(need) == ""


def test_a_mere_folder_of_a_library_s_name_is_not_that_library(site):
    (site / "lnbench_folder").mkdir()

    assert not is_installed(Need("lnbench_folder", ("lnbench-folder",), ""))


def test_another_package_of_the_same_name_lacks_the_part_that_is_needed(site):
    install(site, "lnbench_namesake", part="forms")

    assert not is_installed(Need("lnbench_namesake.normalization", ("lnbench-namesake",), ""))
    assert is_installed(Need("lnbench_namesake.forms", ("lnbench-namesake",), ""))


def test_a_module_without_a_spec_is_no_reason_to_fail(monkeypatch):
    stand_in = type(sys)("lnbench_stand_in")
    stand_in.__spec__ = None
    monkeypatch.setitem(sys.modules, "lnbench_stand_in", stand_in)

    assert is_installed(Need("lnbench_stand_in", ("lnbench-stand-in",), ""))


@pytest.mark.parametrize("need", LIBRARIES, ids=lambda need: need.name)
def test_looking_for_a_library_does_not_import_it(need):
    before = set(sys.modules)

    is_installed(need)
    installed_version(need)

    assert need.module.partition(".")[0] not in set(sys.modules) - before
