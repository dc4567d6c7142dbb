"""`lnbench baseline`: a run made small, to keep in the repository and check against."""

from pathlib import Path
from typing import Annotated

import typer

from lnbench.cli.common import REPORTS, Debug, Quiet, message


def baseline(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, journal file, id, or `latest`.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it: .jsonl, or packed to .jsonl.gz.")
    ] = Path("baseline.jsonl"),
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> None:
    """Write a run as a compact baseline for `lnbench check --baseline`.

    Keeps what each process found out about each row instead of every sample: a few kilobytes that can be committed. The
    run needs at least 3 processes. A baseline that stands there already is replaced.

    Examples:

      lnbench baseline latest

      lnbench baseline latest --output baselines/runner.jsonl
    """
    from lnbench.gate.baseline import write_baseline
    from lnbench.store.folder import find_run
    from lnbench.store.reading import read_run

    write_baseline(read_run(find_run(run, REPORTS)), output)
    message(f"written: {output}")
