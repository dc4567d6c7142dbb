"""The float64 oracle against the definitions, written slowly as loops with autograd; its tolerance; the geometry."""

from dataclasses import replace
from itertools import pairwise, product
from math import prod

import pytest
import torch
from assembled import oracle
from hypothesis import given
from hypothesis import strategies as st
from stage import workload

from lnbench.errors import Unsupported
from lnbench.functions import FUNCTIONS, Geometry, geometry, parameter_shape
from lnbench.implementations.oracle import Inputs, part_places
from lnbench.workload import Workload

SHAPES = [((5, 6), 1), ((2, 3, 4), 1), ((2, 4, 3), 2), ((2, 3, 5, 4), 1), ((2, 3, 2, 4), 2), ((2, 4, 3, 2), 3)]
AFFINE = ["both", "weight", "none"]


def standardized(group, eps, *, centred=True):
    """One group of values, minus its mean, over the root of its mean square plus eps."""
    values = group - sum(group) / len(group) if centred else group
    return values / (sum(value * value for value in values) / len(group) + eps).sqrt()


def by_groups(x, keys, eps, *, centred=True):
    """Standardize together all elements of x whose indices have the same key."""
    found = {}
    for index in product(*map(range, x.shape)):
        found.setdefault(keys(index), []).append(index)
    y = {}
    for indices in found.values():
        group = standardized(torch.stack([x[index] for index in indices]), eps, centred=centred)
        y |= dict(zip(indices, group, strict=True))
    return torch.stack([y[index] for index in product(*map(range, x.shape))]).reshape(x.shape)


