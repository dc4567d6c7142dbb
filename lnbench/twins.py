"""The workloads on which a formula is judged beside the real one."""

from dataclasses import replace

from lnbench.workload import Layout, Workload

JUDGED_ROWS = 32
"""At few rows a wrong dweight or dbias stands out of the rounding that many rows bring."""

MOST_TWIN_ELEMENTS = 1 << 27
"""A twin in float32 has at most so many elements, or as few rows as that leaves: it exists beside the real workload,
and takes twice the bytes of one in 16 bits. The real one is verified at its own shape in any case, which is where
offsets past 2^31 elements overflow; 2^27 elements fill every core of any device."""


def judged_workloads(workload: Workload) -> tuple[Workload, ...]:
    """The workloads on which a formula is judged beside the real one: in float32 at its own shape and at few rows.

    float64 is judged in float64. A dy that is the same everywhere hides errors of the gradients, so there the formula
    is judged with one that is not. Shapes that coincide with the real workload are left out, for it is judged anyway.
    Of a shape with more than MOST_TWIN_ELEMENTS elements the first rows are taken.
    """
    layout = "contiguous" if workload.layout == Layout.EXPANDED_DY else workload.layout
    if workload.dtype == "float64":
        plain = replace(workload, cache="hot", layout=layout)
    else:
        plain = replace(workload, dtype="float32", param_dtype="float32", cache="hot", layout=layout)
    hot = replace(workload, cache="hot")
    rows = max(MOST_TWIN_ELEMENTS // workload.features, 1)
    candidates = [plain if plain == hot else plain.with_rows(rows), plain.with_rows(JUDGED_ROWS)]
    return tuple(dict.fromkeys(candidate for candidate in candidates if candidate != hot))
