"""What commands share: the options that stand everywhere, where output goes, and how it looks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from lnbench.errors import OutputError, UsageError, nearest
from lnbench.render.outside import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REPORTS = Path("reports")
"""Where runs are kept, below the current folder."""

_PIPED_WIDTH = 120


@dataclass
class Settings:
    """What --quiet and --debug say, before or after the command's name."""

    quiet: bool = False
    debug: bool = False

    def reset(self, *, debug: bool) -> None:
        """Start a new command line."""
        self.quiet, self.debug = False, debug


settings = Settings()


def _hush(quiet: bool) -> bool:
    settings.quiet |= quiet
    return quiet


def _show_tracebacks(debug: bool) -> bool:
    settings.debug |= debug
    return debug


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Results only: no progress, no messages except about a long wait.", callback=_hush
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show tracebacks, and what workers print.", callback=_show_tracebacks)
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="COLUMN=PATTERN,...",
        help="Keep the cases whose columns match, as in dtype=bfloat16,input_shape=8x*. May repeat.",
    ),
]
OnlyRows = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="COLUMN=PATTERN,...",
        help="Show the rows whose columns match, as in dtype=bfloat16,phase=backward. May repeat.",
    ),
]
Implementations = Annotated[
    list[str] | None,
    typer.Option(
        "--implementation",
        "-i",
        metavar="NAME,...",
        help="Measure these instead of the suite's list; the reference is always added. May repeat.",
    ),
]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", metavar="NAME,...", help="cpu, cuda or cuda:N, instead of the suite's. May repeat."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", metavar="FILE", help="A Python file that registers implementations; it is run. May repeat."
    ),
]

Processes = Annotated[
    int | None, typer.Option(min=1, help="Fresh worker processes, each measuring the whole plan once.")
]
Precision = Annotated[
    float | None, typer.Option(metavar="SHARE", help="Stop a workload when speedups are known this well, as in 0.01.")
]
Budget = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Seconds of timed rounds per workload and process; a busy machine may take more, see --budget-total.",
    ),
]
BudgetTotal = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="At most this long for all timed rounds; on a busy machine they go on past --budget until enough samples "
        "are undisturbed. Default: three times what the budgets add up to. A check that confirms rows may take that "
        "long again.",
    ),
]
DEFAULT_TIMEOUT_S = 300.0

Timeout = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        metavar="SECONDS",
        help="How long one stage of one case may take without making progress.",
        show_default=f"{DEFAULT_TIMEOUT_S:g}",
    ),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Fail at once where another run measures on this machine, instead of waiting.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="For inputs and the order of turns; else a fresh one.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="The run folder, instead of reports/<run-id>.")
]
SuiteName = Annotated[
    str, typer.Argument(metavar="SUITE", help="A path (with a / or ending in .yaml), or a shipped suite's name.")
]
Margin = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="The slowdown to let pass, as in 0.03, instead of the suite's thresholds.",
        show_default=False,
    ),
]
AllowDifferent = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME,...",
        help=(
            "Compare in spite of another machine, torch, triton, libraries, threads, allocator, samples or suite. May "
            "repeat."
        ),
        show_default=False,
    ),
]

COLUMN_GROUPS = ("time", "traffic", "memory", "energy", "accuracy", "compile", "conditions", "disturbance", "clocks")
"""The groups of columns, by name; known here too: a mistyped one is reported before anything heavy is loaded."""

Columns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GROUP,...",
        help=f"What the terminal shows: {', '.join(COLUMN_GROUPS)}, or all.",
        show_default="time",
    ),
]


def check_margin(margin: float | None) -> float | None:
    """The margin, if it is one: above 0 and at most 1. Raises UsageError."""
    if margin is not None and not 0 < margin <= 1:
        raise UsageError(f"--margin: must be above 0 and at most 1, found {margin:g}", hint="0.03 lets 3 % pass")
    return margin


def chosen_conditions(names: list[str] | None) -> tuple[str, ...]:
    """The conditions that need not match. Raises UsageError for a name that is none."""
    from lnbench.conditions import CONDITIONS

    chosen = split_commas(names)
    for name in chosen:
        if name not in CONDITIONS:
            raise UsageError(f'--allow-different: unknown condition "{name}"', hint=nearest(name, CONDITIONS))
    return chosen


def chosen_columns(names: list[str] | None) -> tuple[str, ...]:
    """The groups of columns that were asked for. Raises UsageError for a name that is none."""
    chosen = split_commas(names) or COLUMN_GROUPS[:1]
    for name in chosen:
        if name not in (*COLUMN_GROUPS, "all"):
            raise UsageError(f'--columns: unknown group "{name}"', hint=nearest(name, COLUMN_GROUPS))
    return COLUMN_GROUPS if "all" in chosen else tuple(dict.fromkeys(chosen))


def split_commas(values: list[str] | None) -> tuple[str, ...]:
    """The names in options that repeat or hold several, separated by commas."""
    return tuple(name for value in values or () for name in (part.strip() for part in value.split(",")) if name)


def show(renderable: "RenderableType") -> None:
    """Print a result to stdout, as wide as the terminal; 120 columns where there is none. Tables run past a narrow one.

    Raises OutputError when nothing can be written there.
    """
    try:
        _console(sys.stdout.isatty()).print(renderable, crop=False)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"the output can't be written: {error.strerror}") from error


def progress_console() -> "Console":
    """The console for progress and messages, on stderr; where that was closed, they are lost, and nothing else."""
    from rich.console import Console

    return Console(file=cast("IO[str]", _Forgiving(sys.stderr)), highlight=False)


@contextmanager
def alone(what: str, *, no_wait: bool) -> Iterator[None]:
    """Measure while no other lnbench does on this machine: wait in the queue, or fail with `no_wait`."""
    from lnbench.conductor.alone import alone_on_machine

    with alone_on_machine(what, wait=not no_wait, say=_say, quiet=settings.quiet):
        yield


class _Forgiving:
    """A stream that can be written to although nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def message(text: str) -> None:
    """Say something to the person, on stderr, unless --quiet."""
    if not settings.quiet:
        _say(text)


def _say(text: str) -> None:
    with suppress(OSError):  # nobody reads it any more
        print("\n".join(map(plain, text.split("\n"))), file=sys.stderr, flush=True)  # noqa: T201


def _console(is_terminal: bool) -> "Console":
    import os

    from rich.console import Console

    width = None if is_terminal or "COLUMNS" in os.environ else _PIPED_WIDTH
    # NO_COLOR keeps rich from colours alone; without a colour system it leaves bold and the like out too.
    return Console(
        highlight=False, width=width, soft_wrap=False, color_system=None if os.environ.get("NO_COLOR") else "auto"
    )
