"""What the terminal shows, as text."""

import io

from rich.console import Console, RenderableType

TEXT_WIDTH = 120


def plain_text(renderable: RenderableType) -> str:
    """What the terminal shows, as plain text 120 columns wide."""
    console = Console(file=io.StringIO(), width=TEXT_WIDTH, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(renderable, crop=False)
    return captured.get()
