"""A run as text in each format, and the files that stand beside its journal."""

import io
from pathlib import Path

from rich.console import Console

from lnbench.record import Run
from lnbench.render.csv import render_csv
from lnbench.render.markdown import render_report
from lnbench.render.terminal import render_run
from lnbench.store.folder import write_atomically
from lnbench.tables import results_table, samples_table
from lnbench.view import view_run

TEXT_WIDTH = 120


def csv_text(run: Run, *, samples: bool = False) -> str:
    """The results, or every raw sample, as CSV."""
    return render_csv(samples_table(run) if samples else results_table(run))


def markdown_text(run: Run) -> str:
    """The report as markdown."""
    return render_report(view_run(run))


def terminal_text(run: Run) -> str:
    """The terminal's tables as plain text, 120 columns wide."""
    console = Console(file=io.StringIO(), width=TEXT_WIDTH, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(render_run(view_run(run)))
    return captured.get()


def write_outputs(run: Run, folder: Path) -> list[Path]:
    """Write results.csv and report.md beside the journal; each is replaced whole."""
    made = {"results.csv": csv_text(run), "report.md": markdown_text(run)}
    for name, text in made.items():
        write_atomically(folder / name, text)
    return [folder / name for name in made]
