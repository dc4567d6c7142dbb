"""Two versions of one project in one process: every plug-in file has a module tree of its own."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

from lnbench.errors import PluginError
from lnbench.implementations import operators, plugins
from lnbench.implementations.operators import replaced_operators
from lnbench.implementations.plugins import refuse_shared_modules
from lnbench.implementations.sources import load_sources
from lnbench.implementations.trees import ModuleTree
from lnbench.planned import PluginSource

NORM = """
from lnbench import implementation
{imports}

@implementation("norm", function="layer_norm")
def norm(workload):
    {lazy}
    return {value}
"""


@pytest.fixture(autouse=True)
def leaves_no_trees(monkeypatch):
    """Each test starts without trees and takes its own away."""
    modules, finders = dict(sys.modules), list(sys.meta_path)
    monkeypatch.setattr(plugins, "_trees", [])
    monkeypatch.setattr(operators, "_operators", operators.Operators())
    yield
    for name in set(sys.modules) - set(modules):
        if name.startswith("lnbench_plugin_"):
            del sys.modules[name]
    sys.meta_path[:] = finders


def side(folder: Path, value: str, *, imports="", lazy="pass", is_base=False, at="norms.py", tree="") -> PluginSource:
    """A plug-in file whose builder gives `value`."""
    file = folder / at
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(NORM.format(imports=imports, lazy=lazy, value=value))
    return PluginSource(path=str(file), tree=tree and str(folder), is_base=is_base)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def built(*sources: PluginSource) -> list[object]:
    """What each source's builder gives."""
    return [registration.build(None) for registration in load_all(sources)]


def load_all(sources):
    """What the sources register; raises what the first that can't be loaded ended with."""
    found = []
    for outcome in load_sources(sources):
        if isinstance(outcome, PluginError):
            raise outcome
        found += outcome
    return found


def test_each_side_imports_its_own_sibling(tmp_path):
    for name, value in ("old", 1), ("new", 2):
        write(tmp_path / name / "kernels.py", f"VALUE = {value}\n")
    old = side(tmp_path / "old", "VALUE", imports="from kernels import VALUE", is_base=True)
    new = side(tmp_path / "new", "VALUE", imports="from kernels import VALUE")

    assert built(old, new) == [1, 2]
    assert "kernels" not in sys.modules


def test_an_import_inside_a_function_that_runs_later_stays_on_its_side(tmp_path):
    for name, value in ("old", 1), ("new", 2):
        write(tmp_path / name / "kernels.py", f"VALUE = {value}\n")
    old = side(tmp_path / "old", "kernels.VALUE", lazy="import kernels", is_base=True)
    new = side(tmp_path / "new", "kernels.VALUE", lazy="import kernels")

    assert built(new, old) == [2, 1]


def test_packages_submodules_and_relative_imports_stay_on_their_side(tmp_path):
    for name, value in ("old", 1), ("new", 2):
        write(tmp_path / name / "pack" / "__init__.py", "from .deep import inner\n")
        write(tmp_path / name / "pack" / "deep" / "__init__.py", "from ..values import VALUE\nfrom . import inner\n")
        write(tmp_path / name / "pack" / "deep" / "inner.py", "import pack.values\nVALUE = pack.values.VALUE * 10\n")
        write(tmp_path / name / "pack" / "values.py", f"VALUE = {value}\n")
    imports = "import pack.deep.inner\nimport pack.values as values\nfrom pack.deep import VALUE"
    value = "(pack.deep.inner.VALUE, values.VALUE, VALUE)"

    found = built(
        side(tmp_path / "old", value, imports=imports, is_base=True), side(tmp_path / "new", value, imports=imports)
    )

    assert found == [(10, 1, 1), (20, 2, 2)]


def test_a_plug_in_inside_a_package_imports_from_its_project(tmp_path):
    for name, value in ("old", 1), ("new", 2):
        write(tmp_path / name / "src" / "pack" / "__init__.py", f"VALUE = {value}\n")
        write(tmp_path / name / "src" / "pack" / "near.py", f"VALUE = {value}0\n")
    old, new = (
        side(
            tmp_path / name,
            "(VALUE, near.VALUE)",
            imports="from pack import VALUE\nfrom . import near",
            at="src/pack/norms.py",
            tree="up to the top",
            is_base=name == "old",
        )
        for name in ("old", "new")
    )

    assert built(old, new) == [(1, 10), (2, 20)]


def test_the_standard_library_and_torch_never_come_from_a_tree(tmp_path):
    for name in ("random", "torch", "math"):
        write(tmp_path / f"{name}.py", "raise SystemExit('shadowed')\n")
    source = side(tmp_path, "(math.pi > 3, torch.ones(1).sum().item())", imports="import math, random, torch")

    assert built(source) == [(True, 1.0)]


def test_a_missing_sibling_is_named_with_the_plug_in_s_line(tmp_path):
    source = side(tmp_path, "1", imports="import no_such_sibling")

    with pytest.raises(PluginError, match=r"norms\.py:3: ModuleNotFoundError: No module named 'no_such_sibling'"):
        load_all([source])


def test_the_old_version_is_called_by_its_name_and_base(tmp_path):
    sources = [side(tmp_path / "old", "1", is_base=True), side(tmp_path / "new", "2")]

    assert [registration.name for registration in load_all(sources)] == ["norm@base", "norm"]


