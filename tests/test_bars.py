"""Bars beside the times: what they are made of, what they show, and that they never widen a table."""

import io

import pytest
from fabricate import case, ended, noisy_turns, run, workload
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lnbench.planned import Status
from lnbench.relative_speed import main_phase, relative_speeds
from lnbench.render.bars import bar_text
from lnbench.render.terminal import render_run
from lnbench.view import view_run
from lnbench.workload import Phase

BLOCKS = set("█▉▊▋▌▍▎▏")

TWO_PHASES = run(
    [workload(phases=(Phase.INFERENCE, Phase.FORWARD))],
    [case("fused"), case("eager")],
    noisy_turns({0: 1e-4, 1: 2e-4}, rounds=6),
)


def shown(made, *, width, encoding="utf-8"):
    """A run as a terminal of this encoding shows it, without colour."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(width=width, file=file, force_terminal=False, color_system=None)
    console.print(render_run(view_run(made)))
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def speeds(true_s, events=(), **axes):
    """The relative speeds of implementations with these forward times, the first one the reference."""
    names = ("fused", "eager", "compiled", "other")[: len(true_s)]
    times = {number: seconds for number, seconds in enumerate(true_s) if seconds is not None}
    made = run([workload(**axes)], [case(name) for name in names], [*noisy_turns(times), *events])
    (table,) = view_run(made).tables
    return relative_speeds(table)


@pytest.mark.parametrize(
    ("share", "bar"),
    [(1.0, "████"), (0.5, "██  "), (0.53, "██▏ "), (0.001, "▏   "), (0.0, "    "), (0.97, "███▉")],
)
def test_a_bar_is_an_eighth_of_a_letter_fine_and_never_gone_where_there_is_something(share, bar):
    assert bar_text(share, 4) == bar


def test_a_bar_is_made_of_plain_letters_where_blocks_can_not_be_shown():
    assert [bar_text(share, 4, ascii_only=True) for share in (1.0, 0.4, 0.01)] == ["####", "##  ", "#   "]


@given(st.floats(0, 1), st.integers(1, 40), st.booleans())
def test_a_bar_is_as_wide_as_its_room(share, width, ascii_only):
    assert len(bar_text(share, width, ascii_only=ascii_only)) == width


def test_the_fastest_row_has_the_longest_bar_and_one_of_half_its_speed_half_of_it():
    found = speeds([2e-4, 4e-4, 1e-4])

    assert found == pytest.approx((0.5, 0.25, 1.0), rel=0.03)
    assert max(found) == 1.0


def test_without_speedups_bars_are_of_times():
    assert speeds([None, 4e-4, 1e-4], [ended(0, Status.OOM, "out of memory")]) == (
        None,
        pytest.approx(0.25, rel=0.03),
        1.0,
    )


def test_a_row_alone_has_nothing_to_stand_beside():
    assert speeds([2e-4]) == (None,)
    assert speeds([2e-4, None], [ended(1, Status.CRASH, "died")]) == (None, None)
    assert speeds([None, None]) == (None, None)


def test_bars_are_of_the_whole_step_or_of_the_last_phase():
    assert main_phase((Phase.FORWARD_BACKWARD, Phase.INFERENCE)) is Phase.FORWARD_BACKWARD
    assert main_phase((Phase.INFERENCE, Phase.FORWARD)) is Phase.FORWARD


def test_a_bar_stands_beside_the_phase_that_it_is_of():
    phases = (Phase.FORWARD_BACKWARD, Phase.INFERENCE)
    made = run([workload(phases=phases)], [case("fused"), case("eager")], noisy_turns({0: 1e-4, 1: 2e-4}))

    heading = next(line for line in shown(made, width=120).splitlines() if line.startswith("implementation"))
    assert heading.split() == ["implementation", "forward_backward", "speed", "inference"]


@pytest.mark.parametrize("width", range(40, 160))
def test_a_table_with_bars_stays_within_the_terminal_and_keeps_a_line_a_row_where_there_was_one(width):
    lines = shown(TWO_PHASES, width=width).splitlines()

    assert max(map(len, lines)) <= width
    assert any(line.startswith("fused ") for line in lines)
    assert "…" not in "".join(lines)
    assert len([line for line in lines if "µs" in line]) == 2


def test_bars_are_plain_where_the_output_is_not_unicode():
    made = run([workload()], [case("fused"), case("eager")], noisy_turns({0: 1e-4, 1: 2e-4}))

    assert BLOCKS & set(shown(made, width=140))
    plain = shown(made, width=140, encoding="ascii")
    assert "########" in plain
    assert not BLOCKS & set(plain)


def test_there_is_no_bar_where_there_is_no_room_or_nothing_to_compare():
    made = run([workload()], [case("fused"), case("eager")], noisy_turns({0: 1e-4, 1: 2e-4}))
    alone = run([workload()], [case("fused")], noisy_turns({0: 1e-4}))

    assert "speed " not in shown(made, width=72)
    assert "speed " not in shown(alone, width=160)
