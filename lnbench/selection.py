"""Choosing cases by the columns of the results: what `--only` keeps, and what `exclude` leaves out."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from lnbench.errors import UsageError, nearest
from lnbench.units import format_shape
from lnbench.workload import Workload

Filter = Mapping[str, tuple[str, ...]]
"""Column -> patterns; a row matches when every column matches one of its patterns."""

WORKLOAD_COLUMNS: Mapping[str, Callable[[Workload, str], str]] = {
    "workload": lambda _, id_: id_,
    "label": lambda workload, _: workload.label,
    "device": lambda workload, _: workload.device,
    "dtype": lambda workload, _: workload.dtype,
    "param_dtype": lambda workload, _: workload.param_dtype,
    "input_shape": lambda workload, _: format_shape(workload.shape),
    "normalized_shape": lambda workload, _: format_shape(workload.normalized_shape),
    "norm_dims": lambda workload, _: str(len(workload.normalized_shape)),
    "norm_axes": lambda workload, _: workload.norm_axes_text,
    "rows": lambda workload, _: str(workload.rows),
    "features": lambda workload, _: str(workload.features),
    "affine": lambda workload, _: workload.affine,
    "eps": lambda workload, _: str(workload.eps),
    "threads": lambda workload, _: str(workload.threads),
    "cache": lambda workload, _: workload.cache,
    "allocator": lambda workload, _: workload.allocator,
    "layout": lambda workload, _: workload.layout,
    "gradients": lambda workload, _: workload.gradients,
    "autocast": lambda workload, _: workload.autocast,
}
"""The columns that a workload has, from it and its id."""

CASE_COLUMNS = ("implementation", "function", "norm_mode")
"""The columns in which the cases of a workload differ."""

COLUMNS = (*CASE_COLUMNS, *WORKLOAD_COLUMNS, "phase")


def parse_only(text: str) -> Filter:
    """The filter that `dtype=bfloat16,input_shape=8x*` spells; a column given twice matches either value.

    Values match whole, case counts, and *, ? and [...] are wildcards. An empty value matches an empty cell.
    Raises UsageError for what is not column=value, and for a column that cases can't be chosen by.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        column, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UsageError(f'--only: "{part}" is not column=value', hint="write for example --only dtype=bfloat16")
        found[column] = (*found.get(column, ()), value)
    return check_filter(found)


def check_filter(only: Filter) -> Filter:
    """The filter with numbers spelt as the columns spell them; raises UsageError for an unknown column."""
    for column in only:
        if column not in COLUMNS:
            raise UsageError(f'--only: unknown column "{column}"', hint=nearest(column, COLUMNS))
    return {**only, **({"eps": tuple(map(_spell_number, only["eps"]))} if "eps" in only else {})}


def matches_workload(rule: Filter, workload: Workload, workload_id: str) -> bool:
    """True when every column of the rule that a workload has matches."""
    return all(
        column not in WORKLOAD_COLUMNS or matches(WORKLOAD_COLUMNS[column](workload, workload_id), patterns)
        for column, patterns in rule.items()
    )


@lru_cache(maxsize=4096)  # a plan asks the same of a column a hundred thousand times
def matches(text: str, patterns: tuple[str, ...]) -> bool:
    """True when a cell is one of the patterns, or fits one."""
    return any(text == pattern or fnmatchcase(text, pattern) for pattern in patterns)


def is_pattern(text: str) -> bool:
    """True when text has wildcards, so that it need not be a name."""
    return any(character in text for character in "*?[")


def _spell_number(text: str) -> str:
    """1e-5 as the column has it, 1e-05; what is no number stays."""
    try:
        return str(float(text))
    except ValueError:
        return text
