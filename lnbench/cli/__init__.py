"""The command line. Each command reads options, calls one function, prints, and gives an exit code."""

from lnbench.cli.door import main

__all__ = ["main"]
