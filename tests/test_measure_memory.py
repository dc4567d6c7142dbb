"""What calls allocate: the events on plain numbers, and the table that can be worked out by hand, to the byte."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stage import cases, prepared, workload

from lnbench.implementations.toolchains import missing_cpp_compiler
from lnbench.measure.memory import Allocation, memory_of, peak_b, temporary_peak_b
from lnbench.observed import MemoryUse
from lnbench.worker.costs import measure_memory
from lnbench.workload import Phase

MIB16 = 16_777_216


def events(*sizes):
    """Allocations (address, bytes) in time; a negative size is a release."""
    return [Allocation(time, address, size_b) for time, (address, size_b) in enumerate(sizes)]


def test_the_peak_is_what_is_alive_at_once():
    assert peak_b(events((1, 100), (2, 50), (1, -100), (3, 20))) == 150
    assert peak_b([]) == 0


def test_a_release_of_what_was_there_before_lowers_no_peak_below_zero():
    assert peak_b(events((9, -500), (1, 100))) == 0


def test_temporaries_are_the_blocks_that_come_and_go():
    assert temporary_peak_b(events((1, 100), (2, 50), (2, -50), (3, 70), (3, -70), (1, -100), (4, 7))) == 170
    assert temporary_peak_b(events((1, 100), (9, -30))) == 0


def test_an_address_that_is_used_again_is_another_block():
    assert temporary_peak_b(events((1, 100), (1, -100), (1, 60))) == 100


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 100)), max_size=20))
def test_temporaries_never_exceed_the_peak(blocks):
    alive, found = set(), []
    for address, size_b in blocks:
        if address in alive:
            alive.discard(address)
            size_b = -next(size for place, size in reversed(found) if place == address and size > 0)
        else:
            alive.add(address)
        found.append((address, size_b))

    assert temporary_peak_b(events(*found)) <= peak_b(events(*found))


def measured(entry, *, norm_mode=""):
    """The memory of one case on (4096, 1024) float32 with two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made, heard = cases({"it": entry}, workload(4096, 1024, threads=2), norm_mode=norm_mode)
        made.build_all()
        measure_memory(made)
    finally:
        torch.set_num_threads(before)
    assert heard.ends() == {}
    (found,) = heard.of(MemoryUse)
    return found


@pytest.mark.parametrize(
    ("name", "norm_mode", "kept_b", "forward_peak_b", "step_peak_b"),
    [
        ("fused", "", 32_768, 16_809_984, 33_611_776),
        pytest.param(
            "compiled",
            "",
            32_768,
            16_809_984,
            33_628_160,
            marks=pytest.mark.skipif(bool(missing_cpp_compiler()), reason="torch.compile needs a C++ compiler"),
        ),
        ("batch_norm", "train", 8_192, 16_801_792, 50_348_032),
    ],
)
def test_the_table_that_can_be_worked_out_by_hand_is_met_to_the_byte(
    name, norm_mode, kept_b, forward_peak_b, step_peak_b
):
    found = measured(name, norm_mode=norm_mode)

    assert found.kept_b == found.saved_b == kept_b
    assert found.phases[Phase.FORWARD].output_b == MIB16
    assert found.phases[Phase.FORWARD].peak_b == forward_peak_b
    assert found.phases[Phase.FORWARD_BACKWARD].peak_b == step_peak_b


def test_eager_keeps_and_peaks_as_its_formula_says():
    """In float32: centred and centred * rsqrt(variance + eps) are saved for the products, the root for its own slope.

    saved: two of x's size, and rsqrt of each row. Forward's peak: those two, y * weight, y + bias, and three numbers of
    each row (mean, variance and rsqrt).
    """
    found = measured("eager")
    x_b, row_b = 4096 * 1024 * 4, 4096 * 4

    assert found.saved_b == found.kept_b == 2 * x_b + row_b
    assert found.phases[Phase.FORWARD].peak_b == 4 * x_b + 3 * row_b
    assert found.phases[Phase.FORWARD].output_b == x_b


def test_bytes_that_autograd_does_not_know_of_are_seen_by_the_allocator():
    class Hoarding(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.hoard = torch.zeros(1000)  # kept, but not by save_for_backward
            return 2 * x

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy

    work, _ = prepared(lambda on: lambda x, weight, bias: Hoarding.apply(x), workload(8, 16, affine="none"))
    work.backward(work.forward())

    assert work.saved_bytes() == 0
    assert memory_of(work, on_cuda=False).kept_b == 4000


def test_inputs_are_no_part_of_what_is_saved():
    work, _ = prepared(lambda on: lambda x, weight, bias: x * weight + bias, workload(8, 16))

    assert work.saved_bytes() == 0
