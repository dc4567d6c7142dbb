"""Whole expected outputs in tests/golden; LNBENCH_REWRITE_GOLDEN=1 writes them anew, to be read before committing."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def expected(name: str, actual: str) -> str:
    """The golden file's text, replaced by the actual text first where a rewrite is asked for."""
    file = GOLDEN / name
    if os.environ.get("LNBENCH_REWRITE_GOLDEN"):
        file.write_text(actual, encoding="utf-8", newline="")
    return file.read_text(encoding="utf-8")
