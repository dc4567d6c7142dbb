"""Options of the compiled implementations as suites set them: which each takes, and what follows from them."""

import pytest
import torch
from planning import MACHINE, suite

from lnbench.conductor.known import known_implementations
from lnbench.errors import SuiteError, Unsupported
from lnbench.implementations import compiled
from lnbench.implementations.contract import bound_builder, builder_options
from lnbench.implementations.registry import BUILT_IN
from lnbench.plan import make_plan
from lnbench.workload import Workload

COMPILED = [row for row in BUILT_IN.values() if row.builder.startswith("compiled:")]


def planned(implementations):
    return make_plan(suite(implementations=implementations), known=known_implementations(), machine=MACHINE)


@pytest.mark.parametrize("row", [it for it in BUILT_IN.values() if not it.needs], ids=lambda row: row.name)
def test_a_row_offers_the_options_of_its_builder_that_it_does_not_set_itself(row):
    module, _, attribute = row.builder.partition(":")
    builder = getattr(__import__(f"lnbench.implementations.{module}", fromlist=[attribute]), attribute)

    assert {**row.options, **row.fixed}.keys() == builder_options(builder).keys()
    assert row.options.items() <= builder_options(builder).items()
    assert row.choices.keys() <= row.options.keys()


def test_there_is_a_compiled_row_of_every_function_that_says_so():
    assert {row.name for row in COMPILED} == {
        *("compiled", "compiled_dynamic", "compiled_max_autotune", "compiled_rms_norm", "compiled_batch_norm"),
        *("add_layer_norm_compiled", "compiled_add_rms_norm", "compiled_dyt"),
    }


@pytest.mark.parametrize("name", [row.name for row in COMPILED if "mode" in row.options])
def test_a_suite_sets_mode_and_dynamic_and_shows_the_same_implementation_under_several_names(name):
    made = planned(f"fused, {name}, {{use: {name}, as: graphs, options: {{mode: reduce-overhead}}}}")

    assert [(case.implementation, case.use, dict(case.options)) for case in made.cases[1:]] == [
        (name, name, {}),
        ("graphs", name, {"mode": "reduce-overhead"}),
    ]


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("{use: compiled, options: {mode: reduce_overhead}}", 'unknown mode "reduce_overhead"', '"reduce-overhead"'),
        ("{use: compiled_dyt, options: {mode: fast}}", 'unknown mode "fast"', "max-autotune-no-cudagraphs"),
        ("{use: compiled, options: {mode: true}}", "true does not fit", 'the default is "default"'),
        ("{use: compiled, options: {dynamic: 1}}", "1 does not fit", "the default is false"),
        ("{use: compiled, options: {backend: eager}}", '"compiled" has no such option', "dynamic"),
        ("{use: compiled_dynamic, options: {dynamic: false}}", '"compiled_dynamic" has no such option', "mode"),
        ("{use: compiled_max_autotune, options: {mode: default}}", '"compiled_max_autotune" has no such', "dynamic"),
        ("{use: fused, as: other, options: {mode: default}}", '"fused" has no such option', "it takes none"),
    ],
)
def test_what_is_no_option_or_no_mode_is_said_with_its_place(entry, message, hint):
    with pytest.raises(SuiteError) as caught:
        planned(f"fused, {entry}" if "use: fused" not in entry else entry)

    assert caught.value.message.startswith("s.yaml:2: implementations[")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_options_reach_the_builder_and_the_row_s_own_setting_stays(monkeypatch):
    asked = []
    monkeypatch.setattr(compiled, "require_compiler", lambda _: None)
    monkeypatch.setattr("torch.compile", lambda formula, **options: asked.append(options) or formula)
    on = Workload((4, 8), (8,))

    for name, options in (
        ("compiled", {}),
        ("compiled", {"mode": "max-autotune", "dynamic": True}),
        ("compiled_dynamic", {"mode": "reduce-overhead"}),
        ("compiled_max_autotune", {"dynamic": True}),
    ):
        bound_builder(BUILT_IN[name].load(), options)(on)

    assert [(it["mode"], it["dynamic"]) for it in asked] == [
        ("default", False),
        ("max-autotune", True),
        ("reduce-overhead", True),
        ("max-autotune-no-cudagraphs", True),
    ]


def test_a_mode_from_elsewhere_than_a_checked_suite_is_unsupported():
    with pytest.raises(Unsupported, match=r"no mode 'fast'"):
        compiled.rms_norm(Workload((4, 8), (8,)), mode="fast")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("mode", ["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"])
@pytest.mark.parametrize("function", ["layer_norm", "rms_norm", "add_rms_norm", "dyt"])
def test_the_modes_with_cuda_graphs_say_that_they_overwrite_on_cuda_alone(monkeypatch, function, mode, device):
    asked = []

    def compile_nothing(formula, **options):
        asked.append(options)
        return formula

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr(compiled, "require_compiler", lambda _: None)
    built = getattr(compiled, function)(Workload((8, 16), (16,), device=device), mode=mode, dynamic=True)

    assert asked == [{"fullgraph": True, "dynamic": True, "mode": mode}]
    has_graphs = device == "cuda" and mode in {"reduce-overhead", "max-autotune"}
    assert getattr(built, "overwrites_results", False) is has_graphs


def test_the_modes_with_cuda_graphs_are_those_that_torch_says():
    from torch._inductor import list_mode_options

    known = list_mode_options()

    assert set(compiled.MODES) <= set(known)
    assert {mode for mode in compiled.MODES if known[mode].get("triton.cudagraphs")} == compiled.GRAPH_MODES
