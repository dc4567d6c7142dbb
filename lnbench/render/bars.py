"""Bars made of text, an eighth of a letter fine; whole letters where the output can't show blocks."""

_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_PLAIN = "#"


def bar_text(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of `share` of `width` letters, padded to all of them; what is above nothing shows at least a little."""
    if ascii_only:
        length = max(round(share * width), 1 if share > 0 else 0)
        return (_PLAIN * length).ljust(width)
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    whole, rest = divmod(eighths, 8)
    return (_FULL * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)
