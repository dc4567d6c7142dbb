"""The probe: plain copies of the workload's bytes, in the same rounds. They show what the machine can do right now.

`copy`: x into another tensor, the working set of an inference (x and y). `step_copy`: x and dy into two others, that of
a step (x, dy, y and dx). `launch`: one element, so what a call costs before it moves anything.
"""

from collections.abc import Callable, Sequence
from typing import Any


class Probe:
    """Copies on the buffers that the cases read. `select` chooses among them, where caches are to be cold."""

    def __init__(self, x: Sequence[Any], dy: Sequence[Any]) -> None:
        self._sources = list(zip(x, dy, strict=True))
        self._targets = (x[0].clone(), dy[0].clone())
        element = x[0].new_zeros(1)
        self._element = (element, element.clone())
        self.select(0)

    def select(self, index: int) -> None:
        """Copy from the pair of x and dy with this number from now on."""
        (x, dy), (first, second) = self._sources[index], self._targets
        element, other = self._element

        def copy() -> Any:
            return first.copy_(x)

        def step_copy() -> Any:
            first.copy_(x)
            return second.copy_(dy)

        def launch() -> Any:
            return other.copy_(element)

        self.pieces: dict[str, Callable[[], Any]] = {"copy": copy, "step_copy": step_copy, "launch": launch}