def definition(name, on, inputs):
    """y from the definition, elementwise over indices of x."""
    rank, dims = len(on.shape), len(on.normalized_shape)
    channel = rank - 1 if dims == 1 else 1
    keys = {
        "layer_norm": lambda index: index[: rank - dims],
        "rms_norm": lambda index: index[: rank - dims],
        "batch_norm": lambda index: index[channel],
        "group_norm": lambda index: (index[:channel], index[channel] * on.groups // on.shape[channel]),
        "instance_norm": lambda index: (index[:channel], index[channel]),
    }
    keys |= {"add_layer_norm": keys["layer_norm"], "add_rms_norm": keys["rms_norm"]}
    if name == "dyt":
        grown, shrunk = (inputs.alpha * inputs.x).exp(), (-inputs.alpha * inputs.x).exp()
        y = (grown - shrunk) / (grown + shrunk)
    elif name == "batch_norm" and on.norm_mode == "eval":
        lift = [1] * rank
        lift[channel] = -1
        mean, variance = inputs.running_mean.reshape(lift), inputs.running_var.reshape(lift)
        y = (inputs.x - mean) / (variance + on.eps).sqrt()
    else:
        x = inputs.x if inputs.residual is None else inputs.x + inputs.residual
        y = by_groups(x, keys[name], on.eps, centred=name not in {"rms_norm", "add_rms_norm"})
    view = on.normalized_shape
    if FUNCTIONS[name].channelwise:
        view = tuple(on.shape[channel] if axis == channel else 1 for axis in range(rank))
    y = y if inputs.weight is None else y * inputs.weight.reshape(view)
    return y if inputs.bias is None else y + inputs.bias.reshape(view)


def drawn(function, on, *, seed=3):
    """Inputs in float64 with a mean and a scale of their own; leaves of the graph but for dy and running statistics."""
    draw = torch.Generator().manual_seed(seed)

    def normal(shape):
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    parameters = parameter_shape(function, on)
    running = (normal(parameters), 0.5 + normal(parameters).square())
    residual = (normal(on.shape).requires_grad_(), normal(on.shape)) if function.has_residual else (None, None)
    return Inputs(
        (1.5 * normal(on.shape) + 0.7).requires_grad_(),
        normal(on.shape),
        None if on.affine == "none" else normal(parameters).requires_grad_(),
        normal(parameters).requires_grad_() if on.affine == "both" and function.has_bias else None,
        *(running if function.has_running_statistics else (None, None)),
        *residual,
        normal((1,)).requires_grad_() if function.has_alpha else None,
    )


def applies(name, shape, dims):
    if name == "instance_norm":
        return dims == len(shape) - 1 > 1
    return not FUNCTIONS[name].channelwise or dims in {1, len(shape) - 1}


CASES = [
    (name, shape, dims, mode)
    for name, function in FUNCTIONS.items()
    for shape, dims in SHAPES
    for mode in function.norm_modes or ("",)
    if applies(name, shape, dims)
]


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize(("name", "shape", "dims", "mode"), CASES)
def test_the_oracle_gives_the_definition_and_its_gradients(name, shape, dims, mode, affine):
    on = workload(*shape, norm_dims=dims, dtype="float64", affine=affine, norm_mode=mode, groups=2, eps=1e-3)
    inputs = drawn(FUNCTIONS[name], on)
    wanted = {"dx": inputs.x, "dresidual": inputs.residual, "dalpha": inputs.alpha}
    wanted |= {"dweight": inputs.weight, "dbias": inputs.bias}
    wanted = {gradient: leaf for gradient, leaf in wanted.items() if leaf is not None}
    outputs, upstream = {"y": definition(name, on, inputs)}, [inputs.dy]
    if inputs.residual is not None:
        outputs["new_residual"] = inputs.x + inputs.residual
        upstream.append(inputs.dnew_residual)
    gradients = torch.autograd.grad(list(outputs.values()), list(wanted.values()), upstream)

    found = oracle(FUNCTIONS[name], on, inputs)

    assert set(found) == {*outputs, *wanted}
    for tensor, right in {**outputs, **dict(zip(wanted, gradients, strict=True))}.items():
        # Two ways of summing at most 120 numbers of size 1 in float64.
        torch.testing.assert_close(found[tensor].value, right.detach(), rtol=1e-11, atol=1e-11)


def accepted(factor=1.0, *, dtype="float32", **axes):
    """The tolerances of layer norm on (8, 32) whose x, dy and eps are scaled."""
    on = workload(8, 32, dtype=dtype, **{"eps": 1e-5 * factor**2, **axes})
    inputs = drawn(FUNCTIONS["layer_norm"], on)
    scaled = Inputs(inputs.x.detach() * factor, inputs.dy, inputs.weight, inputs.bias)
    return {name: expected.tolerance.detach() for name, expected in oracle(FUNCTIONS["layer_norm"], on, scaled).items()}


@pytest.mark.parametrize(
    ("gradients", "wanted"),
    [
        ("all", {"dx", "dresidual", "dweight", "dbias"}),
        ("x", {"dx", "dresidual"}),
        ("parameters", {"dweight", "dbias"}),
    ],
)
def test_the_oracle_gives_the_gradients_that_the_workload_asks_for(gradients, wanted):
    on = workload(4, 8, gradients=gradients)

    for name, also in (("layer_norm", {"y"}), ("add_layer_norm", {"y", "new_residual"})):
        function = FUNCTIONS[name]
        found = oracle(function, on, drawn(function, on))
        assert set(found) == also | (wanted - (set() if function.has_residual else {"dresidual"}))


def test_rounding_the_sum_to_the_dtype_of_x_is_within_the_tolerance_and_to_a_shorter_one_is_not():
    function, on = FUNCTIONS["add_layer_norm"], workload(64, 768)
    inputs = drawn(function, on)
    expected = oracle(function, on, inputs)["new_residual"]
    total = (inputs.x + inputs.residual).detach()

    def share(dtype):
        return float(((total.to(dtype).double() - expected.value).abs() / expected.tolerance).max())

    assert share(torch.float32) < 1 < share(torch.float16)


def test_terms_that_cancel_are_the_scale_of_their_error():
    function, on = FUNCTIONS["layer_norm"], workload(8, 32, affine="none")
    inputs = drawn(function, on)
    alike = Inputs(inputs.x, torch.full(on.shape, 0.5, dtype=torch.float64))

    plain, cancelled = (oracle(function, on, given)["dx"] for given in (inputs, alike))

    assert plain.scale == plain.value.abs().max()
    assert cancelled.value.abs().max() < 1e-12
    assert cancelled.scale > 0.1


def test_equal_upstream_gradients_are_summed_with_rounding_that_adds_up():
    on = workload(4096, 8)
    function, inputs = FUNCTIONS["layer_norm"], drawn(FUNCTIONS["layer_norm"], on)
    alike = Inputs(inputs.x, torch.full(on.shape, 0.7, dtype=torch.float64), inputs.weight, inputs.bias)
    in_turn = torch.full((8,), 0.0)
    for _ in range(on.rows):
        in_turn += 0.7

    random, equal = (oracle(function, replace(on, layout=it), alike)["dbias"] for it in ("contiguous", "expanded_dy"))
    error = (in_turn.double() - equal.value).abs()

    assert (error > random.tolerance).all()
    assert (error < equal.tolerance).all()


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("name", "shape", "dims", "mode"), CASES)
def test_every_tolerance_is_positive_and_finite_and_has_its_tensors_shape(name, shape, dims, mode, dtype, affine):
    on = workload(*shape, norm_dims=dims, dtype=dtype, affine=affine, norm_mode=mode, groups=2)

    for expected in oracle(FUNCTIONS[name], on, drawn(FUNCTIONS[name], on)).values():
        assert expected.tolerance.shape == expected.value.shape
        assert (expected.tolerance > 0).all()
        assert expected.tolerance.isfinite().all()


