"""Text that came from outside (names, labels, reasons), made safe to stand in an output of ours."""

import re
import unicodedata

_MARKDOWN = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")
_BULLET = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def plain(text: str) -> str:
    """One line of printable text: whatever steers a terminal, breaks a line or turns its direction becomes a space."""
    return "".join(" " if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else letter for letter in text)


def markdown(text: str) -> str:
    """Text that shows as itself in GitHub-flavoured markdown, also inside a table: neither markup, HTML nor a list."""
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BULLET.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\g<0>", escaped))


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: one that starts like a formula gets a leading apostrophe.

    Workload ids start with a digit, and so stay as they are: tables can be joined.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
