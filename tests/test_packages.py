"""Installed packages: named by metadata alone, loaded when asked for, and each fault put into words."""

import sys

import pytest
from packages import install, norm

from lnbench.errors import PluginError
from lnbench.implementations import packages
from lnbench.implementations.packages import chosen_sources, installed_sources, load_installed
from lnbench.planned import InstalledSource


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages; what was imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(packages, "_registered", [])
    yield tmp_path / "site"
    for name in set(sys.modules) - before:
        if name.startswith("pkg_"):
            del sys.modules[name]


def only(name):
    """The one entry point of a name."""
    (source,) = installed_sources()[name]
    return source


def test_an_entry_point_is_named_by_its_package_s_metadata_and_nothing_is_imported(site):
    install(site, "some-norms", {"pkg_norm": "pkg_some:pkg_norm"}, {"pkg_some": "raise SystemExit"}, version="2.5")

    assert only("pkg_norm") == InstalledSource(
        name="pkg_norm", value="pkg_some:pkg_norm", distribution="some-norms", version="2.5"
    )
    assert "pkg_some" not in sys.modules


def test_entry_points_of_other_groups_are_no_implementations(site):
    install(site, "scripts", {"pkg_script": "pkg_script:main"}, {}, group="lnbench.implementations.more")

    assert "pkg_script" not in installed_sources()


def test_a_package_that_is_hidden_by_another_version_on_the_path_has_no_entry_points(site, tmp_path, monkeypatch):
    install(site, "some-norms", {"pkg_old": "pkg_old:pkg_old"}, {})
    monkeypatch.syspath_prepend(tmp_path / "newer")
    install(tmp_path / "newer", "some-norms", {"pkg_new": "pkg_new:pkg_new"}, {}, version="2.0")

    assert {"pkg_old", "pkg_new"} & set(installed_sources()) == {"pkg_new"}


def test_of_two_versions_with_the_same_entry_points_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "newer")
    for folder, version in (site, "1.0"), (tmp_path / "newer", "2.0"), (tmp_path / "newer" / "again", "2.0"):
        install(folder, "some-norms", {"pkg_norm": "pkg_norm:pkg_norm"}, {}, version=version)
    monkeypatch.syspath_prepend(tmp_path / "newer" / "again")

    assert only("pkg_norm").version == "2.0"


def test_metadata_that_can_not_be_read_hides_no_other_package(site):
    install(site, "whole-norms", {"pkg_whole": "pkg_whole:pkg_whole"}, {})
    install(site, "torn-norms", {"pkg_torn": "pkg_torn:pkg_torn"}, {})
    (site / "torn_norms-1.0.dist-info" / "entry_points.txt").write_text("[lnbench.implementations]\nno equals sign\n")

    assert "pkg_whole" in installed_sources()
    assert "pkg_torn" not in installed_sources()


def test_a_name_that_two_packages_claim_is_an_error_that_names_both_and_only_when_it_is_chosen(site):
    install(site, "one-norms", {"pkg_twice": "pkg_one:pkg_twice", "pkg_one": "pkg_one:pkg_one"}, {})
    install(site, "two-norms", {"pkg_twice": "pkg_two:pkg_twice"}, {}, version="3")

    with pytest.raises(PluginError, match=r'"pkg_twice" is claimed by one-norms 1\.0 and by two-norms 3'):
        chosen_sources(["pkg_twice"])
    assert [source.name for source in chosen_sources(["pkg_one", "nobody_s"])] == ["pkg_one"]


def test_loading_gives_what_the_builder_was_registered_as(site):
    install(site, "some-norms", {"pkg_norm": "pkg_some:pkg_norm"}, {"pkg_some": norm("pkg_norm")})

    registration = load_installed(only("pkg_norm"))

    assert (registration.name, registration.function, dict(registration.options)) == (
        "pkg_norm",
        "layer_norm",
        {"scale": 1.0},
    )
    assert registration.summary == "a norm from a package"


def test_two_entry_points_of_one_module_are_loaded_each(site):
    text = norm("pkg_first") + norm("pkg_second")
    install(site, "some-norms", {name: f"pkg_both:{name}" for name in ("pkg_first", "pkg_second")}, {"pkg_both": text})

    names = [load_installed(only(name)).name for name in ("pkg_second", "pkg_first")]

    assert names == ["pkg_second", "pkg_first"]


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("import pkg_no_such", "pkg_bad:bad", r"ModuleNotFoundError: No module named 'pkg_no_such' \(pkg_bad\.py:1\)$"),
        ("def f():\n    raise OSError('a\\nb')\nf()", "pkg_bad:bad", r"OSError: a \(pkg_bad\.py:2\)$"),
        ("", "pkg_bad:bad", r"AttributeError: module 'pkg_bad' has no attribute 'bad'$"),
        ("", "pkg_absent:bad", r"ModuleNotFoundError: No module named 'pkg_absent'$"),
        ("def bad(workload): ...", "pkg_bad:bad", "is not registered$"),
        ("", "pkg_bad", "is not registered$"),
        (norm("other"), "pkg_bad:other", 'is registered as "other"$'),
    ],
    ids=["import", "deeper", "attribute", "module", "undecorated", "module alone", "another name"],
)
def test_what_is_wrong_with_an_entry_point_is_told_with_the_package_s_name(site, text, value, message):
    install(site, "bad-norms", {"bad": value}, {"pkg_bad": text}, version="0.3")

    with pytest.raises(PluginError, match=rf"^bad-norms 0\.3: bad = {value}: {message}"):
        load_installed(only("bad"))
