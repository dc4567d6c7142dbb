"""The files that are made of a run, beside its journal or anywhere."""

from pathlib import Path

from lnbench.conductor.shown_run import ShownRun
from lnbench.record import Run
from lnbench.render.markdown import PlotFile
from lnbench.render.plots.image import Drawing, Drawn, image
from lnbench.store.folder import make_folder, write_atomically, write_bytes_atomically
from lnbench.store.place import JOURNAL_NAME

REPORT_PLOTS = ("speedup", "time", "bandwidth", "memory", "batch")
"""The plots of a markdown report; the others show single cases."""


def write_markdown(shown: ShownRun, path: Path) -> list[Path]:
    """Write the report, and its plots into a folder beside it that is named after it. Gives all files written."""
    from lnbench.render.plots.catalogue import PLOTS

    drawn, left_out = Drawing(shown.run, shown.view).draw_all(REPORT_PLOTS)
    folder = path.with_name(f"{path.stem}-plots")
    if drawn:
        make_folder(folder)
    written, plots = [], []
    for name, specification in drawn:
        file = folder / f"{name}.svg"
        write_bytes_atomically(file, image(Drawn(name, specification), "svg"))
        written.append(file)
        plots.append(PlotFile(PLOTS[name].title, f"{folder.name}/{file.name}", PLOTS[name].tells))
    write_atomically(path, shown.markdown(plots, left_out))
    return [path, *written]


def write_outputs(run: Run, folder: Path) -> list[Path]:
    """Write results.csv and report.md beside the journal; each is replaced whole."""
    shown = ShownRun(run)
    made = {"results.csv": shown.csv(), "report.md": shown.markdown()}
    for name, text in made.items():
        write_atomically(folder / name, text)
    return [folder / name for name in made]


def are_current(folder: Path) -> bool:
    """True when what stands beside a journal was made after its last line."""
    made = [folder / name for name in ("results.csv", "report.md")]
    written = (folder / JOURNAL_NAME).stat().st_mtime
    return all(file.is_file() and file.stat().st_mtime >= written for file in made)
