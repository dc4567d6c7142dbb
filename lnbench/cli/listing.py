"""`lnbench list`: what implementations and suites there are, and what a suite would measure here."""

from typing import Annotated

import typer

from lnbench.cli.common import Debug, Devices, Implementations, Only, Plugins, Quiet, show, split_commas
from lnbench.errors import ExitCode

app = typer.Typer(
    help="""Show implementations, suites, or the cases of a suite.

Examples:

  lnbench list implementations

  lnbench list suites

  lnbench list cases quick --only dtype=bfloat16
""",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def implementations(
    plugin: Plugins = None,
    quiet: Quiet = False,  # noqa: ARG001  (read by its callback)
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show every implementation by name, with the function that it computes.

    Examples:

      lnbench list implementations

      lnbench list implementations --plugin my_norms.py
    """
    from lnbench.cli.catalogue import implementations_table

    show(implementations_table(tuple(plugin or ())))


@app.command()
def suites(quiet: Quiet = False, debug: Debug = False) -> None:  # noqa: ARG001
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
    quiet: Quiet = False,  # noqa: ARG001
    debug: Debug = False,  # noqa: ARG001
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
