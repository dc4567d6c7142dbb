"""The line that says on top of an output that other processes kept the machine busy, for the terminal and markdown."""

from collections.abc import Iterable, Iterator

from rich.text import Text

from lnbench.render.outside import markdown, plain


def terminal_lines(lines: Iterable[str]) -> list[Text]:
    """The lines and an empty one below; nothing where there is no line."""
    shown = [Text(plain(line), style="bold yellow") for line in lines if line]
    return [*shown, Text()] if shown else []


def busy_quotes(lines: Iterable[str]) -> Iterator[str]:
    """A quotation for each line."""
    for line in lines:
        if line:
            yield from (f"> ⚠️ **{markdown(line[:1].upper() + line[1:])}**", "")
