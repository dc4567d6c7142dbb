"""The list of implementations: what stands in it, and how it looks in every width."""

import io
import json

import pytest
from golden_files import expected
from rich.console import Console

from lnbench.errors import UsageError
from lnbench.examined import Listed, Rehearsal
from lnbench.gate import listing
from lnbench.gate.listing import list_implementations, try_each
from lnbench.implementations.needs import Need
from lnbench.implementations.registry import Row
from lnbench.planned import InstalledSource, PluginSource
from lnbench.render.implementations import here_text, render_implementations, render_json

HERE = Need("json", ("a-library",), "pip install a-library")
ABSENT = Need("lnbench_no_such", ("no-such",), "pip install no-such")
PACKAGE = InstalledSource(name="packed", value="some_norms.fast:packed", distribution="some-norms", version="2.5")
FOUND = (
    Listed("fused", "layer_norm", "torch.nn.functional.layer_norm"),
    Listed(
        "compiled_max_autotune",
        "layer_norm",
        "torch.compile of eager: whole graph, static shapes, max-autotune without CUDA graphs",
        options={"dynamic": False},
    ),
    Listed(
        "keras",
        "layer_norm",
        "keras LayerNormalization on TensorFlow, eager",
        needs=(("tensorflow", "2.21.0"), ("keras", "3.15.1")),
    ),
    Listed("jax", "layer_norm", "jax.jit of the plain formula", needs=(("jax", "0.10.2"),)),
    Listed(
        "transformer_engine",
        "layer_norm",
        "transformer_engine.pytorch.LayerNorm",
        needs=(("transformer-engine", ""),),
        missing="needs transformer-engine, which is not installed: pip install 'transformer-engine[pytorch]'",
        device="cuda",
    ),
    Listed("mine", "rms_norm", "a norm of mine", PluginSource(path="some/where/mine.py")),
    Listed("packed", "", "", PACKAGE),
    Listed("twice", "", "", PACKAGE, missing="the name is claimed by other-norms 1.0 too"),
)
TRIED = (
    Listed("fused", "layer_norm", "PyTorch's", rehearsal=Rehearsal(status="works")),
    Listed("packed", "", "", PACKAGE, rehearsal=Rehearsal(status="fails", detail="OSError: no\x1b[31m kernel")),
    Listed("odd", "layer_norm", "odd", PACKAGE, rehearsal=Rehearsal(status="absent", detail="no float32, at build")),
)


def shown(found, width):
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(render_implementations(found))
    return captured.get()


@pytest.mark.parametrize("width", [80, 160])
def test_the_list_reads_as_expected_in_this_width(width):
    text = shown(FOUND + TRIED, width)

    assert text == expected(f"list-{width}.txt", text)
    assert max(map(len, text.splitlines())) <= width


def test_json_holds_the_same_with_null_for_what_is_not_known():
    told = {entry["name"]: entry for entry in json.loads(render_json(FOUND))}

    assert told["packed"]["function"] is None
    assert told["keras"]["needs"] == [
        {"name": "tensorflow", "version": "2.21.0"},
        {"name": "keras", "version": "3.15.1"},
    ]
    assert (told["transformer_engine"]["here"], told["jax"]["here"]) == (False, True)
    assert told["mine"]["from"] == "mine.py"
    assert [told[name]["options"] for name in ("compiled_max_autotune", "mine", "packed")] == [
        {"dynamic": False},
        {},
        None,
    ]


@pytest.fixture
def rows(monkeypatch):
    """Makes these rows the built-in ones, on a machine without a GPU and without installed packages."""

    def set_rows(*rows):
        monkeypatch.setattr(listing, "BUILT_IN", {row.name: row for row in rows})
        monkeypatch.setattr(listing, "installed_sources", dict)
        monkeypatch.setattr(listing, "absent_devices", lambda *_: {"cpu": "", "cuda": "no NVIDIA GPU was found"})

    return set_rows


def test_a_row_tells_its_libraries_with_their_versions_or_how_to_get_the_missing_one(rows, monkeypatch):
    monkeypatch.setattr(listing, "installed_version", lambda need: "7.0")
    rows(
        Row("here", "layer_norm", "", "", needs=(HERE,)),
        Row("partly", "layer_norm", "", "", needs=(HERE, ABSENT)),
        Row("gpu", "layer_norm", "", "", devices=("cuda",)),
    )

    here, partly, gpu = list_implementations([])

    assert (here.needs, here_text(here)) == ((("a-library", "7.0"),), "yes, 7.0")
    assert partly.needs == (("a-library", "7.0"), ("no-such", ""))
    assert here_text(partly) == "no: needs no-such, which is not installed: pip install no-such"
    assert here_text(gpu) == "no: runs on CUDA only; no NVIDIA GPU was found"
    assert (here.device, gpu.device) == ("cpu", "cuda")


def test_the_list_keeps_the_names_that_are_asked_for_and_refuses_others(rows):
    rows(Row("one", "layer_norm", "", ""), Row("two", "layer_norm", "", ""))

    assert [listed.name for listed in list_implementations([], names=["two"])] == ["two"]
    with pytest.raises(UsageError, match="unknown implementation 'tow'") as caught:
        list_implementations([], names=["tow"])
    assert 'did you mean "two"?' in caught.value.hint


def test_what_a_package_brings_under_a_taken_name_can_not_be_used(rows, monkeypatch):
    rows(Row("one", "layer_norm", "", ""))
    other = PACKAGE.model_copy(update={"distribution": "other-norms"})
    monkeypatch.setattr(listing, "installed_sources", lambda: {"one": (PACKAGE,), "two": (PACKAGE, other)})

    _, *installed = list_implementations([])

    assert [listed.missing for listed in installed] == [
        "the name is taken by lnbench",
        "the name is claimed by other-norms 2.5 too",
        "the name is claimed by some-norms 2.5 too",
    ]


def test_what_is_missing_something_is_not_tried(monkeypatch):
    monkeypatch.setattr(listing, "call_worker", pytest.fail)
    missing = Listed("jax", "layer_norm", "", missing="needs jax")
    told = []

    assert list(try_each([missing], timeout_s=1.0, say=lambda number, it: told.append((number, it.name)))) == [missing]
    assert told == [(0, "jax")]
