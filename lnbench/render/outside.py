"""Text that came from outside (names, labels, reasons), made safe to stand in an output of ours."""

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_MARKDOWN = re.compile(r"[\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])")
_BULLET = re.compile(r"^(\d*)([-+.)])(?=\s|$)")
_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""Also in full width, which some spreadsheets take for the same."""


_LATEX: Final[Mapping[str, str]] = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # Alone they are letters; beside each other, or at the start of a row, they are more.
        **{letter: f"{{{letter}}}" for letter in "[]*`"},
        '"': r"\textquotedblright{}",
        **{letter: f"\\{letter}" for letter in "{}$&#%_"},
        "/": r"/\allowbreak{}",
        "µ": r"$\mu$",
        "μ": r"$\mu$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "–": r"\textendash{}",
        "→": r"$\rightarrow$",
    }
)
"""What stands for itself in no LaTeX document, and the signs of our own texts."""


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


def latex(text: str) -> str:
    """Text that LaTeX sets as itself, also at the start of a row, in a caption and with its default encoding.

    Slashes allow a break, for ids have no spaces. Letters that pdfLaTeX can't set without further packages become `?`.
    """
    return "".join(map(_latex_letter, plain(text))).replace("--", "-{}-").replace("''", "'{}'")


def _latex_letter(letter: str) -> str:
    if letter in _LATEX:
        return _LATEX[letter]
    if " " <= letter <= "~" or ("\u00c0" <= letter <= "\u017e" and letter.isalpha()):
        return letter
    return "?"


def cell(text: str) -> str:
    """Plain text that no spreadsheet takes for a formula: one that starts like one gets a leading apostrophe.

    Spreadsheets pass over blanks at the start. Workload ids start with a digit, and so stay as they are: tables can be
    joined.
    """
    text = plain(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA_STARTS) else text
