"""`lnbench schema`: the JSON Schema of a suite file, for editors."""

import json

from lnbench.cli.common import Debug, Quiet


def schema(quiet: Quiet = False, debug: Debug = False) -> None:  # noqa: ARG001  (read by their callbacks)
    """Print the JSON Schema of a suite file.

    An editor checks and completes a suite with it.

    Example:

      lnbench schema > lnbench-suite.schema.json

    Then begin a suite with `# yaml-language-server: $schema=lnbench-suite.schema.json`.
    """
    from lnbench.suite import suite_schema

    print(json.dumps(suite_schema(), indent=2))  # noqa: T201
