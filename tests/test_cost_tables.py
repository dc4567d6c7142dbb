"""The groups of columns beside time: what --columns shows, and what it says where nothing was measured."""

import pytest
from command import run_lnbench
from fabricate import case, everything, run, turn, workload
from golden_files import expected
from rich.console import Console

from lnbench.cli.common import COLUMN_GROUPS
from lnbench.cost_tables import GROUPS, TIME, cost_table
from lnbench.render.terminal import render_run
from lnbench.view import view_run


def text_of(made, groups, *, width):
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(render_run(view_run(made), groups))
    return captured.get()


@pytest.mark.parametrize("width", [80, 160])
def test_every_group_is_as_expected(width):
    text = text_of(everything(), list(GROUPS), width=width)

    assert text == expected(f"columns-{width}.txt", text)


def test_time_alone_is_what_is_shown_unless_asked():
    made = everything()

    assert "NVML" not in text_of(made, (TIME,), width=160)
    assert "temporary\n" in "\n".join(line.strip() for line in text_of(made, (TIME, "memory"), width=160).splitlines())


@pytest.mark.parametrize("name", sorted(set(GROUPS) - {"traffic"}))
def test_a_group_without_figures_says_so_in_place_of_an_empty_table(name):
    (table,) = view_run(run([workload()], [case("fused")], [turn(0, 1e-4)])).tables

    found = cost_table(table, name)

    assert found.rows == ()
    assert found.note == GROUPS[name].absent


def test_columns_in_which_nothing_stands_are_left_out():
    (table,) = view_run(run([workload()], [case("fused")], [turn(0, 1e-4)])).tables

    found = cost_table(table, "traffic")

    assert "% of copy" not in found.headings
    assert {len(row) for row in found.rows} == {len(found.headings)}


def test_the_command_line_knows_every_group():
    assert (TIME, *GROUPS) == COLUMN_GROUPS


def test_an_unknown_group_names_the_nearest(tmp_path):
    done = run_lnbench(tmp_path, "run", "quick", "--columns", "time,memroy", "--dry-run")

    assert done.code == 2
    assert '--columns: unknown group "memroy"' in done.stderr
    assert "memory" in done.stderr