@given(st.sampled_from([2.0**-20, 0.5, 4.0, 2.0**20]))
def test_tolerances_follow_the_scale_of_x(factor):
    before, after = accepted(), accepted(factor)

    # Powers of two, so that only the smallest subnormal does not scale.
    for name, power in {"y": 0, "dx": -1, "dweight": 0, "dbias": 0}.items():
        torch.testing.assert_close(after[name], before[name] * factor**power, rtol=1e-9, atol=1e-30)


def test_tolerances_widen_with_the_rounding_of_the_dtype():
    ordered = [accepted(dtype=dtype) for dtype in ("float64", "float32", "float16", "bfloat16")]

    for narrow, wide in pairwise(ordered):
        assert all((narrow[name] < wide[name]).all() for name in narrow)


def test_a_tolerance_without_room_for_a_16_bit_mean_is_tighter_for_y_alone():
    on = workload(8, 32, dtype="bfloat16")
    inputs = drawn(FUNCTIONS["layer_norm"], on)

    loose, tight = (oracle(FUNCTIONS["layer_norm"], on, inputs, exact_mean=exact) for exact in (False, True))

    assert (tight["y"].tolerance < loose["y"].tolerance).all()
    assert all(torch.equal(tight[name].tolerance, loose[name].tolerance) for name in ("dx", "dweight", "dbias"))


def test_the_smallest_differences_between_variants_of_the_formula_are_outside_the_tolerance():
    on = workload(32, 768, eps=1e-5)
    inputs = drawn(FUNCTIONS["layer_norm"], on)
    expected = oracle(FUNCTIONS["layer_norm"], on, inputs)["y"]
    centred = inputs.x - inputs.x.mean(1, keepdim=True)

    unbiased = centred / (centred.square().sum(1, keepdim=True) / 767 + 1e-5).sqrt() * inputs.weight + inputs.bias

    assert ((unbiased - expected.value).abs() > expected.tolerance).any()


IMAGES = Workload((6, 32, 7, 5), (32, 7, 5), groups=8)


@pytest.mark.parametrize(
    ("name", "on", "view", "statistics", "parameters"),
    [
        ("layer_norm", Workload((3, 4, 10), (10,)), (12, 10), (1,), (1,)),
        ("layer_norm", Workload((3, 4, 10), (4, 10)), (3, 40), (1,), (1,)),
        ("rms_norm", IMAGES, (6, 1120), (1,), (1,)),
        ("batch_norm", IMAGES, (6, 32, 35), (0, 2), (1,)),
        ("batch_norm", Workload((3, 4, 10), (10,)), (12, 10, 1), (0, 2), (1,)),
        ("group_norm", IMAGES, (6, 8, 4, 35), (2, 3), (1, 2)),
        ("group_norm", Workload((3, 4, 32), (32,), groups=8), (12, 8, 4, 1), (2, 3), (1, 2)),
        ("instance_norm", IMAGES, (6, 32, 1, 35), (2, 3), (1, 2)),
    ],
)
def test_the_canonical_view_groups_what_is_normalized_together(name, on, view, statistics, parameters):
    found = geometry(FUNCTIONS[name], on)

    assert found == Geometry(view, statistics, parameters)
    assert prod(found.view) == on.elements
    assert found.statistics * found.statistic_length == on.elements
    assert found.sum_length * prod(found.parameter_view) == on.elements


@pytest.mark.parametrize(
    ("name", "on", "shape"),
    [
        ("layer_norm", IMAGES, (32, 7, 5)),
        ("rms_norm", Workload((3, 4, 10), (10,)), (10,)),
        ("batch_norm", IMAGES, (32,)),
        ("batch_norm", Workload((3, 4, 10), (10,)), (10,)),
        ("group_norm", IMAGES, (32,)),
        ("instance_norm", IMAGES, (32,)),
    ],
)
def test_parameters_have_the_normalized_shape_or_one_entry_per_channel(name, on, shape):
    assert parameter_shape(FUNCTIONS[name], on) == shape


