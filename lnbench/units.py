"""Base units are stored (s, B, J); this is the only place that scales them for people."""

import math
from collections.abc import Sequence

_TIME_STEPS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def format_seconds(value_s: float, *, digits: int = 3) -> str:
    """A duration with the unit that reads best and `digits` significant digits: `103 µs`."""
    if value_s == 0:
        return "0 s"
    scale, unit = time_unit(abs(value_s))
    return f"{format_significant(value_s / scale, digits)} {unit}"


def time_unit(shortest_s: float) -> tuple[float, str]:
    """The unit in which times from `shortest_s` up have no leading zeros: its seconds, and its name."""
    return next(((scale, unit) for scale, unit in _TIME_STEPS if shortest_s >= scale * 0.9995), _TIME_STEPS[-1])


def format_duration(value_s: float) -> str:
    """How long a person waits: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(value_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_bytes(value_b: float) -> str:
    """A size in binary units: `16 MiB`."""
    value = float(value_b)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{format_significant(value, 3)} {unit}"
        value /= 1024
    return f"{format_significant(value, 3)} TiB"


def format_significant(value: float, digits: int) -> str:
    """A number with `digits` significant digits, never in exponent form: 0.0123, 1.50, 120."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    if rounded:
        decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(decimals, 0)}f}"


def format_percent(fraction: float) -> str:
    """A relative half-width for people: `0.4 %`, `12 %`; two digits below one, none above ten."""
    percent = 100 * fraction
    return f"{percent:.2g} %" if percent < 10 else f"{percent:.0f} %"


def format_change(ratio: float) -> str:
    """A ratio as a signed change: 1.053 reads `+5.3 %`, 0.5 reads `-50 %`."""
    percent = 100 * (ratio - 1)
    if not math.isfinite(percent) or abs(percent) >= 1000:
        return f"{ratio:.3g}x"
    digits = 0 if abs(percent) >= 20 else 1
    return f"{round(percent, digits) + 0.0:+.{digits}f} %"


def format_change_interval(low: float, high: float) -> str:
    """Two ratios as signed changes: `[+4.2, +6.0] %`; what is not known reads `?`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "[?]"
    return f"[{format_change(low).removesuffix(' %')}, {format_change(high).removesuffix(' %')}] %"


def format_shape(shape: Sequence[int]) -> str:
    """Sizes joined as they stand in tables and ids: (8, 128, 768) reads 8x128x768."""
    return "x".join(str(size) for size in shape)
