"""The probe: a plain copy of the workload's bytes, in the same rounds. It shows what the machine can do right now."""

from collections.abc import Callable
from typing import Any


def copy_probe(x: Any) -> Callable[[], Any]:
    """A call that copies a tensor into another one of its kind: reads and writes its bytes once each."""
    target = x.clone()

    def copy() -> Any:
        return target.copy_(x)

    return copy
