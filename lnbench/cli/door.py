"""The one place where commands are collected and errors become messages and exit codes."""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lnbench import __version__
from lnbench.cli import baseline, check, compare, doctor, history, listing, recommend, report, run, schema, selftest
from lnbench.cli.common import Debug, Quiet, settings
from lnbench.cli.streams import forget_impossible_sizes, lead_nowhere, open_standard_streams
from lnbench.errors import ExitCode, InterruptedCommandError, LnbenchError, nearest
from lnbench.render.outside import plain

HELP = """Measure what a normalization layer costs: verified results, and ratios of things that took turns.

Examples:

  lnbench run quick

  lnbench run my_suite.yaml --plugin my_norms.py

  lnbench doctor

  lnbench list implementations

  lnbench report latest --format html --output report.html

  lnbench recommend latest

  lnbench check ci --against git:main:my_norms.py

  lnbench compare baseline.jsonl latest

  lnbench history reports

Exit codes: 0 fine, 1 confirmed regression (check only), 2 bad input, 3 too much unknown to judge or the reference
changed, 4 some case failed, 5 nothing was measured or compared, 70 a bug in lnbench, 130 interrupted.
"""


class _Commands(TyperGroup):
    """All commands. typer makes a bare exit code of an interrupt (0.29); what it says is kept here."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise InterruptedCommandError(
                str(interrupt) or "interrupted", hint=getattr(interrupt, "hint", "")
            ) from interrupt


app = typer.Typer(
    name="lnbench",
    cls=_Commands,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"lnbench {__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(
    version: Annotated[  # noqa: ARG001  (handled by its callback)
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    settings.quiet |= quiet
    settings.debug |= debug


app.command(name="run", no_args_is_help=True)(run.run)
app.command(name="check", no_args_is_help=True)(check.check)
app.command(name="baseline", no_args_is_help=True)(baseline.baseline)
app.command(name="compare", no_args_is_help=True)(compare.compare)
app.command(name="doctor")(doctor.doctor)
app.command(name="selftest")(selftest.selftest)
app.add_typer(listing.app, name="list")
app.command(name="report", no_args_is_help=True)(report.report)
app.command(name="recommend", no_args_is_help=True)(recommend.recommend)
app.command(name="history")(history.history)
app.command(name="schema")(schema.schema)


def main() -> None:
    """Run the command line and leave with its exit code."""
    open_standard_streams()
    code = int(run_command_line(sys.argv[1:]))
    try:
        sys.stderr.flush()
    except OSError:
        lead_nowhere(sys.stderr)
    sys.exit(code)


def run_command_line(arguments: list[str]) -> int:
    """Run one command; every error becomes a message on stderr and an exit code, never a traceback unless --debug."""
    settings.reset(debug="--debug" in arguments)
    forget_impossible_sizes()
    try:
        with _sigterm_interrupts():
            code = app(arguments, standalone_mode=False)
            sys.stdout.flush()
        return int(code or ExitCode.FINE)
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except LnbenchError as error:
        _say(error.message, error.hint, error)
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):  # while the command line was read
        _say("interrupted", "")
        return int(ExitCode.INTERRUPTED)
    except (BrokenPipeError, SystemExit) as leaving:
        # The reader of our output has gone, as with `| head`; there is nobody left to tell. typer and rich leave with
        # code 1 then, which here would say that something became slower.
        if isinstance(leaving, SystemExit) and not isinstance(leaving.__context__, BrokenPipeError):
            raise
        lead_nowhere(sys.stdout)
        return int(ExitCode.FINE)
    except OSError as error:
        if error.filename is not None:
            return _bug(error)
        lead_nowhere(sys.stdout)
        _say(f"the output can't be written: {error.strerror}", "", error)
        return int(ExitCode.USAGE)
    except Exception as error:
        if _is_usage_error(error):
            return _usage(error)
        return _bug(error)


def _bug(error: Exception) -> int:
    """Say that it is ours, and how to report it."""
    _say(
        f"a bug in lnbench: {type(error).__name__}: {error}",
        "run the same command with --debug and report what it prints, with the versions from `lnbench --version`",
        error,
    )
    return int(ExitCode.BUG)


def _is_usage_error(error: Exception) -> bool:
    """True for what typer's parser raises about the command line (its class has moved between versions)."""
    return any(kind.__name__ == "UsageError" for kind in type(error).__mro__)


def _usage(error: Exception) -> int:
    """Say what is wrong with the command line, and where its help is."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the whole help
        print(message, file=sys.stderr)  # noqa: T201
        return int(ExitCode.USAGE)
    context = getattr(error, "ctx", None)
    hint = f"see `{context.command_path} --help`" if context is not None else "see `lnbench --help`"
    if context is not None and message.startswith("No such command"):
        words = message.split("'")
        guess = nearest(words[1], context.command.list_commands(context)) if len(words) > 1 else ""
        message, hint = message.partition(". ")[0].rstrip("."), guess or hint
    _say(message[:1].lower() + message[1:], hint)
    return int(ExitCode.USAGE)


def _say(message: str, hint: str, error: Exception | None = None) -> None:
    """Print what is wrong; messages quote files and command lines, so nothing in them may steer a terminal."""
    if settings.debug and error is not None:
        told = list(map(plain, "".join(traceback.format_exception(error)).splitlines()))
    else:
        told = []
    told += [f"error: {plain(message)}", *([f"hint: {plain(hint)}"] if hint else [])]
    with suppress(OSError):  # where nobody can be told, the exit code tells
        print("\n".join(told), file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that what was measured is kept."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
