"""The mistakes of correctness, 23 to 26: each is planted in an implementation and must not get a time in silence."""

import pytest
import torch
import zoo
from stage import ScriptedSampler, cases, judged, timed, workload

from lnbench.events import Verified
from lnbench.planned import Stage, Status
from lnbench.worker.judging import Judge

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [(8, 16), (32, 768), (256, 1024), (2, 5, 96)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_mistake_23_an_honest_formula_is_right(shape, dtype):
    outcome = judged(zoo.formula(zoo.two_passes), *shape, dtype=dtype)

    assert (outcome.status, outcome.reason) == (Status.OK, "")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [*SHAPES, (4, 4096)])
def test_mistake_23_an_unbiased_variance_is_wrong(shape, dtype):
    assert judged(zoo.formula(zoo.unbiased_variance), *shape, dtype=dtype).status is Status.WRONG


@pytest.mark.parametrize("shape", [*SHAPES, (4096, 64)])
@pytest.mark.parametrize("tensor", ["y", "dx", "dweight", "dbias"])
def test_mistake_23_every_result_is_checked_and_two_percent_off_is_wrong(tensor, shape):
    outcome = judged(zoo.by_hand(**{tensor: zoo.scaled(0.98)}), *shape)

    assert outcome.status is Status.WRONG
    assert tensor in outcome.reason


def test_mistake_23_two_percent_off_is_wrong_in_bfloat16_too_where_rounding_alone_would_hide_it():
    outcome = judged(zoo.by_hand(dbias=zoo.scaled(0.98)), 512, 64, dtype="bfloat16")

    assert outcome.status is Status.WRONG
    assert "float32" in outcome.reason


@pytest.mark.parametrize("shape", SHAPES)
def test_mistake_23_statistics_rounded_to_16_bits_are_wrong_for_float32(shape):
    assert judged(zoo.formula(zoo.rounded_statistics), *shape).status is Status.WRONG


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mistake_23_a_mean_rounded_to_the_dtype_of_x_is_said_and_a_float32_mean_is_not(dtype):
    rounded = judged(zoo.formula(zoo.mean_in_the_dtype_of_x), 32, 768, dtype=dtype)
    kept = judged(zoo.formula(zoo.two_passes), 32, 768, dtype=dtype)

    assert rounded.status is Status.OK
    assert "rounded-statistics" in rounded.notices
    assert kept.notices == {}


@pytest.mark.parametrize("planted", [zoo.without_eps, zoo.eps_outside_the_root])
@pytest.mark.parametrize(("shape", "dtype"), [((8, 768), "float32"), ((256, 768), "float32"), ((64, 768), "bfloat16")])
def test_mistake_23_an_eps_that_ordinary_inputs_do_not_show_is_wrong(planted, shape, dtype):
    outcome = judged(zoo.formula(planted), *shape, dtype=dtype)

    assert outcome.status is Status.WRONG
    assert "under the root" in outcome.reason


@pytest.mark.parametrize("shape", [(2, 3, 16), (2, 3, 4, 16)])
def test_mistake_24_statistics_over_all_but_the_first_axis_are_wrong(shape):
    assert judged(zoo.formula(zoo.over_all_but_the_first_axis), *shape).status is Status.WRONG
    assert judged(zoo.formula(zoo.two_passes), *shape).status is Status.OK


@pytest.mark.parametrize("shape", [(2, 3, 16), (2, 3, 4, 16)])
@pytest.mark.parametrize("tensor", ["dweight", "dbias"])
def test_mistake_24_gradients_summed_over_the_first_axis_only_are_wrong(shape, tensor):
    def over_the_first_rows(right, dy, on):
        rows = dy.flatten(1)[:, : right.numel()]
        return rows.sum(0).reshape(right.shape) if tensor == "dbias" else right * on.shape[0] / on.rows

    assert judged(zoo.by_hand(**{tensor: over_the_first_rows}), *shape).status is Status.WRONG
    assert judged(zoo.by_hand(), *shape).status is Status.OK


@pytest.mark.parametrize(
    ("planted", "status", "reason"),
    [
        pytest.param(zoo.caching_outputs, Status.WRONG, "times the tolerance", id="cached"),
        pytest.param(zoo.caching_statistics_by_version, Status.WRONG, "times the tolerance", id="cached-by-version"),
        pytest.param(zoo.writing_into("x"), Status.WRONG, "writes into x", id="writes-x"),
        pytest.param(zoo.writing_into("weight"), Status.WRONG, "writes into a parameter", id="writes-weight"),
        pytest.param(zoo.writing_into("dy"), Status.WRONG, "writes into dy", id="writes-dy"),
        pytest.param(zoo.writing_into_y_in_backward, Status.WRONG, "changed afterwards", id="backward-writes-y"),
        pytest.param(
            zoo.after(lambda y, x, weight: y.as_subclass(zoo.Lazy)), Status.WRONG, "a Lazy, not a plain", id="lazy"
        ),
        pytest.param(zoo.after(lambda y, x, weight: y.to("meta")), Status.WRONG, "without its own dense", id="meta"),
        pytest.param(zoo.after(lambda y, x, weight: y.to_sparse()), Status.WRONG, "without its own dense", id="sparse"),
        pytest.param(zoo.after(lambda y, x, weight: lambda: y), Status.WRONG, "a function, not a plain", id="thunk"),
        pytest.param(zoo.after(lambda y, x, weight: (y,)), Status.WRONG, "a tuple, not a plain", id="tuple"),
        pytest.param(zoo.after(lambda y, x, weight: y.double()), Status.WRONG, "float64 (8, 16)", id="dtype"),
        pytest.param(zoo.after(lambda y, x, weight: y.T), Status.WRONG, "float32 (16, 8)", id="shape"),
        pytest.param(zoo.after(lambda y, x, weight: x.view(8, 16)), Status.WRONG, "a view of its input", id="view"),
        pytest.param(
            zoo.after(lambda y, x, weight: weight.expand(8, 16)), Status.WRONG, "a view of its input", id="view-weight"
        ),
        pytest.param(zoo.by_hand(y=zoo.into_one_buffer()), Status.WRONG, "same memory", id="same-memory"),
        pytest.param(zoo.after(lambda y, x, weight: y.detach()), Status.WRONG, "detached", id="detached"),
        pytest.param(zoo.by_hand(dx=lambda *_: None), Status.WRONG, "no gradient reaches x", id="no-dx"),
        pytest.param(zoo.by_hand(dweight=lambda *_: None), Status.WRONG, "no gradient reaches weight", id="no-dweight"),
        pytest.param(zoo.by_hand(dbias=lambda *_: None), Status.WRONG, "no gradient reaches bias", id="no-dbias"),
    ],
)
def test_mistake_25_a_result_that_is_not_one_is_refused_with_the_reason(planted, status, reason):
    outcome = judged(planted, 8, 16)

    assert outcome.status is status
    assert reason in outcome.reason


