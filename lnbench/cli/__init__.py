"""The command line. Each command reads options, calls one function, prints, and gives an exit code."""

import sys


def main() -> None:
    """Run the command line; also while it is still being loaded an interrupt is no error."""
    try:
        from lnbench.cli.door import main as enter
    except KeyboardInterrupt:
        sys.exit(130)
    enter()