def test_a_module_that_both_sides_would_share_is_an_error(tmp_path, monkeypatch):
    # As with a project that is installed in editable mode: its working tree is on the path.
    for name in ("old", "new"):
        write(tmp_path / name / "editable_kernels.py", "VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    how = "import importlib\nVALUE = importlib.import_module('editable_kernels').VALUE"
    sources = [side(tmp_path / name, "VALUE", imports=how, is_base=name == "old") for name in ("old", "new")]

    with pytest.raises(PluginError, match="both sides would share the module editable_kernels"):
        load_all(sources)

    monkeypatch.delitem(sys.modules, "editable_kernels")


def test_a_module_that_comes_in_late_is_found_too(tmp_path, monkeypatch):
    for name in ("old", "new"):
        write(tmp_path / name / "late_kernels.py", "VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "new"))
    load_all([side(tmp_path / name, "1", is_base=name == "old") for name in ("old", "new")])
    refuse_shared_modules()

    importlib.import_module("late_kernels")

    with pytest.raises(PluginError, match="late_kernels"):
        refuse_shared_modules()
    monkeypatch.delitem(sys.modules, "late_kernels")


def test_what_is_installed_inside_the_working_tree_is_shared_by_right(tmp_path, monkeypatch):
    write(tmp_path / "new" / ".venv" / "third_party.py", "VALUE = 5\n")  # a revision's tree has no such file
    monkeypatch.syspath_prepend(str(tmp_path / "new" / ".venv"))
    sources = [
        side(tmp_path / name, "VALUE", imports="from third_party import VALUE", is_base=name == "old", tree="top")
        for name in ("old", "new")
    ]

    assert built(*sources) == [5, 5]
    monkeypatch.delitem(sys.modules, "third_party")


def test_both_sides_registering_one_operator_is_an_error(tmp_path):
    operator = """
import torch

@torch.library.custom_op("lnbench_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x
"""
    sources = [side(tmp_path / name, "1", imports=operator, is_base=name == "old") for name in ("old", "new")]

    with pytest.raises(PluginError, match="registers the operator lnbench_tests::twice"):
        load_all(sources)


LATE_OPERATOR = """
import torch
from lnbench import implementation

@implementation("norm", function="layer_norm")
def norm(workload):
    {where}
    return late

def register():
    @torch.library.custom_op("lnbench_tests::{name}", mutates_args=())
    def late(x: torch.Tensor) -> torch.Tensor:
        return x.clone()
    return late
"""


def late_side(folder, name, *, where="late = register()", is_base=False) -> PluginSource:
    """A plug-in file that registers an operator when its builder runs, or when what that gives is called."""
    write(folder / "norms.py", LATE_OPERATOR.format(name=name, where=where))
    return PluginSource(path=str(folder / "norms.py"), is_base=is_base)


@pytest.mark.parametrize("where", ["late = register()", "late = lambda: register()"])
def test_both_sides_registering_one_operator_late_is_the_same_error(tmp_path, where):
    name = "late_build" if where == "late = register()" else "late_call"
    old, new = load_all([late_side(tmp_path / it, name, where=where, is_base=it == "old") for it in ("old", "new")])
    call = (lambda made: made()) if "lambda" in where else (lambda made: made)
    call(old.build(None))
    assert replaced_operators() == []

    call(new.build(None))

    (replaced,) = replaced_operators()
    assert set(replaced.packages) == {it.build.__module__.partition(".")[0] for it in (old, new)}
    assert f"{tmp_path}/new/norms.py: registers the operator lnbench_tests::{name}" in replaced.error().message
    assert replaced_operators() == [replaced]  # it stays so


def test_one_side_may_register_its_own_operator_for_every_workload(tmp_path):
    (norm,) = load_all([late_side(tmp_path, "every_workload")])

    for _ in range(2):
        norm.build(None)
        assert replaced_operators() == []


def test_code_of_both_sides_compiles_and_differs(tmp_path):
    for name, factor in ("old", 2.0), ("new", 3.0):
        write(tmp_path / name / "kernels.py", f"import torch\n\ndef scaled(x):\n    return torch.relu(x) * {factor}\n")
    compiled = "torch.compile(lambda x: scaled(x), fullgraph=True, backend='aot_eager')"
    imports = "import torch\nfrom kernels import scaled"
    old, new = built(
        side(tmp_path / "old", compiled, imports=imports, is_base=True),
        side(tmp_path / "new", compiled, imports=imports),
    )
    x = torch.ones(4, requires_grad=True)

    gradients = [torch.autograd.grad(norm(x).sum(), x)[0][0].item() for norm in (old, new)]

    assert gradients == [2.0, 3.0]


def test_dataclasses_and_type_hints_of_a_tree_s_modules_work(tmp_path):
    write(
        tmp_path / "shapes.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import get_type_hints\n\n"
        "@dataclass(frozen=True)\nclass Block:\n    rows: int = 4\n\nHINTS = get_type_hints(Block)\n",
    )
    source = side(tmp_path, "(shapes.Block().rows, shapes.HINTS)", imports="import shapes")

    assert built(source) == [(4, {"rows": int})]


def test_two_plug_ins_in_different_folders_have_siblings_of_one_name(tmp_path):
    for name, value in ("one", 1), ("two", 2):
        write(tmp_path / name / "kernels.py", f"VALUE = {value}\n")
        write(
            tmp_path / name / f"{name}.py",
            "from lnbench import implementation\nfrom kernels import VALUE\n\n"
            f"@implementation('{name}', function='layer_norm')\ndef {name}(workload):\n    return VALUE\n",
        )
    sources = [PluginSource(path=str(tmp_path / name / f"{name}.py")) for name in ("one", "two")]

    assert built(*sources) == [1, 2]


def test_a_module_tree_leaves_the_path_alone(tmp_path):
    before = list(sys.path)

    ModuleTree(Path(side(tmp_path, "1").path)).load()

    assert sys.path == before