def test_mistake_25_a_result_that_a_thread_has_yet_to_finish_is_refused():
    planted = zoo.Unfinished()

    outcome = judged(planted, 8, 16)
    planted.finish()

    assert outcome.status is Status.WRONG


def writing_and_failing(on):
    """Writes into x, and returns what is refused before anybody looks at x."""
    spoil = zoo.writing_into("x")(on)
    return lambda x, weight, bias: spoil(x, weight, bias).double()


@pytest.mark.parametrize("planted", [zoo.writing_into("x"), writing_and_failing])
@pytest.mark.parametrize("seed", range(4))  # cases are built and judged in an order that is drawn from it
def test_mistake_25_nobody_is_blamed_for_what_another_case_wrote_into_the_inputs(planted, seed):
    entries = {"first": "fused", "second": "eager", "bad": planted, "third": "module", "fourth": zoo.honest}
    made, heard = cases(entries, workload(64, 16))
    made.seed = seed
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    judge.after()

    assert list(heard.ends()) == [2]


def test_mistake_25_an_implementation_that_starts_to_cheat_while_timed_is_found_afterwards():
    calls = []

    def tiring(on):
        norm, kept = zoo.honest(on), []

        def forward(x, weight, bias):
            calls.append(None)
            y = norm(x, weight, bias)
            kept.append(y.detach())
            return y if len(calls) < 100 else kept[0] + 0 * y

        return forward

    made, heard = cases({"tiring": tiring, "honest": zoo.honest}, workload(8, 16))
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    assert len(calls) < 100
    calls += [None] * 100
    timed(made, heard, ScriptedSampler())
    judge.after()

    assert heard.ends()[0].status is Status.WRONG
    assert heard.ends()[0].stage is Stage.VERIFY
    assert list(made.live) == [1]


def test_mistake_25_inputs_changed_while_timed_leave_nobody_a_result():
    made, heard = cases({"late": zoo.honest, "honest": "fused"}, workload(8, 16))
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    made.arrays.x[0].data.add_(1e-3)

    judge.after()

    assert {end.status for end in heard.ends().values()} == {Status.ERROR}
    assert all("inputs changed" in end.reason for end in heard.ends().values())


def test_mistake_25_values_are_fresh_each_time_and_their_memory_and_version_stay():
    made, heard = cases({"fused": "fused"}, workload(8, 16))
    x = made.arrays.x[0]
    address, version, before = x.data_ptr(), x._version, x.clone()
    made.build_all()
    judge = Judge(made, judged={})
    judge.before()
    after = made.arrays.x[0]

    assert (after.data_ptr(), after._version) == (address, version)
    assert not torch.equal(after, before)
    assert [found.moment for found in heard.of(Verified)] == ["before", "before"]


PLACES = [((64, 128), "float32"), ((4, 128), "float32"), ((64, 128), "bfloat16")]
HARD = [
    (planted, named, shape, dtype)
    for planted, named in (
        (zoo.difference_of_squares, "mean 1000 times"),
        (zoo.unguarded_on_constant_rows, "constant rows"),
        (zoo.overflowing, "around 1e12"),
    )
    for shape, dtype in PLACES
] + [(zoo.unguarded_on_constant_rows, "constant rows", (4, 128), "float64")]  # the others do no harm in float64


@pytest.mark.parametrize(("planted", "named", "shape", "dtype"), HARD)
def test_mistake_26_what_is_right_on_ordinary_inputs_and_off_on_hard_ones_is_said(planted, named, shape, dtype):
    outcome = judged(zoo.formula(planted), *shape, dtype=dtype)

    assert outcome.status is Status.OK
    assert named in outcome.notices["inaccurate"]


@pytest.mark.parametrize("entry", ["fused", "module", zoo.formula(zoo.two_passes)])
def test_mistake_26_careful_implementations_get_no_such_notice(entry):
    assert "inaccurate" not in judged(entry, 64, 128).notices


@pytest.mark.parametrize("second", [((128, 96), "float32"), ((64, 96), "bfloat16"), ((8, 96), "float32")])
def test_mistake_26_the_notice_stands_at_every_workload_although_the_formula_is_judged_once(second):
    judged_before = {}
    noticed = []

    for shape, dtype in [((64, 96), "float32"), second, second]:
        made, heard = cases({"it": zoo.formula(zoo.difference_of_squares)}, workload(*shape, dtype=dtype))
        made.build_all()
        Judge(made, judged=judged_before).before()
        noticed.append("inaccurate" in heard.notices())

    assert noticed == [True, True, True]
