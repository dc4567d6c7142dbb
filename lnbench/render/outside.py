"""Text that came from outside (names, labels, reasons), made safe to stand in an output of ours."""

import re
import unicodedata

_MARKDOWN = re.compile(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])")
_BULLET = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""Also in full width, which some spreadsheets take for the same."""


_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that show nothing: controls, formats (bidi overrides among them), surrogates, line ends."""


def steers(letter: str) -> bool:
    """True for a character that steers a terminal, breaks a line or turns its direction, or is none by itself."""
    return unicodedata.category(letter) in _STEERING


def plain(text: str) -> str:
    """One line of printable text: whatever steers becomes a space."""
    if text.isascii() and text.isprintable():  # nearly all there is, and a table of samples has millions
        return text
    return "".join(" " if steers(letter) else letter for letter in text)


def markdown(text: str) -> str:
    """Text that shows as itself in GitHub-flavoured markdown, also inside a table: neither markup, HTML nor a list."""
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BULLET.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\g<0>", escaped))


def cell(text: str) -> str:
    """Plain text that no spreadsheet takes for a formula: one that starts like one gets a leading apostrophe.

    Spreadsheets pass over blanks at the start. Workload ids start with a digit, and so stay as they are: tables can be
    joined.
    """
    text = plain(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA_STARTS) else text
