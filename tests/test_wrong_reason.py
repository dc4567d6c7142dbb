"""The reason of a wrong case names what its author can look for: y before its gradients, and what the function is."""

import json
import re
from pathlib import Path

import pytest
import torch
import zoo
from command import run_lnbench
from stage import judged
from torch import nn

from lnbench.errors import PluginError
from lnbench.functions import FUNCTIONS
from lnbench.implementations.contract import implementation
from lnbench.planned import Status
from lnbench.worker.deviations import Judgement
from lnbench.worker.verify import explain
from lnbench.workload import Workload

pytestmark = pytest.mark.usefixtures("one_thread")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


class GemmaStyle(nn.Module):
    """The weight is stored around 0 and 1 is added to it, as in Gemma."""

    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * (1.0 + self.weight)


def gemma(on):
    return GemmaStyle(on.features, on.eps)


def gated(on):
    z = torch.randn(on.shape, generator=torch.Generator().manual_seed(1))

    def forward(x, weight):
        h = x * nn.functional.silu(z)
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + on.eps) * weight

    return forward


def clamped(on):
    return lambda x, weight: x * torch.rsqrt(x.square().mean(-1, keepdim=True).clamp(min=on.eps)) * weight


@pytest.mark.parametrize("builder", [gemma, gated])
def test_another_rms_norm_is_wrong_in_y_and_the_reason_says_what_rms_norm_is(builder):
    outcome = judged(builder, 128, 256, function="rms_norm", affine="weight", eps=1e-6)

    assert outcome.status is Status.WRONG
    assert outcome.reason.startswith("y is off by ")
    assert "so are its gradients (" in outcome.reason
    assert outcome.reason.endswith("; rms_norm is y = x / sqrt(mean(x²) + eps) * weight")


def test_an_eps_that_is_a_floor_is_wrong_in_y_with_the_input_that_shows_it():
    outcome = judged(clamped, 32, 256, function="rms_norm", affine="weight", eps=1e-6)

    assert outcome.reason.startswith("y is off by ")
    assert "where the variance of x is about eps: is 1e-06 added to the variance, under the root?" in outcome.reason


def test_a_gradient_alone_that_is_off_is_named_without_the_formula_of_y():
    outcome = judged(zoo.by_hand(dbias=zoo.scaled(0.98)), 32, 64)

    assert outcome.reason.startswith("dbias is off by ")
    assert "layer_norm is" not in outcome.reason


def test_y_is_named_though_that_of_inference_and_gradients_are_further_off():
    judgement = Judgement(
        relative={"inference_y": 0.1, "y": 0.2, "dx": 0.7, "step_dx": 0.7, "dweight": 0.0},
        share={"inference_y": 50.0, "y": 10.0, "dx": 900.0, "step_dx": 900.0, "dweight": 0.5},
    )

    assert explain(judgement, FUNCTIONS["rms_norm"], Workload((8, 16), (16,))) == (
        "y is off by 0.2 of its largest value, 10 times the tolerance, at 8x16 float32; so are its gradients (dx); "
        "rms_norm is y = x / sqrt(mean(x²) + eps) * weight"
    )


def test_a_result_that_is_not_finite_is_named_before_larger_finite_errors_of_gradients():
    judgement = Judgement(relative={"y": float("inf"), "dx": 3.0}, share={"y": float("inf"), "dx": 2.0})

    assert explain(judgement, FUNCTIONS["layer_norm"], Workload((8, 16), (16,))).startswith("y is off by inf")


def test_an_unknown_function_is_answered_with_those_there_are_and_where_others_are_explained():
    with pytest.raises(PluginError) as caught:
        implementation("it", function="gemma_norm")

    assert all(name in caught.value.hint for name in FUNCTIONS)
    assert "Gemma's (1 + weight)" in caught.value.hint


def test_the_readme_says_of_every_function_what_it_computes_as_the_reason_does():
    section = README.partition("| function | `forward` takes |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", section, re.MULTILINE))

    assert rows == {name: function.formula for name, function in FUNCTIONS.items()}


@pytest.mark.parametrize("name", ["gemma", "gated"])
def test_the_readme_s_other_norms_are_right_as_they_are_written(tmp_path, name):
    text = re.search(r"```python\n(# other_norms.py.*?)```", README, re.DOTALL)
    assert text
    (tmp_path / "other_norms.py").write_text(text[1])

    done = run_lnbench(
        tmp_path, *("list", "implementations", "--plugin", "other_norms.py", "-i", name, "--try", "--format", "json")
    )

    (entry,) = json.loads(done.stdout)
    assert entry["tried"] == {"status": "works", "detail": ""}
