"""What stands in a cell of the people's tables: no more digits than the interval supports."""

import math

from lnbench.row_summary import RowSummary
from lnbench.units import format_seconds, format_significant

_MOST_DIGITS = 4
_DIGITS_WITHOUT_INTERVAL = 2
_WIDEST_PERCENT = 100
"""An interval wider than this says only that nothing is known."""


def time_text(row: RowSummary) -> str:
    """The median with half its interval's width: `103 µs ±1 %`; `±?` where there is no interval; else the status."""
    if row.median_s is None:
        return row.status.value
    digits = _digits(row.median_s, row.low_s, row.high_s)
    return f"{format_seconds(row.median_s, digits=digits)} {_half_width_text(row.low_s, row.high_s)}"


def time_in_unit_text(row: RowSummary, unit_s: float) -> str:
    """The same as a plain number of a unit, for a table that names it once: `103 ±1 %`."""
    if row.median_s is None:
        return row.status.value
    value = format_significant(row.median_s / unit_s, _digits(row.median_s, row.low_s, row.high_s))
    return f"{value} {_half_width_text(row.low_s, row.high_s)}"


def speedup_text(row: RowSummary) -> str:
    """The speedup with the bounds of its interval: `0.302 [0.299, 0.305]`; `1` for the reference; else empty."""
    return "" if row.speedup is None else ratio_text(row.speedup, row.speedup_low, row.speedup_high)


def ratio_text(ratio: float, low: float | None, high: float | None) -> str:
    """A ratio with the bounds of its interval, all with the decimals that the interval supports."""
    if low is None or high is None:
        return f"{format_significant(ratio, _DIGITS_WITHOUT_INTERVAL)} [?]"
    if low == high:
        return f"{ratio:g}"
    half = ratio * _relative_half_width(low, high)
    rounded = float(f"{ratio:.{_MOST_DIGITS - 1}e}")  # 0.99996 has the decimals of 1.000
    most = _MOST_DIGITS - 1 - math.floor(math.log10(rounded))
    least = -math.floor(math.log10(rounded))  # however wide the interval, the first digit of the value is shown
    decimals = min(max(-math.floor(math.log10(half)), least), most) if half > 0 else most
    texts = [f"{round(number, decimals):.{max(decimals, 0)}f}" for number in (ratio, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def short_speedup_text(row: RowSummary) -> str:
    """The speedup with half its interval's width: `0.302x ±1 %`."""
    if row.speedup is None:
        return ""
    if row.speedup_low is not None and row.speedup_low == row.speedup_high:
        return f"{row.speedup:g}x"
    value = format_significant(row.speedup, _digits(row.speedup, row.speedup_low, row.speedup_high))
    return f"{value}x {_half_width_text(row.speedup_low, row.speedup_high)}"


def _relative_half_width(low: float, high: float) -> float:
    """Half an interval's width as a share of its value, on the log scale on which it was found."""
    return math.sqrt(high / low) - 1


def _half_width_text(low: float | None, high: float | None) -> str:
    """`±0.4 %`, `±12 %`: one digit below one percent, none after the point above."""
    if low is None or high is None:
        return "±?"
    percent = 100 * _relative_half_width(low, high)
    if percent > _WIDEST_PERCENT:
        return f"±>{_WIDEST_PERCENT} %"
    return f"±{percent:.1g} %" if percent < 1 else f"±{percent:.0f} %"


def _digits(value: float, low: float | None, high: float | None) -> int:
    """Significant digits down to the first digit of the interval's half-width."""
    if low is None or high is None:
        return _DIGITS_WITHOUT_INTERVAL
    half = value * _relative_half_width(low, high)
    if half <= 0:
        return _MOST_DIGITS
    return min(max(math.floor(math.log10(value)) - math.floor(math.log10(half)) + 1, 1), _MOST_DIGITS)