@pytest.mark.parametrize(
    ("name", "on", "reason"),
    [
        ("batch_norm", Workload((2, 3, 4, 5), (4, 5)), "channels are undefined"),
        ("batch_norm", Workload((1, 10), (10,)), "more than one value per channel"),
        ("instance_norm", Workload((4, 10), (10,)), "more than one position"),
        ("group_norm", Workload((4, 10), (10,), groups=3), "10 channels do not divide into 3 groups"),
    ],
)
def test_where_a_function_is_not_defined_the_reason_is_said(name, on, reason):
    with pytest.raises(Unsupported, match=reason):
        geometry(FUNCTIONS[name], on)


def test_batch_norm_of_a_single_row_is_defined_in_eval_mode():
    assert geometry(FUNCTIONS["batch_norm"], Workload((1, 10), (10,), norm_mode="eval")).view == (1, 10, 1)


@pytest.mark.parametrize("part_elements", [1, 7, 24])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize(("name", "shape", "dims", "mode"), CASES)
def test_parts_of_any_size_give_the_values_tolerances_and_scales_of_the_whole(
    name, shape, dims, mode, dtype, part_elements
):
    on = workload(*shape, norm_dims=dims, dtype=dtype, norm_mode=mode, groups=2, eps=1e-3)
    function, inputs = FUNCTIONS[name], drawn(FUNCTIONS[name], on)

    whole, found = oracle(function, on, inputs), oracle(function, on, inputs, part_elements=part_elements)

    assert list(found) == list(whole)
    for tensor, right in whole.items():
        # The same sums in another order, in float64.
        torch.testing.assert_close(found[tensor].value, right.value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[tensor].tolerance, right.tolerance, rtol=1e-12, atol=0)
        assert found[tensor].scale == pytest.approx(right.scale, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "on", "most", "sizes"),
    [
        ("layer_norm", Workload((3, 4, 10), (10,)), 25, {20}),
        ("layer_norm", Workload((3, 4, 10), (10,)), 70, {70, 50}),
        ("rms_norm", Workload((4, 64), (64,)), 1, {64}),  # a row shares its statistics
        ("batch_norm", Workload((6, 10), (10,)), 20, {18, 6}),  # of whole channels: their statistics span the rows
        ("batch_norm", IMAGES, 1000, {4 * 210}),
        ("group_norm", IMAGES, 2000, {1120}),
        ("group_norm", IMAGES, 300, {280}),
        ("instance_norm", IMAGES, 100, {70}),
        ("dyt", Workload((4, 64), (64,)), 40, {40, 24}),  # nothing is shared
    ],
)
def test_a_part_holds_whole_groups_that_share_statistics_and_no_more_elements_than_asked_for(name, on, most, sizes):
    plan = geometry(FUNCTIONS[name], on)

    places = list(part_places(plan, most))

    covered = torch.zeros(plan.view, dtype=torch.int64)
    for place in places:
        covered[place] += 1
        assert all(place[axis] == slice(0, plan.view[axis]) for axis in plan.statistic_axes)
    assert (covered == 1).all()
    assert {covered[place].numel() for place in places} == sizes


def test_the_slope_of_a_saturated_tanh_keeps_its_digits():
    on = workload(1, 4, dtype="float64")
    x = torch.tensor([[20.0, -20.0, 30.0, 400.0]], dtype=torch.float64)
    ones = torch.ones(1, 4, dtype=torch.float64)

    found = oracle(FUNCTIONS["dyt"], on, Inputs(x, ones, alpha=torch.ones(1, dtype=torch.float64)))

    # 1 - tanh(z)^2 is 4 exp(-2 |z|) but for parts in exp(-4 |z|); 1 - tanh^2 itself would be 0 from 19 on.
    expected = 4 * torch.exp(-2 * x.abs())
    torch.testing.assert_close(found["dx"].value, expected, rtol=1e-12, atol=0)


def test_the_error_of_dalpha_is_relative_to_its_terms_where_they_nearly_cancel():
    on = workload(1, 4, dtype="float64", affine="none")
    x = torch.tensor([[1.0, -1.0, 1.0, -1.001]], dtype=torch.float64)  # odd in x, and dy is the same everywhere
    alpha = torch.full((1,), 0.5, dtype=torch.float64)

    found = oracle(FUNCTIONS["dyt"], on, Inputs(x, torch.ones_like(x), alpha=alpha))["dalpha"]

    assert 0 < abs(float(found.value)) < 1e-3
    assert found.scale == pytest.approx(2 * (1 - torch.tanh(alpha).item() ** 2), rel=1e-3)  # the root of four squares
