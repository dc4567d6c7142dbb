"""`lnbench list`: what implementations and suites there are, and what a suite would measure here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lnbench.cli.common import (
    Debug,
    Devices,
    Implementations,
    NoWait,
    Only,
    Plugins,
    Quiet,
    alone,
    message,
    progress_console,
    settings,
    show,
    split_commas,
)
from lnbench.cli.formats import TERMINAL, Formats, chosen_formats, write_files, write_shown
from lnbench.errors import ExitCode
from lnbench.render.outside import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from lnbench.examined import Listed

TRY_TIMEOUT_S = 180.0
"""A first import of a large framework, or a first compilation, on a slow disk."""

app = typer.Typer(
    help="""Show implementations, suites, or the cases of a suite.

Examples:

  lnbench list implementations --try

  lnbench list suites

  lnbench list cases quick --only dtype=bfloat16
""",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def implementations(
    implementation: Annotated[
        list[str] | None,
        typer.Option("--implementation", "-i", metavar="NAME,...", help="Show these alone. May repeat."),
    ] = None,
    plugin: Plugins = None,
    tried: Annotated[
        bool,
        typer.Option(
            "--try",
            help="Build and call each on a tiny workload, in a process of its own. Waits while another run measures.",
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=1.0, metavar="SECONDS", help="With --try: how long one may take.", show_default=f"{TRY_TIMEOUT_S:g}"
        ),
    ] = None,
    format: Formats = None,
    no_wait: NoWait = False,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Show every implementation: lnbench's own, those of plug-in files, and those of installed packages.

    `here` tells whether what it needs is installed, and in which version. Packages are named by their metadata, and
    not loaded; --try loads them. Formats: terminal, json.

    Examples:

      lnbench list implementations

      lnbench list implementations --plugin my_norms.py --implementation my_norm --try

      lnbench list implementations --format json
    """
    from lnbench.gate.listing import list_implementations, try_each
    from lnbench.render.implementations import render_implementations, render_json

    formats = {TERMINAL: _as_text, "json": render_json}
    chosen = chosen_formats(format, formats)
    found = list_implementations(plugin or (), names=split_commas(implementation))
    if tried:
        # It takes cores, and is left until nobody measures.
        with alone("lnbench list implementations --try", no_wait=no_wait), _progress(found) as say:
            found = tuple(try_each(found, timeout_s=timeout or TRY_TIMEOUT_S, say=say))
    write_files(chosen, found, formats)
    if chosen.shown == TERMINAL:
        show(render_implementations(found))
    else:
        write_shown(chosen, found, formats)
    return ExitCode.FINE


def _as_text(found: Sequence["Listed"]) -> str:
    """The table as a file has it."""
    from lnbench.conductor.plain_text import plain_text
    from lnbench.render.implementations import render_implementations

    return plain_text(render_implementations(found))


@contextmanager
def _progress(found: Sequence["Listed"]) -> Iterator["Callable[[int, Listed], None]"]:
    """Says what is tried: in one line on a terminal, in a line each elsewhere, not at all with --quiet."""
    console = progress_console()

    def text(number: int, listed: "Listed") -> str:
        return f"[{number + 1}/{len(found)}] trying {plain(listed.name)}, from {plain(listed.origin)}"

    if settings.quiet or not console.is_terminal or console.no_color:
        yield lambda number, listed: message(text(number, listed))
        return
    with console.status("") as status:
        yield lambda number, listed: status.update(text(number, listed).replace("[", r"\["))


@app.command()
def suites(quiet: Quiet = False, debug: Debug = False) -> None:  # noqa: ARG001  (read by callbacks)
    """Show the shipped suites, with the question that each answers.

    Example:

      lnbench list suites
    """
    from lnbench.cli.catalogue import suites_table

    show(suites_table())


@app.command(no_args_is_help=True)
def cases(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A path, or a shipped suite's name.")],
    only: Only = None,
    implementation: Implementations = None,
    device: Devices = None,
    plugin: Plugins = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001  (read by its callback)
) -> int:
    """Show every case that a suite would measure on this machine, and why others are left out.

    Examples:

      lnbench list cases quick

      lnbench list cases gpu --device cuda:0
    """
    from lnbench.cli.catalogue import cases_table
    from lnbench.conductor.preparation import Request, prepare

    prepared = prepare(
        Request(
            suite=suite,
            only=tuple(only or ()),
            implementations=split_commas(implementation),
            devices=split_commas(device),
            plugins=tuple(plugin or ()),
        )
    )
    show(cases_table(prepared.plan))
    return ExitCode.FINE
