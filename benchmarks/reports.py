"""How long a report takes, how large it is, and how long a browser needs for it: the real command, on made-up runs.

One run of 200 cases (25 workloads of 8 implementations, three processes, 60 rounds), one of 10^6 samples (the plan of
large_journal.py). A time beside `lnbench --version` in the same minute tells what the machine was like. The browser is
what LNBENCH_BROWSER or PATH names; without one (or without playwright) its figures are left out.

    python benchmarks/reports.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import large_journal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
REPEATS = 3
SAMPLES = 1_000_000


def write_200_cases(path: Path) -> None:
    """A journal of 200 cases."""
    from fabricate import wide_run

    made = wide_run(workloads=25, implementations=8, processes=3, rounds=60)
    path.write_text("".join(f"{line.model_dump_json()}\n" for line in (made.header, *made.events)), encoding="utf-8")


def seconds(*arguments: str, folder: Path) -> float:
    """The median wall time of a command."""
    taken = []
    for _ in range(REPEATS):
        started = perf_counter()
        subprocess.run([sys.executable, "-m", "lnbench", *arguments], cwd=folder, check=True, capture_output=True)
        taken.append(perf_counter() - started)
    return median(taken)


def browser_seconds(page: Path) -> tuple[float, float] | None:
    """How long until everything is drawn, and again after another phase was chosen; None without a browser."""
    try:
        from browsers import Opened, launched

        with launched() as browser:
            started = perf_counter()
            opened = Opened(browser, page)
            opened.drawn()
            first = perf_counter() - started
            started = perf_counter()
            opened.page.locator('#choices select[name="phase"]').select_option("inference")
            opened.drawn()
            return first, perf_counter() - started
    except BaseException as error:  # pytest's skip is no Exception
        print(f"no browser: {error}")
        return None


def main() -> None:
    """Make the runs, print the figures."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_200_cases(folder / "cases.jsonl")
        large_journal.write(folder / "samples.jsonl", turns=SAMPLES // large_journal.SAMPLES_OF_A_TURN, seed=1)
        print(f"{seconds('--version', folder=folder):6.2f} s  lnbench --version", flush=True)
        for name in ("cases", "samples"):
            for format, file in (("html", "html"), ("markdown", "md"), ("csv", "csv"), ("svg", "svg")):
                target = f"{name}.{file}"
                taken = seconds("report", f"{name}.jsonl", "--format", format, "--output", target, folder=folder)
                size = (folder / target).stat().st_size / 1e6
                print(f"{taken:6.2f} s {size:6.2f} MB  lnbench report {name}.jsonl --format {format}", flush=True)
            drawn = browser_seconds(folder / f"{name}.html")
            if drawn is not None:
                print(
                    f"{drawn[0]:6.2f} s to draw {name}.html, {drawn[1]:.2f} s after another phase was chosen",
                    flush=True,
                )


if __name__ == "__main__":
    main()
